// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// On Postgres a failed statement turns the COMMIT behind it into a ROLLBACK
// that reports success. What shares the commit must not believe it.
func TestAStatementThatFailsTakesNobodyWithIt(t *testing.T) {
	Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		const insert = `INSERT INTO id_alloc (name, next) VALUES ($1, 1)`
		add := func(name string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, insert, name)
				return err
			}
		}
		// Submitted before the store runs, they make one group. None defers
		// anything, so nothing but COMMIT comes after the failure.
		first := s.Submit(store.Write{Apply: add("one")})
		second := s.Submit(store.Write{Apply: add("two")})
		double := s.Submit(store.Write{Apply: add("one")})
		Start(t.Context(), t, s)
		for i, wait := range []func() (store.Committed, error){first, second} {
			if _, err := wait(); err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
		if _, err := double(); !errors.Is(err, store.ErrExists) {
			t.Errorf("a row that exists was added: %v", err)
		}
		for _, name := range []string{"one", "two"} {
			if _, err := s.Submit(store.Write{Apply: add(name)})(); !errors.Is(err, store.ErrExists) {
				t.Errorf("%s was acknowledged and is not there: %v", name, err)
			}
		}
	})
}

// A write that was built on one which then lost to a third must lose as well,
// even though the room moved as often as it expects.
func TestAHeadThatMovedElsewhereIsAConflict(t *testing.T) {
	Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		Start(t.Context(), t, s)
		room := store.Room{NID: 1, ID: "!a:" + ServerName, Version: "12", HeadNID: 10, Heads: []byte{}}
		err := s.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.InsertRoom(ctx, room) })
		if err != nil {
			t.Fatal(err)
		}
		move := func(from, to int64) error {
			_, err := s.Submit(store.Write{Head: &store.HeadMove{RoomNID: 1, From: from, To: to, Heads: []byte{}}})()
			return err
		}
		for _, m := range []struct {
			from, to int64
			want     error
		}{
			{10, 11, nil},
			{10, 20, store.ErrConflict}, // lost to 11
			{20, 21, store.ErrConflict}, // built on the loser
			{11, 12, nil},
		} {
			if err := move(m.from, m.to); !errors.Is(err, m.want) {
				t.Errorf("from %d to %d: %v, want %v", m.from, m.to, err, m.want)
			}
		}
		if head, err := s.RoomHead(t.Context(), 1); err != nil || head != 12 {
			t.Errorf("head %d, %v", head, err)
		}
	})
}
