// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// writeChanges makes n changes of s, by 16 writers at a time, each counted in
// Ref so that it can be recognised.
func writeChanges(ctx context.Context, s *store.Store, user string, n int) error {
	const writers = 16
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := w; i < n; i += writers {
				err := s.Do(ctx, func(_ context.Context, tx *store.Tx) error {
					tx.Change(store.Change{Kind: store.ChangeAccountData, UserID: user, Ref: int64(i)})
					return nil
				})
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func TestThreeReplicasWriteAndAFollowerSeesEachPositionOnceInOrder(t *testing.T) {
	const replicas, changes = 3, 10_000
	open := opener(t, store.Options{PostgresURL: PostgresURL(t), ServerName: ServerName})
	follower := open()
	var mu sync.Mutex
	var seen []store.Change
	follower.Log().Follow(func(run []store.Change) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, run...)
	})
	first := follower.Log().Head()
	Start(t.Context(), t, follower)

	errs := make(chan error, replicas)
	for i := range replicas {
		s := open()
		Start(t.Context(), t, s)
		go func() { errs <- writeChanges(t.Context(), s, fmt.Sprintf("@writer%d:%s", i, ServerName), changes) }()
	}
	for range replicas {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if err := follower.Log().Wait(t.Context(), first+replicas*changes-1); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	type name struct {
		user string
		ref  int64
	}
	once := map[name]bool{}
	for i, c := range seen {
		if want := first + int64(i) + 1; c.Pos != want {
			t.Fatalf("change %d has position %d, not %d", i, c.Pos, want)
		}
		if n := (name{c.UserID, c.Ref}); once[n] {
			t.Fatalf("%v was seen twice", n)
		} else {
			once[n] = true
		}
	}
	if len(seen) != replicas*changes {
		t.Fatalf("saw %d changes, not %d", len(seen), replicas*changes)
	}
}

func TestOneWriteThatFailsDoesNotTouchThoseThatShareItsCommit(t *testing.T) {
	Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		Start(t.Context(), t, s)
		// One fails before it changed anything, one afterwards; both while
		// others are in the same group.
		early := func(context.Context, *store.Tx) error { return store.ErrExists }
		late := func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO id_alloc (name, next) VALUES ($1, 1)`, "late"); err != nil {
				return err
			}
			tx.Change(store.Change{Kind: store.ChangeProfile, UserID: "@late:" + ServerName})
			return store.ErrNotFound
		}
		good := func(_ context.Context, tx *store.Tx) error {
			tx.Change(store.Change{Kind: store.ChangeProfile, UserID: "@good:" + ServerName})
			return nil
		}
		head := s.Log().Head()
		var waits []func() (store.Committed, error)
		for range 30 {
			for _, apply := range []func(context.Context, *store.Tx) error{good, early, late} {
				waits = append(waits, s.Submit(store.Write{Apply: apply}))
			}
		}
		wants := []error{nil, store.ErrExists, store.ErrNotFound}
		for i, wait := range waits {
			if _, err := wait(); err != wants[i%3] { //nolint:errorlint // the very value comes back
				t.Fatalf("write %d: got %v, want %v", i, err, wants[i%3])
			}
		}
		changes, err := s.ChangesBetween(t.Context(), head, head+1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) != 30 {
			t.Fatalf("%d changes were committed, not 30", len(changes))
		}
		for _, c := range changes {
			if c.UserID != "@good:"+ServerName {
				t.Fatalf("a failed write left %+v", c)
			}
		}
	})
}

func TestAWriteIsVisibleInTheLogWhenItReturns(t *testing.T) {
	Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		Start(t.Context(), t, s)
		for range 50 {
			var pos store.Pos
			done, err := s.Write(t.Context(), store.Write{Apply: func(_ context.Context, tx *store.Tx) error {
				pos = tx.Change(store.Change{Kind: store.ChangeProfile, UserID: "@a:" + ServerName})
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if at := done.At(pos); s.Log().Head() < at {
				t.Fatalf("the write is at %d but the log's head at %d", at, s.Log().Head())
			}
		}
	})
}

func TestTheRingForgetsTheOldestAndSaysSo(t *testing.T) {
	s := SQLite(t)
	Start(t.Context(), t, s)
	first := s.Log().Head()
	// More than the ring holds, in few commits.
	for range 20 {
		err := s.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
			for i := range 1000 {
				tx.Change(store.Change{Kind: store.ChangeProfile, UserID: "@a:" + ServerName, Ref: int64(i)})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	head := s.Log().Head()
	if _, ok := s.Log().Between(first, head); ok {
		t.Error("the ring claims to reach back 20,000 changes")
	}
	recent, ok := s.Log().Between(head-16_000, head)
	if !ok || len(recent) != 16_000 {
		t.Fatalf("got %d of the last 16,000 changes, ok %v", len(recent), ok)
	}
	for i, c := range recent {
		if c.Pos != head-16_000+int64(i)+1 {
			t.Fatalf("change %d of the ring has position %d", i, c.Pos)
		}
	}
}
