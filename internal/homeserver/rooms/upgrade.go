// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// UpgradeRequest asks for a room to be replaced by one of another version.
type UpgradeRequest struct {
	RoomID  event.RoomID
	Sender  event.UserID
	Version event.RoomVersion
	// AdditionalCreators stand beside the sender, in versions that know such.
	AdditionalCreators []event.UserID
}

// creators returns who stands beside the sender in a version that knows such, in order.
func (r *UpgradeRequest) creators(rules *event.Rules) []event.UserID {
	if !rules.PrivilegedCreators {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(r.AdditionalCreators), func(u event.UserID) bool { return u == r.Sender })
	slices.Sort(others)
	return slices.Compact(others)
}

// Upgrade makes a room that takes the place of another and returns its id. The
// new room with its state and bans, the end of the old one, the move of its
// local aliases and of its entry in the directory, and the sender's settings
// are one write. The same request again returns the same room.
//
// Errors that clients see: M_UNSUPPORTED_ROOM_VERSION; M_FORBIDDEN, also if
// there is no such room or it has been replaced in another way; M_BAD_JSON, M_TOO_LARGE and M_INVALID_ROOM_STATE for
// state that the new version does not allow.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
func (s *Service) Upgrade(ctx context.Context, r UpgradeRequest) (event.RoomID, error) {
	rules, ok := event.RulesFor(r.Version)
	if !ok {
		return "", matrixerr.BadRequest(matrixerr.CodeUnsupportedRoomVersion, "this server does not know that room version")
	}
	e, err := s.entryFor(ctx, r.RoomID)
	if err != nil {
		return "", err
	}
	// Before anything is built: a refusal must be cheap.
	if err := s.mayChange(ctx, r.Sender, e.info, typeTombstone); err != nil {
		return "", err
	}
	keys := []store.StateKey{{Type: typeTombstone}, {Type: typeCanonicalAlias}, {Type: typePowerLevels}}
	if _, err := s.store.InternStateKeys(ctx, keys); err != nil {
		return "", fmt.Errorf("intern state keys: %w", err)
	}
	for range maxAttempts {
		id, err := s.tryUpgrade(ctx, rules, e, &r)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, errStale) && !errors.Is(err, store.ErrExists) {
			return id, clientError(err)
		}
		// What was on its way into the room is there after this.
		if err := s.store.Do(ctx, func(context.Context, *store.Tx) error { return nil }); err != nil {
			return "", err
		}
	}
	return "", matrixerr.Unavailable("the room is changing too fast, try again")
}

// tryUpgrade builds the new room on the old one's state as it is on disk. If
// that changes before the old room ends, the result is errStale or store.ErrConflict.
func (s *Service) tryUpgrade(ctx context.Context, rules *event.Rules, e *roomEntry, r *UpgradeRequest) (event.RoomID, error) {
	old, err := s.retiring(ctx, e.info)
	if err != nil {
		return "", err
	}
	if id, err := old.replacement(ctx, rules, r); err != nil || id != "" {
		return id, err
	}
	steps, err := old.plan(ctx, rules, r)
	if err != nil {
		return "", err
	}
	n, err := s.draft(ctx, rules, steps)
	if err != nil {
		return "", err
	}
	n.creator, n.public = r.Sender, old.public
	if old.settings, err = s.settingsOf(ctx, r.Sender, e.info, n.entry.info); err != nil {
		return "", err
	}
	all, wait, err := s.replace(ctx, e, old, n)
	if err != nil {
		return "", err
	}
	_, err = wait()
	if err != nil {
		e.stale.Store(true) // before the events are forgotten: isCurrent looks at both
	}
	for _, p := range all {
		s.forget(p)
	}
	if err != nil {
		return "", err
	}
	n.warm()
	return n.entry.info.ID, fault.Hit(ctx, "rooms.upgrade.committed")
}

// replacement returns the room that this very request has put in the old
// one's place before, empty for none. A second replacement would split those
// who follow; whoever wants one has to take the tombstone away first.
func (old *retiringRoom) replacement(ctx context.Context, rules *event.Rules, r *UpgradeRequest) (event.RoomID, error) {
	id := replacementIn(old.at(typeTombstone))
	if id == "" {
		return "", nil
	}
	replaced := matrixerr.Forbidden("the room has been replaced already")
	info, err := old.service.RoomByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", replaced
	}
	if err != nil {
		return "", err
	}
	state, err := old.service.CurrentState(ctx, info.NID)
	if err != nil {
		return "", err
	}
	create, err := state.Event(ctx, event.StateKey{Type: typeCreate})
	if err != nil {
		return "", err
	}
	if info.Version != r.Version || !old.isPredecessor(create, rules, r) {
		return "", replaced
	}
	return id, nil
}

// isPredecessor reports whether the request would give its room this create event.
func (old *retiringRoom) isPredecessor(create *StoredEvent, rules *event.Rules, r *UpgradeRequest) bool {
	if create == nil || create.Sender() != r.Sender {
		return false
	}
	var content struct {
		Creators []event.UserID `json:"additional_creators"`
	}
	id, _ := predecessorIn(create)
	err := json.Unmarshal(create.Content(), &content)
	return err == nil && id == old.info.ID && slices.Equal(content.Creators, r.creators(rules))
}

// replace takes the creator's turn in the old room, ends it there, and submits
// that together with the new room. It returns all events of both.
func (s *Service) replace(ctx context.Context, e *roomEntry, old *retiringRoom, n *newRoom) ([]*pending, func() (store.Committed, error), error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	h, err := s.currentHead(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	if h.stateNID != old.stateNID {
		return nil, nil, errStale
	}
	e.shrink()
	defer s.weigh(e)
	t := &turn{service: s, entry: e, head: h}
	ending, err := t.end(ctx, old, n)
	if err == nil {
		err = fault.Hit(ctx, "rooms.upgrade.built")
	}
	if err != nil {
		if len(ending) > 0 {
			e.stale.Store(true) // the head is built on what will not come
		}
		return nil, nil, err
	}
	all := slices.Concat(n.built, ending)
	for _, p := range all {
		s.expect(p)
	}
	move := ending[len(ending)-1].move
	move.From = ending[0].move.From
	wait := s.store.Submit(store.Write{Head: &move, Apply: func(ctx context.Context, tx *store.Tx) error {
		if err := n.apply(ctx, tx); err != nil {
			return err
		}
		for _, p := range ending {
			p.apply(tx)
		}
		tx.MoveAliases(e.info.NID, n.entry.info.NID)
		if old.public {
			tx.SetPublic(e.info.NID, false)
		}
		return old.settings.apply(ctx, tx)
	}})
	return all, wait, nil
}

// end builds the last events of the old room: the tombstone and, as far as the
// sender may, the state without its aliases and with fewer rights to speak.
func (t *turn) end(ctx context.Context, old *retiringRoom, n *newRoom) ([]*pending, error) {
	steps, err := old.ending(n)
	if err != nil {
		return nil, err
	}
	var ending []*pending
	for i, p := range steps {
		out, err := t.build(ctx, p)
		var denied *event.AuthError
		if errors.As(err, &denied) && i > 0 {
			continue
		}
		if errors.As(err, &denied) {
			return nil, t.service.checkRefusal(ctx, t.entry, err)
		}
		if err != nil {
			return ending, err
		}
		t.advance(out)
		ending = append(ending, out)
	}
	return ending, nil
}
