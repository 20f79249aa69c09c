// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// ThreadQuery asks for the threads of a room whose last event is at or before
// Before, the newest first.
type ThreadQuery struct {
	RoomNID, Before int64
	// Participant, if not empty, began the threads or spoke in them.
	Participant string
	Limit       int
}

// Thread is a thread of a room.
type Thread struct {
	RootNID int64
	// LastPos is the position of its last event.
	LastPos int64
}

// A thread has a row for every sender, and is found by that of the last. Both
// walk along the index threads_by_time.
const (
	selectThreads = `SELECT e.event_nid, t.last_pos FROM threads t JOIN events e ON e.event_id = t.root_id
	WHERE t.room_nid = $1 AND t.last_pos <= $2 AND e.room_nid = $1 AND NOT EXISTS (SELECT 1 FROM threads newer
		WHERE newer.room_nid = $1 AND newer.root_id = t.root_id AND newer.last_pos > t.last_pos)`
	ofParticipant = ` AND (e.sender = $4 OR EXISTS (SELECT 1 FROM threads own
		WHERE own.room_nid = $1 AND own.root_id = t.root_id AND own.sender = $4))`
	endThreads = ` ORDER BY t.last_pos DESC LIMIT $3`
)

// Threads returns those threads whose first event this server has.
func (s *Store) Threads(ctx context.Context, q ThreadQuery) ([]Thread, error) {
	scan := func(row scanner) (Thread, error) {
		var t Thread
		return t, row.Scan(&t.RootNID, &t.LastPos)
	}
	if q.Participant == "" {
		return queryAll(ctx, s, scan, selectThreads+endThreads, q.RoomNID, q.Before, q.Limit)
	}
	return queryAll(ctx, s, scan, selectThreads+ofParticipant+endThreads, q.RoomNID, q.Before, q.Limit, q.Participant)
}
