// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
)

// indexVersion is of the way in which the user directory is indexed. When it
// changes, all is indexed anew.
const indexVersion = "1"

// indexStep is how many accounts or rooms are indexed in one write, which
// others wait for.
const indexStep = 50

const (
	serverUserIndex   = "user_index"
	upsertServerFact  = `INSERT INTO server (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	selectUsersBehind = `SELECT user_id FROM users WHERE user_id > $1 AND (flags & 2) = 0 ORDER BY user_id LIMIT $2`
	selectField       = `SELECT value FROM profiles WHERE user_id = $1 AND field = $2`
	selectRoomsBehind = `SELECT room_nid FROM rooms WHERE room_nid > $1 ORDER BY room_nid LIMIT $2`
	clearRoomFlags    = `UPDATE rooms SET flags = 0 WHERE room_nid IN `
	selectAccess      = `SELECT c.room_nid, e.json FROM current_state c JOIN events e ON e.event_nid = c.event_nid WHERE c.room_nid IN `
)

// IndexUsers indexes what came into the database without an index for the user
// directory: by an older version of this program, or by a migration. Nothing
// happens where that is done. Called again it does no harm.
func (s *Store) IndexUsers(ctx context.Context) error {
	version, err := queryOne(ctx, s, scanBytes, selectServerFact, serverUserIndex)
	if err == nil && string(version) == indexVersion {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := (indexing[int64]{scanInt64, selectRoomsBehind, indexRooms}).run(ctx, s); err != nil {
		return err
	}
	if err := (indexing[string]{scanString, selectUsersBehind, reindexUsers}).run(ctx, s); err != nil {
		return err
	}
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(upsertServerFact, serverUserIndex, []byte(indexVersion))
		return nil
	})
}

// indexing is one table that is indexed in steps.
type indexing[K any] struct {
	scan func(scanner) (K, error)
	// query returns some keys behind one.
	query string
	index func(ctx context.Context, tx *Tx, keys []K) error
}

func (in indexing[K]) run(ctx context.Context, s *Store) error {
	var last K
	for {
		keys, err := queryAll(ctx, s, in.scan, in.query, last, indexStep)
		if err != nil || len(keys) == 0 {
			return err
		}
		err = s.Do(ctx, func(ctx context.Context, tx *Tx) error { return in.index(ctx, tx, keys) })
		if err != nil {
			return err
		}
		last = keys[len(keys)-1]
	}
}

// reindexUsers indexes users by what they are called now.
func reindexUsers(ctx context.Context, tx *Tx, users []string) error {
	for _, user := range users {
		if _, err := tx.Exec(ctx, lockUser, user); err != nil {
			return err
		}
		name, err := queryOne(ctx, tx, scanBytes, selectField, user, []byte(fieldDisplayName))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := tx.indexUser(ctx, user, profileText(name)); err != nil {
			return err
		}
	}
	return nil
}

// access is what state events say of who may join and read a room.
type access struct {
	roomNID int64
	Content struct {
		JoinRule   string `json:"join_rule"`
		Visibility string `json:"history_visibility"`
	} `json:"content"`
}

func scanAccess(row scanner) (access, error) {
	var a access
	var text []byte
	if err := row.Scan(&a.roomNID, &text); err != nil {
		return a, err
	}
	// Values of other types than the wanted ones leave a room closed.
	_ = json.Unmarshal(text, &a)
	return a, nil
}

// indexRooms sets the flags of rooms by their state.
func indexRooms(ctx context.Context, tx *Tx, rooms []int64) error {
	if _, err := tx.Exec(ctx, clearRoomFlags+list(1, len(rooms)), listArgs(nil, rooms)...); err != nil {
		return err
	}
	for _, want := range []struct {
		typ string
		bit int64
		set func(access) bool
	}{
		{"m.room.join_rules", RoomJoinable, func(a access) bool { return a.Content.JoinRule == "public" }},
		{"m.room.history_visibility", RoomReadable, func(a access) bool { return a.Content.Visibility == "world_readable" }},
	} {
		id, err := queryOne(ctx, tx, scanInt64, selectStateKeyID, []byte(want.typ), []byte{})
		if errors.Is(err, ErrNotFound) {
			continue // no room has it
		}
		if err != nil {
			return err
		}
		query := selectAccess + list(2, len(rooms)) + ` AND c.skid = $1`
		found, err := queryAll(ctx, tx, scanAccess, query, listArgs([]any{id}, rooms)...)
		if err != nil {
			return err
		}
		for _, a := range found {
			if want.set(a) {
				tx.SetRoomFlag(a.roomNID, want.bit, true)
			}
		}
	}
	return nil
}
