// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The memberships.
const (
	Join   = "join"
	Invite = "invite"
	Leave  = "leave"
	Ban    = "ban"
	Knock  = "knock"
)

type counts struct{ joined, invited int }

// membershipSize is about the memory that a Membership takes.
const membershipSize = 80

func newMemberships(rows []store.Membership) []Membership {
	all := make([]Membership, len(rows))
	for i, r := range rows {
		all[i] = Membership{
			UserID: event.UserID(r.UserID), RoomNID: r.RoomNID, Membership: r.Membership, EventNID: r.EventNID,
			StreamPos: r.StreamPos, Forgotten: r.Forgotten,
		}
	}
	return all
}

// MembershipsOf returns every room that the user ever had a membership in, by RoomNID. Cached; read only.
func (s *Service) MembershipsOf(ctx context.Context, user event.UserID) ([]Membership, error) {
	return s.users.load(ctx, user, func(ctx context.Context) ([]Membership, int64, error) {
		rows, err := s.store.MembershipsOf(ctx, string(user))
		if err != nil {
			return nil, 0, fmt.Errorf("read memberships: %w", err)
		}
		return newMemberships(rows), int64(len(rows)) * membershipSize, nil
	})
}

// MembershipIn returns the user's membership in the room; ok is false if there never was one.
func (s *Service) MembershipIn(ctx context.Context, user event.UserID, roomNID int64) (m Membership, ok bool, err error) {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return Membership{}, false, err
	}
	i, ok := slices.BinarySearchFunc(all, roomNID, func(m Membership, nid int64) int { return cmp.Compare(m.RoomNID, nid) })
	if !ok {
		return Membership{}, false, nil
	}
	return all[i], true, nil
}

// Members returns the members of the room with one of the memberships, or all if none is given, by user id.
func (s *Service) Members(ctx context.Context, roomNID int64, memberships ...string) ([]Membership, error) {
	rows, err := s.store.Members(ctx, roomNID, memberships...)
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return newMemberships(rows), nil
}

// Counts returns how many users are joined to and invited to the room. Cached.
func (s *Service) Counts(ctx context.Context, roomNID int64) (joined, invited int, err error) {
	c, err := s.counts.load(ctx, roomNID, func(ctx context.Context) (counts, int64, error) {
		joined, invited, err := s.store.MemberCounts(ctx, roomNID)
		return counts{joined, invited}, 0, err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count members: %w", err)
	}
	return c.joined, c.invited, nil
}

// SharedRoomUsers returns the users who are joined to a room that user is joined to, without user, by id.
func (s *Service) SharedRoomUsers(ctx context.Context, user event.UserID) ([]event.UserID, error) {
	rows, err := s.store.SharedRoomUsers(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read users who share a room: %w", err)
	}
	users := make([]event.UserID, len(rows))
	for i, id := range rows {
		users[i] = event.UserID(id)
	}
	return users, nil
}

// ShareRoom reports whether both users are joined to one room.
func (s *Service) ShareRoom(ctx context.Context, a, b event.UserID) (bool, error) {
	all, err := s.MutualRooms(ctx, a, b)
	return len(all) > 0, err
}

// MutualRooms returns the nids of the rooms that both users are joined to, in order.
func (s *Service) MutualRooms(ctx context.Context, a, b event.UserID) ([]int64, error) {
	ofA, err := s.MembershipsOf(ctx, a)
	if err != nil {
		return nil, err
	}
	ofB, err := s.MembershipsOf(ctx, b)
	if err != nil {
		return nil, err
	}
	var both []int64
	for len(ofA) > 0 && len(ofB) > 0 {
		switch cmp.Compare(ofA[0].RoomNID, ofB[0].RoomNID) {
		case -1:
			ofA = ofA[1:]
		case 1:
			ofB = ofB[1:]
		default:
			if ofA[0].Membership == Join && ofB[0].Membership == Join {
				both = append(both, ofA[0].RoomNID)
			}
			ofA, ofB = ofA[1:], ofB[1:]
		}
	}
	return both, nil
}

// JoinedRooms returns the rooms that user is joined to.
func (s *Service) JoinedRooms(ctx context.Context, user event.UserID) ([]event.RoomID, error) {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	ids := []event.RoomID{}
	for _, m := range all {
		if m.Membership != Join {
			continue
		}
		room, err := s.RoomByNID(ctx, m.RoomNID)
		if err != nil {
			return nil, err
		}
		ids = append(ids, room.ID)
	}
	return ids, nil
}
