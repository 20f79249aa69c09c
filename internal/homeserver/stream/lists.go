// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"maps"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

// lists compares whose devices a client has to know of.
type lists struct {
	b             *builder
	changed, left map[event.UserID]struct{}
	// shared are the users who share a room with the user; nil until needed.
	shared map[event.UserID]struct{}
}

// DeviceLists returns the users whose devices or keys a client of user has to
// ask for anew, and those it need not follow any more, because of what
// happened between two positions.
//
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
func (s *Service) DeviceLists(ctx context.Context, user event.UserID, from, to int64) (changed, left []event.UserID, err error) {
	b := &builder{s: s, r: &Request{User: user, Since: &Token{Pos: from}, Filter: &filter.Filter{}}}
	if err := b.fix(ctx); err != nil {
		return nil, nil, err
	}
	b.to = min(b.to, max(to, from))
	if err := b.gather(ctx); err != nil {
		return nil, nil, err
	}
	return b.compareLists(ctx)
}

// writeDeviceLists appends device_lists if there is anything in them.
func (b *builder) writeDeviceLists(ctx context.Context) error {
	if b.initial() {
		return nil
	}
	changed, left, err := b.compareLists(ctx)
	if err != nil || len(changed)+len(left) == 0 {
		return err
	}
	b.out = appendStrings(append(b.out, `,"device_lists":{"changed":`...), changed)
	b.out = appendStrings(append(b.out, `,"left":`...), left)
	b.out = append(b.out, '}')
	b.said = true
	return nil
}

func (b *builder) compareLists(ctx context.Context) (changed, left []event.UserID, err error) {
	l := &lists{b: b, changed: map[event.UserID]struct{}{}, left: map[event.UserID]struct{}{}}
	for _, user := range b.delta.lists {
		if err := l.mayChange(ctx, user); err != nil {
			return nil, nil, err
		}
	}
	if b.delta.signature {
		signed, err := b.s.store.SignedBetween(ctx, string(b.r.User), b.from, b.to)
		if err != nil {
			return nil, nil, err
		}
		for _, user := range signed {
			l.changed[event.UserID(user)] = struct{}{}
		}
	}
	for _, m := range b.members {
		if d := b.delta.room(m.RoomNID); d.any {
			if err := l.room(ctx, m, d); err != nil {
				return nil, nil, err
			}
		}
	}
	for user := range l.changed {
		delete(l.left, user)
	}
	return slices.Sorted(maps.Keys(l.changed)), slices.Sorted(maps.Keys(l.left)), nil
}

// mayChange notes a user whose devices changed if they concern the client.
func (l *lists) mayChange(ctx context.Context, user event.UserID) error {
	if user != l.b.r.User {
		ok, err := l.b.s.rooms.ShareRoom(ctx, l.b.r.User, user)
		if err != nil || !ok {
			return err
		}
	}
	l.changed[user] = struct{}{}
	return nil
}

// room looks at who came and went in a room.
func (l *lists) room(ctx context.Context, m rooms.Membership, d *roomDelta) error {
	before := m.Membership
	if d.own {
		p, err := l.b.pastOf(ctx, m)
		if err != nil {
			return err
		}
		before = p.before
	}
	switch {
	case m.Membership != membershipJoin && before != membershipJoin:
		return nil
	case m.Membership != membershipJoin:
		return l.everybodyLeft(ctx, m.RoomNID)
	}
	encrypted, news, err := l.encrypted(ctx, m.RoomNID, d)
	if err != nil {
		return err
	}
	if encrypted && (news || before != membershipJoin) {
		return l.everybodyChanged(ctx, m.RoomNID)
	}
	for _, user := range d.members {
		if user == l.b.r.User {
			continue
		}
		if err := l.member(ctx, user, m.RoomNID, encrypted); err != nil {
			return err
		}
	}
	return nil
}

// encrypted reports whether a room is encrypted, and whether that is news.
// It is only looked up where it matters.
func (l *lists) encrypted(ctx context.Context, room int64, d *roomDelta) (encrypted, news bool, err error) {
	if l.b.delta.known && len(d.members) == 0 && !d.own {
		found, err := l.b.s.rooms.EventsByNID(ctx, d.events)
		news := slices.ContainsFunc(found, isEncryption)
		return news, news, err
	}
	current, err := l.b.s.rooms.CurrentState(ctx, room)
	if err != nil {
		return false, false, err
	}
	nid, ok, err := current.Get(ctx, event.StateKey{Type: typeEncryption})
	if err != nil || !ok {
		return false, false, err
	}
	found, err := l.b.s.rooms.EventsByNID(ctx, []int64{nid})
	if err != nil || len(found) == 0 {
		return true, false, err
	}
	return true, found[0].StreamPos > l.b.from, nil
}

func isEncryption(e *rooms.StoredEvent) bool {
	key, isState := e.StateKey()
	return isState && key == "" && e.Type() == typeEncryption
}

// member looks at one user whose membership in a room changed.
func (l *lists) member(ctx context.Context, user event.UserID, room int64, encrypted bool) error {
	now, _, err := l.b.s.rooms.MembershipIn(ctx, user, room)
	if err != nil {
		return err
	}
	if now.Membership == membershipJoin {
		if encrypted {
			l.changed[user] = struct{}{}
		}
		return nil
	}
	shared, err := l.b.s.rooms.ShareRoom(ctx, l.b.r.User, user)
	if err == nil && !shared {
		l.left[user] = struct{}{}
	}
	return err
}

func (l *lists) everybodyChanged(ctx context.Context, room int64) error {
	members, err := l.b.s.rooms.Members(ctx, room, membershipJoin)
	for _, m := range members {
		if m.UserID != l.b.r.User {
			l.changed[m.UserID] = struct{}{}
		}
	}
	return err
}

// everybodyLeft notes the members of a room that the user left, as far as no
// other room is shared with them.
func (l *lists) everybodyLeft(ctx context.Context, room int64) error {
	members, err := l.b.s.rooms.Members(ctx, room, membershipJoin)
	if err != nil {
		return err
	}
	if l.shared == nil {
		users, err := l.b.s.rooms.SharedRoomUsers(ctx, l.b.r.User)
		if err != nil {
			return err
		}
		l.shared = map[event.UserID]struct{}{}
		for _, user := range users {
			l.shared[user] = struct{}{}
		}
	}
	for _, m := range members {
		if _, ok := l.shared[m.UserID]; !ok && m.UserID != l.b.r.User {
			l.left[m.UserID] = struct{}{}
		}
	}
	return nil
}
