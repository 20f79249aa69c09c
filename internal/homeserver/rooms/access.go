// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Access is what a user may read of a room.
type Access struct {
	*Info
	User event.UserID
	// Joined: the user is in the room now.
	Joined bool
	// UpTo is the position at which the user left, or of what became of their
	// membership since; the largest int64 if they may follow the room.
	UpTo int64
	// left is the event that ended the membership of a user who left.
	left *StoredEvent
}

// Access returns what user may read of the room: everything for its members
// (the history as Visible says), the past for those who left, and the present
// of a world-readable room for everybody.
//
// Errors that clients see: M_FORBIDDEN, also if there is no such room.
func (s *Service) Access(ctx context.Context, user event.UserID, room event.RoomID) (*Access, error) {
	info, err := s.RoomByID(ctx, room)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNotInRoom()
	}
	if err != nil {
		return nil, err
	}
	a := &Access{Info: info, User: user, UpTo: math.MaxInt64}
	m, ok, err := s.MembershipIn(ctx, user, info.NID)
	if err != nil {
		return nil, err
	}
	if ok && m.Membership == Join {
		a.Joined = true
		return a, nil
	}
	open, err := s.isWorldReadable(ctx, info.NID)
	if err != nil || open {
		return a, err
	}
	if !ok || m.Forgotten {
		return nil, errNotInRoom()
	}
	if a.left, err = s.lastLeave(ctx, m); err != nil {
		return nil, err
	}
	if a.left == nil {
		return nil, errNotInRoom()
	}
	a.UpTo = max(a.left.StreamPos, m.StreamPos)
	return a, nil
}

func errNotInRoom() error { return matrixerr.Forbidden("you are not in this room") }

func (s *Service) isWorldReadable(ctx context.Context, roomNID int64) (bool, error) {
	state, err := s.CurrentState(ctx, roomNID)
	if err != nil {
		return false, err
	}
	ev, err := state.Event(ctx, event.StateKey{Type: typeHistoryVisibility})
	return ev != nil && historyVisibility(ev.Event) == worldReadable, err
}

// State returns the state of the room that a may read: the current one, or
// the one at which the user left.
func (s *Service) State(ctx context.Context, a *Access) (*StateView, error) {
	if a.left != nil {
		return s.StateAfter(ctx, a.left)
	}
	return s.CurrentState(ctx, a.NID)
}

// StateAtPosition returns the state after the last event up to the position
// pos, as far as a may read.
func (s *Service) StateAtPosition(ctx context.Context, a *Access, pos int64) (*StateView, error) {
	if a.left != nil && pos >= a.left.StreamPos {
		return s.State(ctx, a)
	}
	last, err := s.Timeline(ctx, TimelineQuery{RoomNID: a.NID, From: math.MinInt64, To: pos, Limit: 1, Backwards: true})
	if err != nil {
		return nil, err
	}
	if len(last) == 0 {
		return s.StateAt(ctx, 0)
	}
	return s.StateAfter(ctx, last[0])
}

// VisibleEvent returns an event of the room with the user's membership at it.
// Whoever may not read the room at all sees none.
//
// Errors that clients see: M_NOT_FOUND, the same whether the event is hidden,
// in another room or nowhere.
func (s *Service) VisibleEvent(ctx context.Context, user event.UserID, room event.RoomID, id event.EventID) (*StoredEvent, string, error) {
	a, err := s.Access(ctx, user, room)
	if err == nil {
		var ev *StoredEvent
		if ev, err = s.EventByID(ctx, a.Info, id); err == nil {
			return s.lookAt(ctx, user, ev)
		}
	}
	if errors.Is(err, store.ErrNotFound) || matrixerr.Is(err, matrixerr.CodeForbidden) {
		err = errEventNotFound()
	}
	return nil, "", err
}

func (s *Service) lookAt(ctx context.Context, user event.UserID, ev *StoredEvent) (*StoredEvent, string, error) {
	seen, err := s.Visible(ctx, user, []*StoredEvent{ev})
	if err != nil {
		return nil, "", err
	}
	if len(seen) == 0 || ev.StreamPos == 0 {
		return nil, "", errEventNotFound()
	}
	memberships, err := s.MembershipsAt(ctx, user, seen)
	if err != nil {
		return nil, "", err
	}
	return seen[0], memberships[0], nil
}

// MemberEvents returns the m.room.member events that a may read, at the
// position at or, if it is nil, the newest.
func (s *Service) MemberEvents(ctx context.Context, a *Access, at *int64) ([]*StoredEvent, error) {
	pos := int64(math.MaxInt64)
	if at != nil {
		pos = *at
	}
	state, err := s.StateAtPosition(ctx, a, pos)
	if err != nil {
		return nil, err
	}
	nids, err := state.MemberNIDs(ctx)
	if err != nil {
		return nil, err
	}
	return s.EventsByNID(ctx, nids)
}

// JoinedMemberEvents returns the m.room.member events of who is in a room that user is in.
//
// Errors that clients see: M_FORBIDDEN.
func (s *Service) JoinedMemberEvents(ctx context.Context, user event.UserID, room event.RoomID) ([]*StoredEvent, error) {
	a, err := s.Access(ctx, user, room)
	if err != nil {
		return nil, err
	}
	if !a.Joined {
		return nil, errNotInRoom()
	}
	members, err := s.Members(ctx, a.NID, Join)
	if err != nil {
		return nil, err
	}
	nids := make([]int64, len(members))
	for i, m := range members {
		nids[i] = m.EventNID
	}
	return s.EventsByNID(ctx, nids)
}

// Senders returns the m.room.member events of the senders of events, as they
// were after the newest of them.
func (s *Service) Senders(ctx context.Context, events []*StoredEvent) ([]*StoredEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	newest := slices.MaxFunc(events, func(a, b *StoredEvent) int { return cmp.Compare(a.StreamPos, b.StreamPos) })
	state, err := s.StateAfter(ctx, newest)
	if err != nil {
		return nil, err
	}
	var nids []int64
	seen := map[event.UserID]bool{}
	for _, ev := range events {
		if seen[ev.Sender()] {
			continue
		}
		seen[ev.Sender()] = true
		nid, ok, err := state.Get(ctx, memberKey(ev.Sender()))
		if err != nil {
			return nil, err
		}
		if ok {
			nids = append(nids, nid)
		}
	}
	return s.EventsByNID(ctx, nids)
}
