// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

const (
	selectAlias   = `SELECT r.room_id FROM aliases a JOIN rooms r ON r.room_nid = a.room_nid WHERE a.alias = $1`
	selectOwner   = `SELECT room_nid, creator FROM aliases WHERE alias = $1`
	insertAlias   = `INSERT INTO aliases (alias, room_nid, creator, created_ts) VALUES ($1, $2, $3, $4) ON CONFLICT (alias) DO NOTHING`
	deleteAlias   = `DELETE FROM aliases WHERE alias = $1`
	selectAliases = `SELECT alias FROM aliases WHERE room_nid = $1 ORDER BY alias`
	moveAliases   = `UPDATE aliases SET room_nid = $1 WHERE room_nid = $2`
)

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

// AliasOwner returns the room that the alias points to and who made it, or ErrNotFound.
func (s *Store) AliasOwner(ctx context.Context, alias string) (Alias, error) {
	return queryOne(ctx, s, func(row scanner) (Alias, error) {
		a := Alias{Alias: alias}
		return a, row.Scan(&a.RoomNID, &a.Creator)
	}, selectOwner, []byte(alias))
}

// AddAlias adds an alias to a room that exists; ErrAliasTaken if there is one of that name.
func (s *Store) AddAlias(ctx context.Context, a Alias) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.InsertAlias(ctx, a) })
}

// DeleteAlias deletes an alias; ErrNotFound if there is none.
func (s *Store) DeleteAlias(ctx context.Context, alias string) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, deleteAlias, []byte(alias))
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// AliasesOf returns the aliases of a room, in order.
func (s *Store) AliasesOf(ctx context.Context, roomNID int64) ([]string, error) {
	return queryAll(ctx, s, func(row scanner) (string, error) {
		var alias []byte
		err := row.Scan(&alias)
		return string(alias), err
	}, selectAliases, roomNID)
}

// MoveAliases makes every alias of one room point to another.
func (tx *Tx) MoveAliases(from, to int64) { tx.Later(moveAliases, to, from) }
