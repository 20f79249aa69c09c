// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	selectRoomChanges = `SELECT room_nid, kind, MAX(stream_pos) FROM changes
	WHERE stream_pos > $1 AND stream_pos <= $2 AND kind IN (1, 2) AND room_nid IN `
	groupRoomChanges  = ` GROUP BY room_nid, kind`
	selectUserChanges = `SELECT MAX(stream_pos), kind, room_nid, user_id, MAX(ref) FROM changes
	WHERE user_id = $1 AND stream_pos > $2 AND stream_pos <= $3 GROUP BY kind, room_nid, user_id`
	selectHeroes = `SELECT user_id, membership, event_nid, stream_pos FROM memberships
	WHERE room_nid = $1 AND membership IN ($2, $3) AND user_id <> $4 ORDER BY stream_pos, user_id LIMIT $5`
)

// RoomChange says that something of a kind happened in a room, last at Pos.
type RoomChange struct {
	RoomNID int64
	Kind    ChangeKind
	Pos     int64
}

func scanRoomChange(row scanner) (RoomChange, error) {
	var c RoomChange
	return c, row.Scan(&c.RoomNID, &c.Kind, &c.Pos)
}

// RoomChangesBetween returns which of the rooms had events or receipts with
// from < position <= to. It is for readers whom the change log in memory no
// longer serves.
func (s *Store) RoomChangesBetween(ctx context.Context, rooms []int64, from, to int64) ([]RoomChange, error) {
	var all []RoomChange
	for len(rooms) > 0 {
		n := min(len(rooms), maxList)
		query := selectRoomChanges + list(3, n) + groupRoomChanges
		found, err := queryAll(ctx, s, scanRoomChange, query, listArgs([]any{from, to}, rooms[:n])...)
		if err != nil {
			return nil, err
		}
		all, rooms = append(all, found...), rooms[n:]
	}
	return all, nil
}

// UserChangesBetween returns the last change of each kind and room that
// carries the user's id, with from < position <= to.
func (s *Store) UserChangesBetween(ctx context.Context, user string, from, to int64) ([]Change, error) {
	return queryAll(ctx, s, scanChange, selectUserChanges, user, from, to)
}

// Hero is a member after whom a room without a name can be called.
type Hero struct {
	UserID, Membership string
	EventNID           int64
	StreamPos          int64
}

func scanHero(row scanner) (Hero, error) {
	var h Hero
	return h, row.Scan(&h.UserID, &h.Membership, &h.EventNID, &h.StreamPos)
}

// Heroes returns the first members of a room, in the order of the stream,
// that have one of two memberships, leaving out one user.
func (s *Store) Heroes(ctx context.Context, roomNID int64, memberships [2]string, without string, limit int) ([]Hero, error) {
	return queryAll(ctx, s, scanHero, selectHeroes, roomNID, memberships[0], memberships[1], without, limit)
}
