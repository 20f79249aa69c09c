// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The account data that follows a room to its replacement.
const (
	typeTag    = "m.tag"
	typeDirect = "m.direct"
)

// settings are what a user has set for a room and keeps in the one that
// replaces it.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
type settings struct {
	user     event.UserID
	from, to *Info
	// tags is the content of m.tag, nil for none.
	tags []byte
	// isDirect: the user has the old room among their direct chats.
	isDirect bool
}

// inherited returns the settings that come with a join, nil for none. Who
// makes a room may claim that it replaces any other: only the old room's
// tombstone proves it.
func (t *turn) inherited(ctx context.Context, member *event.Event) (*settings, error) {
	user, to := event.UserID(member.Tuple().Key), t.entry.info
	before, create := t.head.state[member.Tuple()], t.head.state[event.StateKey{Type: typeCreate}]
	if member.Membership() != Join || before != nil && before.Membership() == Join || create == nil {
		return nil, nil
	}
	id, ok := predecessorIn(create)
	if !ok {
		return nil, nil
	}
	old, err := t.service.RoomByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := t.service.CurrentState(ctx, old.NID)
	if err != nil {
		return nil, err
	}
	tombstone, err := state.Event(ctx, event.StateKey{Type: typeTombstone})
	if err != nil || replacementIn(tombstone) != to.ID {
		return nil, err
	}
	return t.service.settingsOf(ctx, user, old, to)
}

// settingsOf reads what a local user has set for a room that is replaced by another, nil for nothing.
func (s *Service) settingsOf(ctx context.Context, user event.UserID, from, to *Info) (*settings, error) {
	if user.Server() != s.signer.Server {
		return nil, nil
	}
	all := &settings{user: user, from: from, to: to}
	tags, err := s.store.AccountData(ctx, string(user), from.NID, typeTag)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	all.tags = tags.Content
	direct, err := s.store.AccountData(ctx, string(user), 0, typeDirect)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read direct chats: %w", err)
	}
	added, err := all.addDirect(direct.Content)
	all.isDirect = added != nil
	if all.tags == nil && !all.isDirect {
		return nil, err
	}
	return all, err
}

// apply writes the settings for the new room, as far as there are none yet; of
// nil it writes nothing.
func (s *settings) apply(ctx context.Context, tx *store.Tx) error {
	if s == nil {
		return nil
	}
	if s.tags != nil {
		err := tx.ChangeAccountData(ctx, store.AccountDataChange{
			UserID: string(s.user), RoomNID: s.to.NID, Type: typeTag, New: func(old []byte) ([]byte, error) {
				if old != nil {
					return nil, nil
				}
				return s.tags, nil
			},
		})
		if err != nil {
			return err
		}
	}
	if !s.isDirect {
		return nil
	}
	return tx.ChangeAccountData(ctx, store.AccountDataChange{UserID: string(s.user), Type: typeDirect, New: s.addDirect})
}

// addDirect puts the new room beside the old one in the content of m.direct;
// nil if the old one is not there or the new one is. What has another shape
// stays as the client left it.
func (s *settings) addDirect(content []byte) ([]byte, error) {
	chats := map[string]json.RawMessage{}
	_ = json.Unmarshal(content, &chats) // what is no object holds no chats
	changed := false
	for user, raw := range chats {
		var rooms []event.RoomID
		if json.Unmarshal(raw, &rooms) != nil || !slices.Contains(rooms, s.from.ID) || slices.Contains(rooms, s.to.ID) {
			continue
		}
		added, err := json.Marshal(append(rooms, s.to.ID))
		if err != nil {
			return nil, fmt.Errorf("encode direct chats: %w", err)
		}
		chats[user], changed = added, true
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(chats)
}

// predecessorIn is the room that a create event says its room replaces.
func predecessorIn(create *StoredEvent) (event.RoomID, bool) {
	content, _ := event.ParseObject(create.Content())
	predecessor, _ := content.Object("predecessor")
	id, ok := predecessor.String("room_id")
	return event.RoomID(id), ok
}

// replacementIn is the room that a tombstone names; empty for none, and for no tombstone.
func replacementIn(tombstone *StoredEvent) event.RoomID {
	if tombstone == nil {
		return ""
	}
	content, _ := event.ParseObject(tombstone.Content())
	text, _ := content.String("replacement_room")
	id, err := event.ParseRoomID(text)
	if err != nil {
		return ""
	}
	return id
}
