// SPDX-License-Identifier: Apache-2.0

package store

import "context"

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

const (
	setVisibility     = `UPDATE rooms SET visibility = $1 WHERE room_nid = $2`
	selectPublicRooms = `SELECT r.room_nid, COUNT(m.user_id) FROM rooms r
	LEFT JOIN memberships m ON m.room_nid = r.room_nid AND m.membership = 'join'
	WHERE r.visibility = 1 GROUP BY r.room_nid ORDER BY 2 DESC, 1 DESC`
)

// SetPublic puts the room into the room directory or takes it out.
func (s *Store) SetPublic(ctx context.Context, roomNID int64, public bool) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Change(Change{Kind: ChangeDirectory, RoomNID: roomNID})
		tx.Later(setVisibility, flag(public), roomNID)
		return nil
	})
}

// PublicRoom is a room of the directory and how many users are in it.
type PublicRoom struct{ RoomNID, Joined int64 }

func scanPublicRoom(row scanner) (PublicRoom, error) {
	var r PublicRoom
	return r, row.Scan(&r.RoomNID, &r.Joined)
}

// PublicRooms returns the room directory, the largest rooms first.
func (s *Store) PublicRooms(ctx context.Context) ([]PublicRoom, error) {
	return queryAll(ctx, s, scanPublicRoom, selectPublicRooms)
}
