// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// knownRoom returns a room that an endpoint outside of rooms names.
func (s *Service) knownRoom(ctx context.Context, room event.RoomID) (*Info, error) {
	info, err := s.RoomByID(ctx, room)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.NotFound("room not found")
	}
	return info, err
}

// checkLocalAlias refuses aliases of other servers, which only they can change.
func (s *Service) checkLocalAlias(alias event.RoomAlias) error {
	if alias.Server() != s.signer.Server {
		return matrixerr.InvalidParam("the alias is not one of this server")
	}
	return nil
}

// mayNameRoom returns nil if user is in the room and has the level for its
// canonical alias.
func (s *Service) mayNameRoom(ctx context.Context, user event.UserID, info *Info) error {
	return s.mayChange(ctx, user, info, typeCanonicalAlias)
}

// mayChange returns nil if user is in the room and has the level for a type of state.
func (s *Service) mayChange(ctx context.Context, user event.UserID, info *Info, typ string) error {
	m, ok, err := s.MembershipIn(ctx, user, info.NID)
	if err != nil {
		return err
	}
	if !ok || m.Membership != Join {
		return errNotInRoom()
	}
	state, err := s.CurrentState(ctx, info.NID)
	if err != nil {
		return err
	}
	create, err := state.Event(ctx, event.StateKey{Type: typeCreate})
	if err != nil {
		return err
	}
	levels, err := state.Event(ctx, event.StateKey{Type: typePowerLevels})
	if err != nil {
		return err
	}
	events := []*event.Event{create.Event}
	rule := info.Rules.DefaultPowerLevels(create.Event)
	if levels != nil {
		events = append(events, levels.Event)
		if rule, err = levels.PowerLevels(); err != nil {
			return err
		}
	}
	have, _ := info.Rules.Level(event.NewAuthEvents(events...), user)
	if have < rule.Event(typ, true) {
		return matrixerr.Forbidden("you do not have the power level for this in the room")
	}
	return nil
}

// maxAliases is how many aliases a room may have.
const maxAliases = 1000

// AddAlias makes alias point to a room that user is in.
//
// Errors that clients see: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN,
// M_RESOURCE_LIMIT_EXCEEDED, 409 M_UNKNOWN if the alias exists.
func (s *Service) AddAlias(ctx context.Context, user event.UserID, alias event.RoomAlias, room event.RoomID) error {
	if err := s.checkLocalAlias(alias); err != nil {
		return err
	}
	info, err := s.knownRoom(ctx, room)
	if err != nil {
		return err
	}
	m, ok, err := s.MembershipIn(ctx, user, info.NID)
	if err != nil {
		return err
	}
	if !ok || m.Membership != Join {
		return errNotInRoom()
	}
	others, err := s.store.AliasesOf(ctx, info.NID)
	if err != nil {
		return fmt.Errorf("read aliases: %w", err)
	}
	if len(others) >= maxAliases {
		return matrixerr.New(http.StatusForbidden, matrixerr.CodeResourceLimitExceeded, "the room has too many aliases")
	}
	row := store.Alias{Alias: string(alias), RoomNID: info.NID, Creator: string(user), CreatedTS: s.millis()}
	err = s.store.AddAlias(ctx, row)
	if errors.Is(err, store.ErrAliasTaken) {
		return matrixerr.New(http.StatusConflict, matrixerr.CodeUnknown, "the alias exists already")
	}
	if err != nil {
		return fmt.Errorf("write alias: %w", err)
	}
	return nil
}

// DeleteAlias deletes an alias. Its creator may, who may set the canonical
// alias of its room, and an administrator of the server. Where the user may,
// the room's state stops naming it.
//
// Errors that clients see: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN.
func (s *Service) DeleteAlias(ctx context.Context, user event.UserID, admin bool, alias event.RoomAlias) error {
	if err := s.checkLocalAlias(alias); err != nil {
		return err
	}
	owner, err := s.store.AliasOwner(ctx, string(alias))
	if errors.Is(err, store.ErrNotFound) {
		return errAliasNotFound()
	}
	if err != nil {
		return fmt.Errorf("read alias: %w", err)
	}
	info, err := s.RoomByNID(ctx, owner.RoomNID)
	if err != nil {
		return err
	}
	if owner.Creator != string(user) && !admin {
		if err := s.mayNameRoom(ctx, user, info); err != nil {
			return err
		}
	}
	err = s.store.DeleteAlias(ctx, string(alias))
	if errors.Is(err, store.ErrNotFound) {
		return errAliasNotFound()
	}
	if err != nil {
		return fmt.Errorf("delete alias: %w", err)
	}
	return s.withdrawAlias(ctx, user, info, string(alias))
}

// withdrawAlias takes a deleted alias out of the room's canonical aliases, if
// it is there and user may.
func (s *Service) withdrawAlias(ctx context.Context, user event.UserID, info *Info, alias string) error {
	state, err := s.CurrentState(ctx, info.NID)
	if err != nil {
		return err
	}
	ev, err := state.Event(ctx, event.StateKey{Type: typeCanonicalAlias})
	if err != nil || ev == nil || !slices.Contains(aliasesIn(ev.Content()), alias) {
		return err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(ev.Content(), &fields); err != nil {
		return fmt.Errorf("decode canonical alias: %w", err)
	}
	content, _ := event.ParseObject(ev.Content())
	if main, _ := content.String("alias"); main == alias {
		delete(fields, "alias")
	}
	others := []string{}
	raw, _ := content.Get("alt_aliases")
	event.EachElement(raw, func(value []byte) bool {
		if other, ok := event.StringValue(value); ok && other != alias {
			others = append(others, other)
		}
		return true
	})
	delete(fields, "alt_aliases")
	if len(others) > 0 {
		if fields["alt_aliases"], err = json.Marshal(others); err != nil {
			return fmt.Errorf("encode aliases: %w", err)
		}
	}
	changed, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode aliases: %w", err)
	}
	key := ""
	_, err = s.Send(ctx, SendRequest{RoomID: info.ID, Sender: user, Type: typeCanonicalAlias, StateKey: &key, Content: changed})
	if matrixerr.Is(err, matrixerr.CodeForbidden) {
		return nil
	}
	return err
}

func errAliasNotFound() error { return matrixerr.NotFound("room alias not found") }

// Aliases returns the local aliases of a room, to its members and, if it is
// world-readable, to everybody.
//
// Errors that clients see: M_FORBIDDEN.
func (s *Service) Aliases(ctx context.Context, user event.UserID, room event.RoomID) ([]string, error) {
	a, err := s.Access(ctx, user, room)
	if err != nil {
		return nil, err
	}
	open, err := s.isWorldReadable(ctx, a.NID)
	if err != nil {
		return nil, err
	}
	if !a.Joined && !open {
		return nil, errNotInRoom()
	}
	aliases, err := s.store.AliasesOf(ctx, a.NID)
	if err != nil {
		return nil, fmt.Errorf("read aliases: %w", err)
	}
	return aliases, nil
}
