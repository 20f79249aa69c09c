// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Values of content.history_visibility.
const (
	worldReadable     = "world_readable"
	visibilityShared  = "shared"
	visibilityInvited = "invited"
	visibilityJoined  = "joined"
)

// Visible returns the events of one room that user may see, in the given
// order. A state event whose predecessor is hidden from user loses Replaces.
// This is the one rule for all endpoints; user may be empty, for nobody.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
func (s *Service) Visible(ctx context.Context, user event.UserID, events []*StoredEvent) ([]*StoredEvent, error) {
	r := &reader{service: s, user: user}
	visible := make([]*StoredEvent, 0, len(events))
	for _, ev := range events {
		p, err := r.view(ctx, ev)
		if err != nil {
			return nil, err
		}
		if !p.visible {
			continue
		}
		ev, err = r.hidePrevious(ctx, ev)
		if err != nil {
			return nil, err
		}
		visible = append(visible, ev)
	}
	return visible, nil
}

// MembershipsAt returns what user was to the room at each of the events,
// including what the event itself changed ("leave" before any membership).
func (s *Service) MembershipsAt(ctx context.Context, user event.UserID, events []*StoredEvent) ([]string, error) {
	r := &reader{service: s, user: user}
	memberships := make([]string, len(events))
	for i, ev := range events {
		p, err := r.view(ctx, ev)
		if err != nil {
			return nil, err
		}
		memberships[i] = p.membership
	}
	return memberships, nil
}

// reader answers what one user may see. It remembers the last state and room
// that it looked at: neighbours in a timeline mostly share them.
type reader struct {
	service *Service
	user    event.UserID

	stateNID   int64
	haveState  bool
	visibility string
	membership string

	roomNID     int64
	haveRoom    bool
	joinedUntil int64
	// open: the room is world-readable now.
	open bool
}

// viewpoint is how one event looks to the reader.
type viewpoint struct {
	membership string
	visible    bool
}

// view finds out whether the reader may see ev.
func (r *reader) view(ctx context.Context, ev *StoredEvent) (viewpoint, error) {
	if err := r.enterState(ctx, ev.StateNID); err != nil {
		return viewpoint{}, err
	}
	if err := r.enterRoom(ctx, ev.RoomNID); err != nil {
		return viewpoint{}, err
	}
	p := viewpoint{membership: r.membership}
	p.visible = r.allows(r.visibility, r.membership, ev.StreamPos)
	switch {
	case ev.IsState(memberKey(r.user)) && r.user != "":
		// Their own membership is known to them: /sync told them.
		p.membership, p.visible = ev.Membership(), p.visible || r.joinedUntil != forgotten
	case ev.IsState(event.StateKey{Type: typeHistoryVisibility}):
		// A change of visibility is seen by whoever sees one of both sides.
		p.visible = p.visible || r.allows(historyVisibility(ev.Event), r.membership, ev.StreamPos)
	}
	return p, nil
}

// allows reports whether the reader may see what happened at pos. What came
// after they last left is hidden, except what was world-readable then while
// the room is so now: otherwise they cannot read the room at that place at all.
func (r *reader) allows(visibility, membership string, pos int64) bool {
	switch {
	case pos > r.joinedUntil:
		return visibility == worldReadable && r.open
	case membership == Join, visibility == worldReadable, visibility == visibilityShared:
		return true
	default:
		return visibility == visibilityInvited && membership == Invite
	}
}

// enterState reads what of a state matters.
func (r *reader) enterState(ctx context.Context, stateNID int64) error {
	if r.haveState && r.stateNID == stateNID {
		return nil
	}
	r.visibility, r.membership = visibilityShared, Leave
	r.stateNID, r.haveState = stateNID, true
	if stateNID == 0 {
		return nil // before the create event
	}
	state, err := r.service.StateAt(ctx, stateNID)
	if err != nil {
		return err
	}
	ev, err := state.Event(ctx, event.StateKey{Type: typeHistoryVisibility})
	if err != nil {
		return err
	}
	if ev != nil {
		r.visibility = historyVisibility(ev.Event)
	}
	if r.user == "" {
		return nil
	}
	if ev, err = state.Event(ctx, memberKey(r.user)); err != nil {
		return err
	}
	if ev != nil {
		r.membership = ev.Membership()
	}
	return nil
}

// historyVisibility is what an m.room.history_visibility event sets; a value
// that is none of the specification's means shared.
func historyVisibility(ev *event.Event) string {
	content, _ := event.ParseObject(ev.Content())
	value, _ := content.String("history_visibility")
	switch value {
	case worldReadable, visibilityInvited, visibilityJoined:
		return value
	default:
		return visibilityShared
	}
}

// Values of reader.joinedUntil beside stream positions.
const (
	stillJoined = math.MaxInt64
	neverJoined = math.MinInt64
	forgotten   = math.MinInt64 + 1
)

// enterRoom finds out up to which position the reader was ever joined.
func (r *reader) enterRoom(ctx context.Context, roomNID int64) error {
	if r.haveRoom && r.roomNID == roomNID {
		return nil
	}
	r.roomNID, r.haveRoom, r.joinedUntil, r.open = roomNID, true, neverJoined, false
	if r.user != "" {
		m, ok, err := r.service.MembershipIn(ctx, r.user, roomNID)
		if err == nil && ok {
			r.joinedUntil, err = r.service.joinedUntil(ctx, m)
		}
		if err != nil || r.joinedUntil == stillJoined {
			return err
		}
	}
	var err error
	r.open, err = r.service.isWorldReadable(ctx, roomNID)
	return err
}

// maxMembershipWalk bounds how far back a last join is looked for.
const maxMembershipWalk = 200

// joinedUntil returns the position at which the user last ceased to be joined.
func (s *Service) joinedUntil(ctx context.Context, m Membership) (int64, error) {
	switch {
	case m.Membership == Join:
		return stillJoined, nil
	case m.Forgotten:
		return forgotten, nil
	}
	left, err := s.lastLeave(ctx, m)
	if err != nil || left == nil {
		return neverJoined, err
	}
	return left.StreamPos, nil
}

// lastLeave returns the event by which a user who is not joined ceased to be
// so, nil if they never were joined.
func (s *Service) lastLeave(ctx context.Context, m Membership) (*StoredEvent, error) {
	ev, err := s.oneEvent(ctx, m.EventNID)
	for range maxMembershipWalk {
		if err != nil || ev.ReplacesNID == 0 {
			return nil, err
		}
		before, err := s.oneEvent(ctx, ev.ReplacesNID)
		if err != nil {
			return nil, err
		}
		if before.Membership() == Join {
			return ev, nil
		}
		ev = before
	}
	return nil, nil
}

// hidePrevious takes Replaces from ev where the reader may not see that event.
func (r *reader) hidePrevious(ctx context.Context, ev *StoredEvent) (*StoredEvent, error) {
	if ev.Replaces == nil {
		return ev, nil
	}
	before, err := r.service.oneEvent(ctx, ev.ReplacesNID)
	if err != nil {
		return nil, err
	}
	other := &reader{service: r.service, user: r.user, roomNID: r.roomNID, haveRoom: true, joinedUntil: r.joinedUntil, open: r.open}
	p, err := other.view(ctx, before)
	if err != nil || p.visible {
		return ev, err
	}
	hidden := *ev
	hidden.Replaces = nil
	return &hidden, nil
}
