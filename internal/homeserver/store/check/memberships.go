// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Members have odd state keys: see store.IsMemberKey.
var membershipInvariants = []invariant{
	{"a member of a room has no membership", `SELECT r.room_id AS room, k.state_key AS user_id FROM current_state c
		JOIN state_keys k ON k.skid = c.skid LEFT JOIN rooms r ON r.room_nid = c.room_nid WHERE c.skid % 2 = 1 AND NOT EXISTS
		(SELECT 1 FROM memberships m WHERE m.room_nid = c.room_nid AND m.event_nid = c.event_nid)`, doRestore},
	{"a membership is not in the room's state", `SELECT r.room_id AS room, m.user_id, m.membership FROM memberships m
		LEFT JOIN rooms r ON r.room_nid = m.room_nid WHERE NOT EXISTS (SELECT 1 FROM events e
		JOIN current_state c ON c.room_nid = m.room_nid AND c.skid = e.skid AND c.event_nid = e.event_nid
		WHERE e.event_nid = m.event_nid AND e.stream_pos = m.stream_pos)`, doRestore},
	{"the number of a room's members is wrong", `SELECT r.room_id AS room, r.joined, COALESCE(m.joined, 0) AS counted,
		r.invited, COALESCE(m.invited, 0) AS counted_invited FROM rooms r LEFT JOIN (SELECT room_nid,
		SUM(CASE WHEN membership = 'join' THEN 1 ELSE 0 END) AS joined, SUM(CASE WHEN membership = 'invite' THEN 1 ELSE 0 END) AS invited
		FROM memberships GROUP BY room_nid) m ON m.room_nid = r.room_nid
		WHERE r.joined <> COALESCE(m.joined, 0) OR r.invited <> COALESCE(m.invited, 0)`, doRestore},
}

const selectMemberPage = `SELECT m.user_id, m.room_nid, m.membership, e.event_id, r.room_id, r.version, k.state_key, e.json FROM memberships m
	JOIN events e ON e.event_nid = m.event_nid JOIN rooms r ON r.room_nid = m.room_nid JOIN state_keys k ON k.skid = e.skid
	WHERE (m.user_id, m.room_nid) > ($1, $2) ORDER BY m.user_id, m.room_nid LIMIT $3`

// memberships checks that each is what its event says.
func (c *checker) memberships(ctx context.Context) error {
	if err := c.hold(ctx, membershipInvariants); err != nil {
		return err
	}
	var user string
	var room int64
	for {
		n := 0
		err := c.Each(ctx, selectMemberPage, []any{user, room, pageSize}, func(rows *sql.Rows) error {
			n++
			var membership, id, roomID, version string
			var key, json []byte
			if err := rows.Scan(&user, &room, &membership, &id, &roomID, &version, &key, &json); err != nil {
				return err
			}
			rules, ok := event.RulesFor(event.RoomVersion(version))
			if !ok {
				return nil // reported with the event
			}
			ev, err := rules.Load(event.EventID(id), json)
			if err != nil || ev.Membership() == membership && string(key) == user {
				return nil //nolint:nilerr // an unreadable event was reported with the events
			}
			where := "room=" + roomID + " user_id=" + user + " membership=" + membership + " event_id=" + id
			return c.found(Finding{What: "a membership is not what its event says", Where: where, Do: doRestore})
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
