// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"slices"
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
	selectAccountDataSize = `SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(content)), 0) AS BIGINT) FROM account_data
	WHERE user_id = $1 AND room_nid = $2 AND type <> $3`
	selectRoomAccountData = accountDataColumns + `WHERE user_id = $1 AND room_nid = $2 ORDER BY stream_pos`
)

func scanAccountData(row scanner) (AccountData, error) {
	var d AccountData
	var typ []byte
	err := row.Scan(&d.UserID, &d.RoomNID, &typ, &d.Content, &d.Guard, &d.StreamPos)
	d.Type = string(typ)
	return d, err
}

// AccountDataLimits bound the account data of a user for one room, or for none.
type AccountDataLimits struct {
	// Pieces is how many there are at most, Bytes how long they are together.
	Pieces, Bytes int64
}

// PutAccountData stores d, whose StreamPos is not looked at. Returns ErrTooMany
// if there would be more than the limits.
func (s *Store) PutAccountData(ctx context.Context, d AccountData, limits AccountDataLimits) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		others, err := queryOne(ctx, tx, func(row scanner) (AccountDataLimits, error) {
			var l AccountDataLimits
			return l, row.Scan(&l.Pieces, &l.Bytes)
		}, selectAccountDataSize, d.UserID, d.RoomNID, []byte(d.Type))
		if err != nil {
			return err
		}
		if others.Pieces >= limits.Pieces || others.Bytes+int64(len(d.Content)) > limits.Bytes {
			return ErrTooMany
		}
		tx.putAccountData(d)
		return nil
	})
}

// AccountDataChange replaces a piece of account data.
type AccountDataChange struct {
	UserID  string
	RoomNID int64
	Type    string
	// New makes the content of what it is now, nil if there is none; when it
	// returns nil nothing changes. It may be called more than once.
	New func(old []byte) ([]byte, error)
}

// ChangeAccountData makes one change with nothing in between.
func (s *Store) ChangeAccountData(ctx context.Context, c AccountDataChange) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.ChangeAccountData(ctx, c) })
}

// ChangeAccountData makes a change with nothing in between. Another replica
// that changes the same piece waits for the row of the user.
func (tx *Tx) ChangeAccountData(ctx context.Context, c AccountDataChange) error {
	if _, err := tx.Exec(ctx, lockUser, c.UserID); err != nil {
		return err
	}
	old, err := tx.accountDataNow(ctx, c)
	if err != nil {
		return err
	}
	content, err := c.New(old)
	if err == nil && content != nil {
		tx.putAccountData(AccountData{UserID: c.UserID, RoomNID: c.RoomNID, Type: c.Type, Content: content})
	}
	return err
}

// accountDataNow returns what a write of this group has put, or what is in the
// database, where that is not yet.
func (tx *Tx) accountDataNow(ctx context.Context, c AccountDataChange) ([]byte, error) {
	for _, d := range slices.Backward(tx.accountData) {
		if d.UserID == c.UserID && d.RoomNID == c.RoomNID && d.Type == c.Type {
			return d.Content, nil
		}
	}
	d, err := queryOne(ctx, tx, scanAccountData, selectAccountData, c.UserID, c.RoomNID, []byte(c.Type))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return d.Content, err
}

func (tx *Tx) putAccountData(d AccountData) {
	tx.accountData = append(tx.accountData, d)
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
