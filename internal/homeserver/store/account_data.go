// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// AccountData is one piece of a user's account data; RoomNID 0 is global.
type AccountData struct {
	UserID  string
	RoomNID int64
	Type    string
	Content []byte
	// Guard: a row is only replaced by one whose guard is not smaller. 0 where order does not matter.
	Guard     int64
	StreamPos int64
}

const (
	upsertAccountData = `INSERT INTO account_data (user_id, room_nid, type, content, guard, stream_pos) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (user_id, room_nid, type) DO UPDATE SET content = excluded.content, guard = excluded.guard, stream_pos = excluded.stream_pos
	WHERE excluded.guard >= account_data.guard`
	accountDataColumns    = `SELECT user_id, room_nid, type, content, guard, stream_pos FROM account_data `
	lockUser              = `UPDATE users SET flags = flags WHERE user_id = $1`
	selectAccountData     = accountDataColumns + `WHERE user_id = $1 AND room_nid = $2 AND type = $3`
	selectAccountDatas    = accountDataColumns + `WHERE user_id = $1 AND stream_pos > $2 AND stream_pos <= $3 ORDER BY stream_pos`
	selectRoomAccountData = accountDataColumns + `WHERE user_id = $1 AND room_nid = $2 ORDER BY stream_pos`
)

func scanAccountData(row scanner) (AccountData, error) {
	var d AccountData
	var typ []byte
	err := row.Scan(&d.UserID, &d.RoomNID, &typ, &d.Content, &d.Guard, &d.StreamPos)
	d.Type = string(typ)
	return d, err
}

// PutAccountData stores d, whose StreamPos is not looked at.
func (s *Store) PutAccountData(ctx context.Context, d AccountData) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.putAccountData(d)
		return nil
	})
}

// ChangeAccountData replaces a piece of account data by what change makes of
// it (nil if there is none), with nothing in between. Another replica that
// changes the same piece waits for the row of the user.
func (s *Store) ChangeAccountData(ctx context.Context, user string, roomNID int64, typ string, change func(old []byte) ([]byte, error)) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, lockUser, user); err != nil {
			return err
		}
		old, err := queryOne(ctx, tx, scanAccountData, selectAccountData, user, roomNID, []byte(typ))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		content, err := change(old.Content)
		if err != nil {
			return err
		}
		tx.putAccountData(AccountData{UserID: user, RoomNID: roomNID, Type: typ, Content: content})
		return nil
	})
}

func (tx *Tx) putAccountData(d AccountData) {
	pos := tx.Change(Change{Kind: ChangeAccountData, RoomNID: d.RoomNID, UserID: d.UserID})
	tx.Later(upsertAccountData, d.UserID, d.RoomNID, []byte(d.Type), d.Content, d.Guard, pos)
}

// AccountData returns one piece of account data, or ErrNotFound.
func (s *Store) AccountData(ctx context.Context, user string, roomNID int64, typ string) (AccountData, error) {
	return queryOne(ctx, s, scanAccountData, selectAccountData, user, roomNID, []byte(typ))
}

// AccountDataBetween returns what the user set with from < position <= to, of all rooms and global, oldest first.
func (s *Store) AccountDataBetween(ctx context.Context, user string, from, to int64) ([]AccountData, error) {
	return queryAll(ctx, s, scanAccountData, selectAccountDatas, user, from, to)
}

// AccountDataOfRoom returns all that the user has set for a room, oldest first.
func (s *Store) AccountDataOfRoom(ctx context.Context, user string, roomNID int64) ([]AccountData, error) {
	return queryAll(ctx, s, scanAccountData, selectRoomAccountData, user, roomNID)
}
