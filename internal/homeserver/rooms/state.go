// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// prepareState checks what a client may set as state beyond the rules of the room.
func (s *Service) prepareState(ctx context.Context, p *proposal) error {
	p.decide = func(ctx context.Context, t *turn, p *proposal) error { return t.sameState(ctx, p) }
	switch p.typ {
	case typePowerLevels:
		p.decide = checkPowerLevels
	case typeMember:
		return s.prepareMember(ctx, p)
	case typeCanonicalAlias:
		p.decide = checkCanonicalAlias
	}
	return nil
}

// fieldsOf reads a JSON object by its exact keys.
func fieldsOf(content []byte) (map[string]json.RawMessage, error) {
	canonical, err := event.Canonical(content, true)
	if err != nil {
		return nil, clientError(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(canonical, &fields); err != nil || fields == nil {
		return nil, matrixerr.BadJSON("content is not an object")
	}
	return fields, nil
}

// checkPowerLevels tells malformed levels from levels that the sender may not
// set: the rules of the room refuse both in the same way.
func checkPowerLevels(ctx context.Context, t *turn, p *proposal) error {
	if *p.stateKey != "" {
		return nil
	}
	if err := t.sameState(ctx, p); err != nil {
		return err
	}
	rules := t.entry.info.Rules
	canonical, err := event.Canonical(p.content, true)
	if err != nil {
		return err
	}
	trial, err := rules.Build(event.Draft{
		RoomID: t.entry.info.ID, Type: p.typ, StateKey: p.stateKey, Sender: p.sender, Content: canonical,
	}, t.service.signer)
	if err != nil {
		return err
	}
	if _, err := trial.PowerLevels(); err != nil {
		return matrixerr.BadJSON("power levels must be integers, by event type and by user id")
	}
	return t.checkNoCreators(ctx, canonical)
}

// checkNoCreators refuses power levels for those who stand above them (version 12).
func (t *turn) checkNoCreators(ctx context.Context, levels []byte) error {
	if !t.entry.info.Rules.PrivilegedCreators {
		return nil
	}
	if err := t.preload(ctx, event.StateKey{Type: typeCreate}); err != nil {
		return err
	}
	content, _ := event.ParseObject(levels)
	users, _ := content.Object("users")
	named := false
	users.Each(func(user string, _ []byte) bool {
		_, named = t.entry.info.Rules.Level(t.authState(), event.UserID(user))
		return !named
	})
	if named {
		return matrixerr.BadRequest(matrixerr.CodeInvalidRoomState, "power levels must not name the room's creators")
	}
	return nil
}

// codeBadAlias is the errcode for an alias that does not point to the room.
const codeBadAlias = "M_BAD_ALIAS"

// checkCanonicalAlias makes sure that aliases which the event adds are
// well-formed and point to this room.
// https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias
func checkCanonicalAlias(ctx context.Context, t *turn, p *proposal) error {
	if err := t.sameState(ctx, p); err != nil {
		return err
	}
	existing, err := t.state(ctx, p.key())
	if err != nil {
		return err
	}
	var before []string
	if existing != nil {
		before = aliasesIn(existing.Content())
	}
	canonical, err := event.Canonical(p.content, true)
	if err != nil {
		return err
	}
	for _, alias := range aliasesIn(canonical) {
		if slices.Contains(before, alias) {
			continue
		}
		parsed, err := event.ParseRoomAlias(alias)
		if err != nil {
			return matrixerr.InvalidParam("an alias is not valid")
		}
		room, err := t.service.AliasRoom(ctx, parsed)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read alias: %w", err)
		}
		if room != t.entry.info.ID {
			return matrixerr.BadRequest(codeBadAlias, "an alias does not point to this room")
		}
	}
	return nil
}

// aliasesIn lists what an m.room.canonical_alias content names.
func aliasesIn(content []byte) []string {
	var aliases []string
	fields, _ := event.ParseObject(content)
	if alias, ok := fields.String("alias"); ok && alias != "" {
		aliases = append(aliases, alias)
	}
	if raw, ok := fields.Get("alt_aliases"); ok {
		event.EachElement(raw, func(value []byte) bool {
			if alias, ok := event.StringValue(value); ok {
				aliases = append(aliases, alias)
			}
			return true
		})
	}
	return aliases
}
