// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"

	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

var stateInvariants = []invariant{
	{"a state's parent is missing or not above it", `SELECT s.state_nid, s.parent_nid FROM state s WHERE s.parent_nid <> 0 AND NOT EXISTS
		(SELECT 1 FROM state p WHERE p.state_nid = s.parent_nid AND p.room_nid = s.room_nid AND p.level < s.level)`, doRestore},
	{"a state has no parent and is not complete", `SELECT state_nid, level FROM state
		WHERE level NOT BETWEEN 0 AND 3 OR (parent_nid = 0) <> (level = 0)`, doRestore},
	{"the current state names an event that is not of its room and key", `SELECT r.room_id AS room, c.skid, c.event_nid FROM current_state c
		LEFT JOIN rooms r ON r.room_nid = c.room_nid WHERE NOT EXISTS
		(SELECT 1 FROM events e WHERE e.event_nid = c.event_nid AND e.room_nid = c.room_nid AND e.skid = c.skid)`, doRestore},
	{"the last change of a room's state is not its current state", `SELECT d.room_nid, d.skid, d.stream_pos AS position FROM
		(SELECT room_nid, skid, MAX(stream_pos) AS stream_pos FROM state_deltas GROUP BY room_nid, skid) last
		JOIN state_deltas d ON d.stream_pos = last.stream_pos AND d.skid = last.skid
		LEFT JOIN current_state c ON c.room_nid = d.room_nid AND c.skid = d.skid
		WHERE d.new_nid <> COALESCE(c.event_nid, 0)`, doRestore},
}

const selectStatePage = `SELECT state_nid, room_nid, parent_nid, level, n, added, removed FROM state
	WHERE state_nid > $1 ORDER BY state_nid LIMIT $2`

func scanState(rows *sql.Rows) (store.StateRow, error) {
	var r store.StateRow
	return r, rows.Scan(&r.NID, &r.RoomNID, &r.ParentNID, &r.Level, &r.N, &r.Added, &r.Removed)
}

// states checks that every state can be read; rooms compares those that matter now.
func (c *checker) states(ctx context.Context) error {
	if err := c.hold(ctx, stateInvariants); err != nil {
		return err
	}
	last := int64(-1)
	for {
		before := c.counts.States
		err := c.Each(ctx, selectStatePage, []any{last, pageSize}, func(rows *sql.Rows) error {
			row, err := scanState(rows)
			if err != nil {
				return err
			}
			last = row.NID
			c.counts.States++
			if _, err := rooms.DecodeState([]store.StateRow{row}); err != nil {
				return c.found(Finding{What: "a state cannot be read", Where: "state_nid=" + word(row.NID), Do: doRestore})
			}
			return nil
		})
		if err != nil || c.counts.States == before {
			return err
		}
	}
}
