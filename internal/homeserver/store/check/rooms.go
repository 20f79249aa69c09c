// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	selectRoomPage = `SELECT room_nid, room_id, version, head_nid, heads, depth, state_nid FROM rooms
	WHERE room_nid > $1 ORDER BY room_nid LIMIT $2`
	selectState     = `SELECT state_nid, room_nid, parent_nid, level, n, added, removed FROM state WHERE state_nid = $1`
	selectCurrent   = `SELECT skid, event_nid FROM current_state WHERE room_nid = $1`
	selectTips      = `SELECT event_nid, event_id, room_nid, depth FROM events WHERE event_nid IN `
	maxStateParents = 4
)

// rooms checks that the heads of every room exist, and that the state which is
// kept for quick access is the state after them.
func (c *checker) rooms(ctx context.Context) error {
	last := int64(-1)
	for {
		var page []store.Room
		err := c.Each(ctx, selectRoomPage, []any{last, pageSize}, func(rows *sql.Rows) error {
			var r store.Room
			err := rows.Scan(&r.NID, &r.ID, &r.Version, &r.HeadNID, &r.Heads, &r.Depth, &r.StateNID)
			page = append(page, r)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := errors.Join(c.heads(ctx, &page[i]), c.currentState(ctx, &page[i])); err != nil {
				return err
			}
			c.counts.Rooms++
		}
		last = page[len(page)-1].NID
	}
}

// heads checks a room's forward extremities.
func (c *checker) heads(ctx context.Context, r *store.Room) error {
	heads, err := rooms.DecodeHeads(r.Heads)
	if err != nil || len(heads) == 0 {
		return c.found(Finding{What: "the heads of a room cannot be read", Where: "room=" + r.ID, Do: doRestore})
	}
	ids := map[int64]string{}
	nids := make([]int64, len(heads))
	for i, h := range heads {
		nids[i] = h.NID
	}
	err = store.EachOf(ctx, c.Snapshot, selectTips, nids, func(rows *sql.Rows) error {
		var nid, room, depth int64
		var id string
		err := rows.Scan(&nid, &id, &room, &depth)
		if room == r.NID && depth <= r.Depth {
			ids[nid] = id
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, h := range heads {
		if ids[h.NID] == string(h.ID) {
			continue
		}
		where := fmt.Sprintf("room=%s event_id=%s", r.ID, h.ID)
		if err := c.found(Finding{What: "a head of a room is missing", Where: where, Do: doRestore}); err != nil {
			return err
		}
	}
	return nil
}

// currentState compares a room's current state with the state after its heads.
func (c *checker) currentState(ctx context.Context, r *store.Room) error {
	want, n, err := c.state(ctx, r.StateNID)
	if errors.Is(err, store.ErrCorrupt) {
		return c.found(Finding{What: "the state of a room cannot be read", Where: "room=" + r.ID, Do: doRestore})
	}
	if err != nil {
		return err
	}
	if n != int64(len(want)) {
		where := fmt.Sprintf("room=%s keys=%d counted=%d", r.ID, len(want), n)
		if err := c.found(Finding{What: "a state has another size than it says", Where: where, Do: doRestore}); err != nil {
			return err
		}
	}
	differ := func(key, atHead, current int64) error {
		where := fmt.Sprintf("room=%s skid=%d at_heads=%d current=%d", r.ID, key, atHead, current)
		return c.found(Finding{What: "a room's current state is not the state at its heads", Where: where, Do: doRestore})
	}
	err = c.Each(ctx, selectCurrent, []any{r.NID}, func(rows *sql.Rows) error {
		var key, nid int64
		if err := rows.Scan(&key, &nid); err != nil {
			return err
		}
		atHead := want[key]
		delete(want, key)
		if atHead != nid {
			return differ(key, atHead, nid)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, nid := range want {
		if err := differ(key, nid, 0); err != nil {
			return err
		}
	}
	return nil
}

// state returns a state and how many keys it says to have; store.ErrCorrupt
// if it is not there as a whole.
func (c *checker) state(ctx context.Context, nid int64) (state map[int64]int64, n int64, err error) {
	var chain []store.StateRow
	for nid != 0 {
		found := len(chain)
		err := c.Each(ctx, selectState, []any{nid}, func(rows *sql.Rows) error {
			row, err := scanState(rows)
			chain = append(chain, row)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if len(chain) != found+1 || len(chain) > maxStateParents {
			return nil, 0, store.ErrCorrupt
		}
		nid = chain[found].ParentNID
	}
	if len(chain) > 0 {
		n = chain[0].N
	}
	state, err = rooms.DecodeState(chain)
	return state, n, err
}
