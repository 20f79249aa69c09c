// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
)

// Room is a room and its head.
type Room struct {
	NID         int64
	ID, Version string
	// HeadNID identifies the head: see HeadMove.
	HeadNID int64
	// Heads lists the forward extremities, in the form that package rooms chose.
	Heads           []byte
	Depth, StateNID int64
	// Public rooms are in the room directory.
	Public bool
	// Joined and Invited are how many users are in and invited to the room.
	Joined, Invited int64
}

const (
	roomColumns    = `room_nid, room_id, version, head_nid, heads, depth, state_nid, visibility, joined, invited`
	selectRoom     = `SELECT ` + roomColumns + ` FROM rooms WHERE room_nid = $1`
	selectRoomByID = `SELECT ` + roomColumns + ` FROM rooms WHERE room_id = $1`
	selectRooms    = `SELECT ` + roomColumns + ` FROM rooms WHERE room_id IN `
	selectJoined   = `SELECT room_nid, joined FROM rooms WHERE room_nid IN `
	selectRoomHead = `SELECT head_nid FROM rooms WHERE room_nid = $1`
	insertRoom     = `INSERT INTO rooms (room_nid, room_id, version, head_nid, heads, depth, state_nid, visibility, joined, invited, flags)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`
)

func scanRoom(row scanner) (Room, error) {
	var r Room
	var visibility int64
	err := row.Scan(&r.NID, &r.ID, &r.Version, &r.HeadNID, &r.Heads, &r.Depth, &r.StateNID, &visibility, &r.Joined, &r.Invited)
	r.Public = visibility != 0
	return r, err
}

// RoomByNID returns the room, or ErrNotFound.
func (s *Store) RoomByNID(ctx context.Context, nid int64) (Room, error) {
	return queryOne(ctx, s, scanRoom, selectRoom, nid)
}

// RoomByID returns the room, or ErrNotFound.
func (s *Store) RoomByID(ctx context.Context, id string) (Room, error) {
	return queryOne(ctx, s, scanRoom, selectRoomByID, id)
}

// RoomsByID returns those of the rooms that exist, in no particular order.
func (s *Store) RoomsByID(ctx context.Context, ids []string) ([]Room, error) {
	var all []Room
	for chunk := range slices.Chunk(ids, maxList) {
		found, err := queryAll(ctx, s, scanRoom, selectRooms+list(1, len(chunk)), listArgs(nil, chunk)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// JoinedCounts returns how many users are in each of the rooms, by room.
func (s *Store) JoinedCounts(ctx context.Context, nids []int64) (map[int64]int64, error) {
	counts := make(map[int64]int64, len(nids))
	scan := func(row scanner) (int64, error) {
		var nid, joined int64
		err := row.Scan(&nid, &joined)
		counts[nid] = joined
		return nid, err
	}
	for chunk := range slices.Chunk(nids, maxList) {
		if _, err := queryAll(ctx, s, scan, selectJoined+list(1, len(chunk)), listArgs(nil, chunk)...); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// RoomHead returns what identifies the head of the room, or ErrNotFound.
func (s *Store) RoomHead(ctx context.Context, nid int64) (int64, error) {
	return queryOne(ctx, s, scanInt64, selectRoomHead, nid)
}

// InsertRoom adds a room that is not there yet; ErrExists if its id is.
func (tx *Tx) InsertRoom(ctx context.Context, r Room) error {
	_, err := tx.Exec(ctx, insertRoom, r.NID, r.ID, r.Version, r.HeadNID, r.Heads, r.Depth, r.StateNID, flag(r.Public),
		r.Joined, r.Invited)
	return err
}

// flag is how a truth value is stored.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
