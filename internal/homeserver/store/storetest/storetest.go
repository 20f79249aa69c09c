// SPDX-License-Identifier: Apache-2.0

// Package storetest gives tests stores on real databases: SQLite in a
// temporary directory and a throw-away Postgres. What one of them does, the
// other has to do as well, so tests run on both through Each.
package storetest

import (
	"context"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// ServerName is the name of the server in tests.
const ServerName = "test.example"

// Each runs test once on SQLite and once on Postgres. open returns a new
// store, that is, another replica, on the same database; on SQLite it may be
// called only once before Close. Call Start when all followers of its log are
// registered.
func Each(t *testing.T, test func(t *testing.T, open func() *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		test(t, opener(t, store.Options{Dir: t.TempDir(), ServerName: ServerName}))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, opener(t, store.Options{PostgresURL: PostgresURL(t), ServerName: ServerName}))
	})
}

// SQLite opens a store in a temporary directory; it closes when the test ends.
func SQLite(t testing.TB) *store.Store {
	t.Helper()
	return opener(t, store.Options{Dir: t.TempDir(), ServerName: ServerName})()
}

// Postgres opens a store on a fresh database; it closes when the test ends.
func Postgres(t testing.TB) *store.Store {
	t.Helper()
	return opener(t, store.Options{PostgresURL: PostgresURL(t), ServerName: ServerName})()
}

func opener(t testing.TB, o store.Options) func() *store.Store {
	return func() *store.Store {
		t.Helper()
		s, err := store.Open(context.Background(), o)
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close store: %v", err)
			}
		})
		return s
	}
}

// Start runs s until the test ends or stop is called, which waits for what
// was submitted. ctx carries failpoints.
func Start(ctx context.Context, t testing.TB, s *store.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run store: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}
