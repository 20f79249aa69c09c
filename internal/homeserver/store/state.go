// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"maps"
	"slices"
)

// StateRow is a state as a difference to its parent.
type StateRow struct {
	NID, RoomNID, ParentNID int64
	// Level is 0 for a state that is written in full, and at most 3.
	Level int64
	// N is how many keys the whole state has.
	N int64
	// Added and Removed are encoded by package rooms.
	Added, Removed []byte
}

// StateDelta is a change of one key of a room's current state; an event of 0 means absent.
type StateDelta struct {
	Pos, StateKeyID, OldNID, NewNID int64
}

const (
	// One query fetches a state with all its parents.
	selectStateRows = `WITH RECURSIVE chain (state_nid, room_nid, parent_nid, level, n, added, removed) AS (
	SELECT state_nid, room_nid, parent_nid, level, n, added, removed FROM state WHERE state_nid = $1
	UNION ALL
	SELECT s.state_nid, s.room_nid, s.parent_nid, s.level, s.n, s.added, s.removed FROM state s JOIN chain c ON s.state_nid = c.parent_nid
	) SELECT state_nid, room_nid, parent_nid, level, n, added, removed FROM chain`
	selectStateRow     = `SELECT state_nid, room_nid, parent_nid, level, n, added, removed FROM state WHERE state_nid = $1`
	selectCurrentState = `SELECT skid, event_nid FROM current_state WHERE room_nid = $1 AND skid IN `
	selectStateDeltas  = `SELECT stream_pos, skid, old_nid, new_nid FROM state_deltas
	WHERE room_nid = $1 AND stream_pos > $2 AND stream_pos <= $3 ORDER BY stream_pos`
	deleteCurrentState = `DELETE FROM current_state WHERE room_nid = $1 AND skid = $2`
)

var (
	insertState        = &Insert{Table: "state", Columns: "state_nid, room_nid, parent_nid, level, n, added, removed"}
	insertCurrentState = &Insert{Table: "current_state", Columns: "room_nid, skid, event_nid"}
	insertStateDelta   = &Insert{Table: "state_deltas", Columns: "stream_pos, room_nid, skid, old_nid, new_nid"}
)

const upsertCurrentState = `INSERT INTO current_state (room_nid, skid, event_nid) VALUES ($1, $2, $3)
	ON CONFLICT (room_nid, skid) DO UPDATE SET event_nid = excluded.event_nid`

func scanStateRow(row scanner) (StateRow, error) {
	var r StateRow
	return r, row.Scan(&r.NID, &r.RoomNID, &r.ParentNID, &r.Level, &r.N, &r.Added, &r.Removed)
}

// StateRow returns one row, or ErrNotFound.
func (s *Store) StateRow(ctx context.Context, nid int64) (StateRow, error) {
	return queryOne(ctx, s, scanStateRow, selectStateRow, nid)
}

// StateChain returns a state and its parents, in no particular order.
func (s *Store) StateChain(ctx context.Context, nid int64) ([]StateRow, error) {
	return queryAll(ctx, s, scanStateRow, selectStateRows, nid)
}

// CurrentState returns the events of the keys that the room has, by key.
func (s *Store) CurrentState(ctx context.Context, roomNID int64, keys []int64) (map[int64]int64, error) {
	found := make(map[int64]int64, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	scan := func(row scanner) (int64, error) {
		var key, nid int64
		err := row.Scan(&key, &nid)
		found[key] = nid
		return key, err
	}
	_, err := queryAll(ctx, s, scan, selectCurrentState+list(2, len(keys)), listArgs([]any{roomNID}, keys)...)
	return found, err
}

// StateDeltas returns the changes of the room's state with from < position <= to, in order.
func (s *Store) StateDeltas(ctx context.Context, roomNID, from, to int64) ([]StateDelta, error) {
	scan := func(row scanner) (StateDelta, error) {
		var d StateDelta
		return d, row.Scan(&d.Pos, &d.StateKeyID, &d.OldNID, &d.NewNID)
	}
	return queryAll(ctx, s, scan, selectStateDeltas, roomNID, from, to)
}

// InsertState adds a state.
func (tx *Tx) InsertState(r *StateRow) {
	tx.Insert(insertState, r.NID, r.RoomNID, r.ParentNID, r.Level, r.N, r.Added, r.Removed)
}

// InsertCurrentState writes the state of a new room: event by key.
func (tx *Tx) InsertCurrentState(roomNID int64, events map[int64]int64) {
	for _, key := range slices.Sorted(maps.Keys(events)) {
		tx.Insert(insertCurrentState, roomNID, key, events[key])
	}
}

// InsertStateDelta notes that at pos the key of the room's state changed,
// without changing the current state: InsertCurrentState does that for a new room.
func (tx *Tx) InsertStateDelta(roomNID int64, d StateDelta, pos Pos) {
	tx.Insert(insertStateDelta, pos, roomNID, d.StateKeyID, d.OldNID, d.NewNID)
}

// SetCurrentState notes that at pos the key of the room's state changed from
// one event to another, 0 meaning none.
func (tx *Tx) SetCurrentState(roomNID int64, d StateDelta, pos Pos) {
	tx.InsertStateDelta(roomNID, d, pos)
	if d.NewNID == 0 {
		tx.Later(deleteCurrentState, roomNID, d.StateKeyID)
		return
	}
	tx.Later(upsertCurrentState, roomNID, d.StateKeyID, d.NewNID)
}
