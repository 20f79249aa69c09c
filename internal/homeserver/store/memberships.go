// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Membership is what a user is to a room.
type Membership struct {
	UserID  string
	RoomNID int64
	// Membership is join, invite, leave, ban or knock.
	Membership string
	// EventNID is the m.room.member event and StreamPos its position.
	EventNID, StreamPos int64
	// Forgotten: the user asked not to see the room any more.
	Forgotten bool
}

const (
	membershipColumns  = `user_id, room_nid, membership, event_nid, stream_pos, forgotten`
	selectMemberships  = `SELECT ` + membershipColumns + ` FROM memberships WHERE user_id = $1 ORDER BY room_nid`
	selectMembers      = `SELECT ` + membershipColumns + ` FROM memberships WHERE room_nid = $1 ORDER BY user_id`
	selectMembersWith  = `SELECT ` + membershipColumns + ` FROM memberships WHERE room_nid = $1 AND membership IN `
	selectMemberCounts = `SELECT joined, invited FROM rooms WHERE room_nid = $1`
	selectSharedUsers  = `SELECT DISTINCT b.user_id FROM memberships a JOIN memberships b ON b.room_nid = a.room_nid
	WHERE a.user_id = $1 AND a.membership = 'join' AND b.membership = 'join' AND b.user_id <> $1 ORDER BY b.user_id`
	setMembership = `INSERT INTO memberships (user_id, room_nid, membership, event_nid, stream_pos, forgotten)
	VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (user_id, room_nid) DO UPDATE SET membership = excluded.membership,
	event_nid = excluded.event_nid, stream_pos = excluded.stream_pos, forgotten = 0`
	forgetRoom = `UPDATE memberships SET forgotten = 1 WHERE user_id = $1 AND room_nid = $2
	AND membership IN ('leave', 'ban') AND forgotten = 0`
)

func scanMembership(row scanner) (Membership, error) {
	var m Membership
	var forgotten int64
	err := row.Scan(&m.UserID, &m.RoomNID, &m.Membership, &m.EventNID, &m.StreamPos, &forgotten)
	m.Forgotten = forgotten != 0
	return m, err
}

// MembershipsOf returns every membership of the user, by room.
func (s *Store) MembershipsOf(ctx context.Context, user string) ([]Membership, error) {
	return queryAll(ctx, s, scanMembership, selectMemberships, user)
}

// Members returns the members of the room that have one of the memberships,
// all if none is given, by user id.
func (s *Store) Members(ctx context.Context, roomNID int64, memberships ...string) ([]Membership, error) {
	if len(memberships) == 0 {
		return queryAll(ctx, s, scanMembership, selectMembers, roomNID)
	}
	query := selectMembersWith + list(2, len(memberships)) + ` ORDER BY user_id`
	return queryAll(ctx, s, scanMembership, query, listArgs([]any{roomNID}, memberships)...)
}

// MemberCounts returns how many users are joined to and invited to the room, or ErrNotFound.
func (s *Store) MemberCounts(ctx context.Context, roomNID int64) (joined, invited int, err error) {
	type counts struct{ joined, invited int }
	c, err := queryOne(ctx, s, func(row scanner) (counts, error) {
		var c counts
		return c, row.Scan(&c.joined, &c.invited)
	}, selectMemberCounts, roomNID)
	return c.joined, c.invited, err
}

// SharedRoomUsers returns the users joined to a room that user is joined to, without user.
func (s *Store) SharedRoomUsers(ctx context.Context, user string) ([]string, error) {
	return queryAll(ctx, s, scanString, selectSharedUsers, user)
}

// SetMembership notes what the m.room.member event m.EventNID at pos made of a
// user; it also brings a forgotten room back.
func (tx *Tx) SetMembership(m *Membership, pos Pos) {
	tx.Later(setMembership, m.UserID, m.RoomNID, m.Membership, m.EventNID, pos)
}

// ForgetRoom hides a room from a user who left it; nothing happens otherwise.
func (s *Store) ForgetRoom(ctx context.Context, user string, roomNID int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, forgetRoom, user, roomNID)
		if err == nil && n > 0 {
			tx.Change(Change{Kind: ChangeForget, RoomNID: roomNID, UserID: user})
		}
		return err
	})
}
