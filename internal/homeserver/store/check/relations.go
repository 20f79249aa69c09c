// SPDX-License-Identifier: Apache-2.0

package check

import "context"

// A relation repeats columns of its event, and a thread counts relations.
var relationInvariants = []invariant{
	{"a relation is not that of its event", `SELECT r.event_id, r.event_nid FROM relations r WHERE NOT EXISTS
		(SELECT 1 FROM events e WHERE e.event_nid = r.event_nid AND e.event_id = r.event_id AND e.room_nid = r.room_nid
		AND e.sender = r.sender AND e.type = r.type AND e.stream_pos = r.stream_pos AND e.redacted_by = 0)`, doRestore},
	{"a thread has another number of events than it says", `SELECT t.root_id, t.sender, t.n, COUNT(r.event_nid) AS counted FROM threads t
		LEFT JOIN relations r ON r.room_nid = t.room_nid AND r.relates_to = t.root_id AND r.sender = t.sender
		AND r.rel_type = CAST('m.thread' AS BYTEA)
		GROUP BY t.room_nid, t.root_id, t.sender, t.n HAVING COUNT(r.event_nid) <> t.n`, doRestore},
	{"the last event of a thread is another one", `SELECT t.root_id, t.sender, t.last_pos FROM threads t WHERE NOT EXISTS
		(SELECT 1 FROM relations r WHERE r.event_nid = t.last_nid AND r.stream_pos = t.last_pos AND r.relates_to = t.root_id)
		OR EXISTS (SELECT 1 FROM relations r WHERE r.room_nid = t.room_nid AND r.relates_to = t.root_id AND r.sender = t.sender
		AND r.rel_type = CAST('m.thread' AS BYTEA) AND r.stream_pos > t.last_pos)`, doRestore},
	{"an event in a thread is not counted", `SELECT r.event_id, r.relates_to FROM relations r WHERE r.rel_type = CAST('m.thread' AS BYTEA)
		AND NOT EXISTS (SELECT 1 FROM threads t WHERE t.room_nid = r.room_nid AND t.root_id = r.relates_to AND t.sender = r.sender)`, doRestore},
}

func (c *checker) relations(ctx context.Context) error { return c.hold(ctx, relationInvariants) }
