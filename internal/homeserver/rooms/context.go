// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Around is an event and what lies around it.
type Around struct {
	Event *StoredEvent
	// Membership is the reader's at the event.
	Membership string
	// Before is newest first, After oldest first.
	Before, After []*StoredEvent
	// Start and End are where further pages begin, backwards and forwards.
	Start, End int64
	// State is the room's state after the last event returned.
	State *StateView
}

// Context returns an event of the room with up to limit visible events around it.
//
// Errors that clients see: M_FORBIDDEN, M_NOT_FOUND.
func (s *Service) Context(ctx context.Context, a *Access, id event.EventID, limit int, matches func(*StoredEvent) bool) (*Around, error) {
	ev, membership, err := s.VisibleEvent(ctx, a.User, a.ID, id)
	if err != nil {
		return nil, err
	}
	around := &Around{Event: ev, Membership: membership}
	before := ev.StreamPos - 1
	back, err := s.Messages(ctx, a, MessagesQuery{From: &before, Backwards: true, Limit: limit / 2, Matches: matches})
	if err != nil {
		return nil, err
	}
	after := ev.StreamPos
	forth, err := s.Messages(ctx, a, MessagesQuery{From: &after, Limit: limit - limit/2, Matches: matches})
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
	around.State, err = s.StateAfter(ctx, last)
	return around, err
}
