// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// ThreadQuery asks for the threads of a room whose last event is at or before
// Before, the newest first.
type ThreadQuery struct {
	RoomNID, Before int64
	// User is whose part in the threads is asked for.
	User  string
	Limit int
}

// Thread is a thread of a room.
type Thread struct {
	RootNID int64
	// LastPos is the position of its last event.
	LastPos int64
	// Spoke: the user of the query replied in it.
	Spoke bool
}

// A thread has a row for every sender, and is found by that of the last, along
// the index threads_by_time.
const selectThreads = `SELECT e.event_nid, t.last_pos, (SELECT COUNT(*) FROM threads own
		WHERE own.room_nid = $1 AND own.root_id = t.root_id AND own.sender = $4)
	FROM threads t JOIN events e ON e.event_id = t.root_id
	WHERE t.room_nid = $1 AND t.last_pos <= $2 AND e.room_nid = $1 AND NOT EXISTS (SELECT 1 FROM threads newer
		WHERE newer.room_nid = $1 AND newer.root_id = t.root_id AND newer.last_pos > t.last_pos)
	ORDER BY t.last_pos DESC LIMIT $3`

// Threads returns those threads whose first event this server has.
func (s *Store) Threads(ctx context.Context, q ThreadQuery) ([]Thread, error) {
	return queryAll(ctx, s, func(row scanner) (Thread, error) {
		var t Thread
		var own int64
		err := row.Scan(&t.RootNID, &t.LastPos, &own)
		t.Spoke = own > 0
		return t, err
	}, selectThreads, q.RoomNID, q.Before, q.Limit, q.User)
}
