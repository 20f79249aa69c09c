// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// TimeQuery asks for the events of a room by their senders' clocks: from the
// place (TS, EventNID) on, without it, forwards or backwards.
type TimeQuery struct {
	RoomNID, TS, EventNID int64
	Backwards             bool
	Limit                 int
}

// What is stored for reference only (position 0) is left out.
const (
	selectByTimeForward = `SELECT event_nid, origin_ts FROM events
	WHERE room_nid = $1 AND (origin_ts, event_nid) > ($2, $3) AND stream_pos <> 0 ORDER BY origin_ts, event_nid LIMIT $4`
	selectByTimeBackward = `SELECT event_nid, origin_ts FROM events
	WHERE room_nid = $1 AND (origin_ts, event_nid) < ($2, $3) AND stream_pos <> 0 ORDER BY origin_ts DESC, event_nid DESC LIMIT $4`
)

// TimedEvent is an event and the time that its sender gave it, in milliseconds since 1970.
type TimedEvent struct{ NID, TS int64 }

// EventsByTime returns events in the order of their times, the nearest first.
func (s *Store) EventsByTime(ctx context.Context, q TimeQuery) ([]TimedEvent, error) {
	query := selectByTimeForward
	if q.Backwards {
		query = selectByTimeBackward
	}
	scan := func(row scanner) (TimedEvent, error) {
		var e TimedEvent
		return e, row.Scan(&e.NID, &e.TS)
	}
	return queryAll(ctx, s, scan, query, q.RoomNID, q.TS, q.EventNID, q.Limit)
}
