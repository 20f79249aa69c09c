// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"
	"fmt"
)

// positioned are the tables whose rows are at a position of the stream, with
// the kind of change that is there (0: any).
var positioned = []struct {
	table string
	kind  int
}{
	{"changes", 0},
	{"events", 1},
	{"memberships", 1},
	{"state_deltas", 1},
	{"relations", 1},
	{"receipts", 2},
	{"account_data", 3},
	{"to_device", 4},
	{"device_list_changes", 5},
	{"one_time_keys", 7},
	{"signature_changes", 10},
}

// The change log has every position up to the head, each once (the primary
// key), and whatever is in the stream is in the log: readers follow the log
// alone. The log may have been cut off at its beginning.
var streamInvariants = []invariant{
	{"the stream has more than one head, or none", `SELECT COUNT(*) AS heads FROM stream_head HAVING COUNT(*) <> 1`, doRestore},
	{"positions are missing in the change log", `SELECT c.stream_pos AS after_position FROM changes c
		WHERE NOT EXISTS (SELECT 1 FROM changes n WHERE n.stream_pos = c.stream_pos + 1)
		AND c.stream_pos < (SELECT MAX(pos) FROM stream_head)`, doRestore},
	{"two events are at one position", `SELECT stream_pos AS position, MIN(event_id) AS event_id, COUNT(*) AS events FROM events
		WHERE stream_pos <> 0 GROUP BY stream_pos HAVING COUNT(*) > 1`, doRestore},
	{"an event is not in the change log", `SELECT e.event_id, e.stream_pos AS position FROM events e
		WHERE e.stream_pos >= (SELECT MIN(stream_pos) FROM changes) AND e.stream_pos > 0 AND NOT EXISTS
		(SELECT 1 FROM changes c WHERE c.stream_pos = e.stream_pos AND c.kind = 1 AND c.ref = e.event_nid AND c.room_nid = e.room_nid)`, doRestore},
	{"the change log tells of an event that is missing", `SELECT c.stream_pos AS position, c.ref AS event_nid FROM changes c
		WHERE c.kind IN (1, 11) AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_nid = c.ref)`, doRestore},
	{"one message to a device is there twice", `SELECT stream_pos AS position, COUNT(*) AS messages FROM to_device
		GROUP BY stream_pos HAVING COUNT(*) > 1`, doRestore},
}

func (c *checker) stream(ctx context.Context) error {
	all := streamInvariants
	for _, p := range positioned {
		all = append(all, invariant{
			"a position is beyond the head of the stream",
			fmt.Sprintf(`SELECT '%[1]s' AS in_table, stream_pos AS position FROM %[1]s
			WHERE stream_pos > (SELECT MAX(pos) FROM stream_head)`, p.table), doRestore,
		})
		if p.kind == 0 || p.table == "events" {
			continue
		}
		all = append(all, invariant{
			"a row is at a position where the change log has something else",
			fmt.Sprintf(`SELECT '%[1]s' AS in_table, t.stream_pos AS position FROM %[1]s t
			WHERE t.stream_pos >= (SELECT MIN(stream_pos) FROM changes) AND t.stream_pos <= (SELECT MAX(pos) FROM stream_head)
			AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.stream_pos = t.stream_pos AND c.kind = %[2]d)`, p.table, p.kind), doRestore,
		})
	}
	if err := c.hold(ctx, all); err != nil {
		return err
	}
	return c.Each(ctx, `SELECT pos FROM stream_head`, nil, func(rows *sql.Rows) error { return rows.Scan(&c.counts.Position) })
}
