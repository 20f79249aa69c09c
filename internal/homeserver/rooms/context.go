// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Around is an event and what lies around it.
type Around struct {
	Event *StoredEvent
	// Before is newest first, After oldest first.
	Before, After []*StoredEvent
	// Start and End are where further pages begin, backwards and forwards.
	Start, End int64
	// State is the room's state after the last event returned.
	State *StateView
}

// ContextQuery asks for an event and up to Limit visible events around it.
type ContextQuery struct {
	RoomID  event.RoomID
	EventID event.EventID
	Limit   int
	// Matches says which events around it are wanted; nil for all.
	Matches func(*StoredEvent) bool
}

// Context returns an event of a room with those around it.
//
// Errors that clients see: M_NOT_FOUND, the same whether the event is hidden,
// in another room or nowhere.
func (s *Service) Context(ctx context.Context, user event.UserID, q ContextQuery) (*Around, error) {
	ev, err := s.WantedEvent(ctx, user, q.RoomID, q.EventID)
	if err != nil {
		return nil, err
	}
	a, err := s.Access(ctx, user, q.RoomID)
	if matrixerr.Is(err, matrixerr.CodeForbidden) {
		err = errEventNotFound() // an invitation, say: there is nothing around it for them
	}
	if err != nil {
		return nil, err
	}
	around := &Around{Event: ev}
	before := ev.StreamPos - 1
	back, err := s.Messages(ctx, a, MessagesQuery{From: &before, Backwards: true, Limit: q.Limit / 2, Matches: q.Matches})
	if err != nil {
		return nil, err
	}
	after := ev.StreamPos
	forth, err := s.Messages(ctx, a, MessagesQuery{From: &after, Limit: q.Limit - q.Limit/2, Matches: q.Matches})
	if err != nil {
		return nil, err
	}
	around.Before, around.After = back.Events, forth.Events
	around.Start, around.End = before, after
	last := ev
	if n := len(back.Events); n > 0 {
		around.Start = back.Events[n-1].StreamPos - 1
	}
	if n := len(forth.Events); n > 0 {
		last = forth.Events[n-1]
		around.End = last.StreamPos
	}
	if a.left != nil && last.StreamPos > a.left.StreamPos {
		last = a.left // of what came later only their own membership is shown
	}
	around.State, err = s.StateAfter(ctx, last)
	return around, err
}

// timeStep is how many events are looked at in one go for one that is visible.
const timeStep = 32

// EventAt returns the visible event of a room that is nearest to a time in
// milliseconds since 1970, at it or after it or, backwards, before it. Of
// events that are hidden from the user it looks at maxScan at most.
//
// Errors that clients see: M_FORBIDDEN, M_NOT_FOUND.
func (s *Service) EventAt(ctx context.Context, user event.UserID, room event.RoomID, ts int64, isBackwards bool) (*StoredEvent, error) {
	a, err := s.Access(ctx, user, room)
	if err != nil {
		return nil, err
	}
	q := store.TimeQuery{RoomNID: a.NID, TS: ts, EventNID: math.MinInt64, Limit: timeStep}
	if isBackwards {
		q.Backwards, q.EventNID = true, math.MaxInt64
	}
	for scanned := 0; scanned < maxScan; scanned += timeStep {
		rows, err := s.store.EventsByTime(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read events by time: %w", err)
		}
		nids := make([]int64, len(rows))
		for i, r := range rows {
			nids[i] = r.NID
		}
		seen, err := s.seen(ctx, user, nids)
		if err != nil {
			return nil, err
		}
		if len(seen) > 0 {
			return seen[0], nil
		}
		if len(rows) < timeStep {
			break
		}
		last := rows[len(rows)-1]
		q.TS, q.EventNID = last.TS, last.NID
	}
	return nil, matrixerr.NotFound("there is no event in that direction")
}
