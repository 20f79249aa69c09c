// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxHeroes is how many members a room without a name is called after.
const maxHeroes = 5

// summary is how many members a room has and what it can be called.
type summary struct {
	joined, invited int
	// named: the room has a name of its own, so that it needs no heroes.
	named bool
	after []event.UserID
}

// heroes is nil-safe.
func (s *summary) heroes() []event.UserID {
	if s == nil {
		return nil
	}
	return s.after
}

func (s *summary) append(dst []byte) []byte {
	if s == nil {
		return dst
	}
	dst = append(dst, `,"summary":{"m.joined_member_count":`...)
	dst = strconv.AppendInt(dst, int64(s.joined), 10)
	dst = append(dst, `,"m.invited_member_count":`...)
	dst = strconv.AppendInt(dst, int64(s.invited), 10)
	if !s.named {
		dst = appendStrings(append(dst, `,"m.heroes":`...), s.after)
	}
	return append(dst, '}')
}

// summary counts the members of a room and finds out what it can be called.
//
// https://spec.matrix.org/v1.19/client-server-api/#calculating-the-display-name-for-a-room
func (b *builder) summary(ctx context.Context, roomNID int64) (*summary, error) {
	joined, invited, err := b.s.rooms.Counts(ctx, roomNID)
	if err != nil {
		return nil, err
	}
	s := &summary{joined: joined, invited: invited}
	if b.ahead.has(roomNID) {
		s.named = b.ahead.named[roomNID]
		s.callAfter(b.ahead.heroes[roomNID])
		return s, nil
	}
	if s.named, err = b.named(ctx, roomNID); err != nil || s.named {
		return s, err
	}
	for _, memberships := range heroMemberships {
		heroes, err := b.s.store.Heroes(ctx, roomNID, memberships, string(b.r.User), maxHeroes)
		if err != nil {
			return nil, err
		}
		if s.callAfter(heroes); len(heroes) > 0 {
			break
		}
	}
	return s, nil
}

// heroMemberships are those of users after whom a room can be called: who is
// there or, where nobody is, who was.
var heroMemberships = [][2]string{{membershipJoin, membershipInvite}, {membershipLeave, membershipBan}}

func (s *summary) callAfter(heroes []store.Hero) {
	for _, h := range heroes {
		s.after = append(s.after, event.UserID(h.UserID))
	}
}

// named reports whether a room has a name or a canonical alias.
func (b *builder) named(ctx context.Context, roomNID int64) (bool, error) {
	current, err := b.s.rooms.CurrentState(ctx, roomNID)
	if err != nil {
		return false, err
	}
	for typ, member := range map[string]string{typeName: "name", typeAlias: "alias"} {
		nid, ok, err := current.Get(ctx, event.StateKey{Type: typ})
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		found, err := b.s.rooms.EventsByNID(ctx, []int64{nid})
		if err != nil || len(found) == 0 {
			return false, err
		}
		content, _ := event.ParseObject(found[0].Content())
		if text, _ := content.String(member); text != "" {
			return true, nil
		}
	}
	return false, nil
}
