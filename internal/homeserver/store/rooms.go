// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
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
}

const (
	roomColumns    = `room_nid, room_id, version, head_nid, heads, depth, state_nid, visibility`
	selectRoom     = `SELECT ` + roomColumns + ` FROM rooms WHERE room_nid = $1`
	selectRoomByID = `SELECT ` + roomColumns + ` FROM rooms WHERE room_id = $1`
	selectRoomHead = `SELECT head_nid FROM rooms WHERE room_nid = $1`
	insertRoom     = `INSERT INTO rooms (room_nid, room_id, version, head_nid, heads, depth, state_nid, visibility, flags)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)`
	selectAlias = `SELECT r.room_id FROM aliases a JOIN rooms r ON r.room_nid = a.room_nid WHERE a.alias = $1`
	insertAlias = `INSERT INTO aliases (alias, room_nid, creator, created_ts) VALUES ($1, $2, $3, $4) ON CONFLICT (alias) DO NOTHING`
)

func scanRoom(row scanner) (Room, error) {
	var r Room
	var visibility int64
	err := row.Scan(&r.NID, &r.ID, &r.Version, &r.HeadNID, &r.Heads, &r.Depth, &r.StateNID, &visibility)
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

// RoomHead returns what identifies the head of the room, or ErrNotFound.
func (s *Store) RoomHead(ctx context.Context, nid int64) (int64, error) {
	return queryOne(ctx, s, scanInt64, selectRoomHead, nid)
}

// InsertRoom adds a room that is not there yet; ErrExists if its id is.
func (tx *Tx) InsertRoom(ctx context.Context, r Room) error {
	_, err := tx.Exec(ctx, insertRoom, r.NID, r.ID, r.Version, r.HeadNID, r.Heads, r.Depth, r.StateNID, flag(r.Public))
	return err
}

// flag is how a truth value is stored.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ErrAliasTaken says that the alias points to a room already.
var ErrAliasTaken = errors.New("alias is taken")

// Alias is a local name of a room.
type Alias struct {
	Alias   string
	RoomNID int64
	Creator string
	// CreatedTS is in milliseconds since 1970.
	CreatedTS int64
}

// InsertAlias adds an alias; ErrAliasTaken if there is one of that name. Call
// it before other statements, so that its failure undoes nothing of others.
func (tx *Tx) InsertAlias(ctx context.Context, a Alias) error {
	n, err := tx.Exec(ctx, insertAlias, []byte(a.Alias), a.RoomNID, a.Creator, a.CreatedTS)
	if err == nil && n == 0 {
		return ErrAliasTaken
	}
	return err
}

// AliasRoom returns the id of the room that the alias points to, or ErrNotFound.
func (s *Store) AliasRoom(ctx context.Context, alias string) (roomID string, err error) {
	return queryOne(ctx, s, scanString, selectAlias, []byte(alias))
}
