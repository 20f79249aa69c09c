// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"math"
	"slices"
)

const (
	setVisibility     = `UPDATE rooms SET visibility = $1 WHERE room_nid = $2`
	countPublicRooms  = `SELECT COUNT(*) FROM rooms WHERE visibility = 1`
	publicRoomColumns = `room_nid, room_id, version, joined`
	// Both walk along the index rooms_public.
	selectPublicAfter = `SELECT ` + publicRoomColumns + ` FROM rooms
	WHERE visibility = 1 AND (joined, room_nid) < ($1, $2) ORDER BY joined DESC, room_nid DESC LIMIT $3`
	selectPublicBefore = `SELECT ` + publicRoomColumns + ` FROM rooms
	WHERE visibility = 1 AND (joined, room_nid) > ($1, $2) ORDER BY joined, room_nid LIMIT $3`
	selectCurrentOf = `SELECT room_nid, skid, event_nid FROM current_state WHERE room_nid IN `
)

// SetPublic puts the room into the room directory or takes it out.
func (s *Store) SetPublic(ctx context.Context, roomNID int64, public bool) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.SetPublic(roomNID, public)
		return nil
	})
}

// SetPublic puts the room into the room directory or takes it out.
func (tx *Tx) SetPublic(roomNID int64, public bool) {
	tx.Change(Change{Kind: ChangeDirectory, RoomNID: roomNID})
	tx.Later(setVisibility, flag(public), roomNID)
}

// PublicRoom is a room of the directory and how many users are in it.
type PublicRoom struct {
	RoomNID     int64
	ID, Version string
	Joined      int64
}

// PublicRoomQuery asks for a part of the room directory, which has the largest
// rooms first: Limit rooms after the place (Joined, RoomNID) or, if Backwards,
// those before it, the nearest first.
type PublicRoomQuery struct {
	Joined, RoomNID int64
	Backwards       bool
	Limit           int
}

// FirstPublicRooms is the query for the beginning of the room directory.
func FirstPublicRooms(limit int) PublicRoomQuery {
	return PublicRoomQuery{Joined: math.MaxInt64, RoomNID: math.MaxInt64, Limit: limit}
}

// PublicRooms returns a part of the room directory.
func (s *Store) PublicRooms(ctx context.Context, q PublicRoomQuery) ([]PublicRoom, error) {
	query := selectPublicAfter
	if q.Backwards {
		query = selectPublicBefore
	}
	scan := func(row scanner) (PublicRoom, error) {
		var r PublicRoom
		return r, row.Scan(&r.RoomNID, &r.ID, &r.Version, &r.Joined)
	}
	return queryAll(ctx, s, scan, query, q.Joined, q.RoomNID, q.Limit)
}

// CountPublicRooms returns how many rooms the directory has.
func (s *Store) CountPublicRooms(ctx context.Context) (int64, error) {
	return queryOne(ctx, s, scanInt64, countPublicRooms)
}

// CurrentStateOf returns for many rooms at once the events that they have at
// the keys, by room and key; keys that a room does not have are left out.
func (s *Store) CurrentStateOf(ctx context.Context, roomNIDs, keys []int64) (map[int64]map[int64]int64, error) {
	found := make(map[int64]map[int64]int64, len(roomNIDs))
	if len(keys) == 0 {
		return found, nil
	}
	scan := func(row scanner) (int64, error) {
		var room, key, nid int64
		err := row.Scan(&room, &key, &nid)
		if found[room] == nil {
			found[room] = make(map[int64]int64, len(keys))
		}
		found[room][key] = nid
		return room, err
	}
	for chunk := range slices.Chunk(roomNIDs, maxList) {
		query := selectCurrentOf + list(1, len(chunk)) + ` AND skid IN ` + list(1+padded(len(chunk)), len(keys))
		if _, err := queryAll(ctx, s, scan, query, listArgs(listArgs(nil, chunk), keys)...); err != nil {
			return nil, err
		}
	}
	return found, nil
}
