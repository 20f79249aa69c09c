// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// seesAllSince reports whether the reader sees every event of the room from
// the position pos on, which is so for most members. false means that each
// event has to be looked at: what points at an event is then not counted by the
// database.
func (r *reader) seesAllSince(ctx context.Context, roomNID, pos int64) (bool, error) {
	if err := r.enterRoom(ctx, roomNID); err != nil || r.joinedUntil != stillJoined {
		return false, err
	}
	if joined, err := r.joinedSince(ctx, roomNID, pos); err != nil || joined {
		return joined, err
	}
	return r.sharedSince(ctx, roomNID, pos)
}

// joinedSince reports whether the reader has been in the room without a break.
func (r *reader) joinedSince(ctx context.Context, roomNID, pos int64) (bool, error) {
	m, _, err := r.service.MembershipIn(ctx, r.user, roomNID)
	if err != nil {
		return false, err
	}
	nid := m.EventNID
	for range maxMembershipWalk {
		ev, err := r.service.oneEvent(ctx, nid)
		if err != nil || ev.Membership() != Join {
			return false, err
		}
		if ev.StreamPos <= pos {
			return true, nil
		}
		if nid = ev.ReplacesNID; nid == 0 {
			return false, nil
		}
	}
	return false, nil
}

// sharedSince reports whether members were allowed to see the history all the time.
func (r *reader) sharedSince(ctx context.Context, roomNID, pos int64) (bool, error) {
	state, err := r.service.CurrentState(ctx, roomNID)
	if err != nil {
		return false, err
	}
	ev, err := state.Event(ctx, event.StateKey{Type: typeHistoryVisibility})
	if err != nil {
		return false, err
	}
	for range maxMembershipWalk {
		if ev == nil {
			return true, nil // as it is where nothing was set
		}
		if v := historyVisibility(ev.Event); v != worldReadable && v != visibilityShared {
			return false, nil
		}
		if ev.StreamPos <= pos || ev.ReplacesNID == 0 {
			return true, nil
		}
		if ev, err = r.service.oneEvent(ctx, ev.ReplacesNID); err != nil {
			return false, err
		}
	}
	return false, nil
}
