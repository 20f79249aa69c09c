// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// leaver takes users out of rooms; broken is the one for whom it fails.
type leaver struct {
	mu     sync.Mutex
	broken event.UserID
	left   map[event.UserID]int
	called chan event.UserID
}

func (l *leaver) leave(_ context.Context, user event.UserID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.called <- user }()
	if user == l.broken {
		return errors.New("the room is broken")
	}
	l.left[user]++
	return nil
}

func (l *leaver) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = ""
}

func TestADeactivationThatFailsIsShownTriedAgainAndHoldsUpNoOther(t *testing.T) {
	f := newFixture(t)
	alice, bob, carol := f.register(t, "alice").UserID, f.register(t, "bob").UserID, f.register(t, "carol").UserID
	l := &leaver{broken: alice, left: map[event.UserID]int{}, called: make(chan event.UserID, 100)}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			if err := f.RunDeactivations(ctx, l.leave); err != nil {
				t.Error(err)
			}
		})
		return func() { cancel(); wait.Wait() }
	}
	deactivate := func(user event.UserID) {
		t.Helper()
		if err := f.Deactivate(t.Context(), user, false); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func() []store.Deactivation {
		t.Helper()
		list, err := f.Deactivations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	deactivate(alice)
	deactivate(bob)
	stop := run()
	for user := range l.called {
		if user == bob {
			break
		}
	}
	stop()
	if got := waiting(); len(got) == 0 || got[0].UserID != string(alice) || got[0].Attempts != 1 ||
		got[0].Failure != "leave rooms: the room is broken" || got[0].RequestedTS == 0 {
		t.Fatalf("waiting %+v", got)
	}
	l.mend()
	stop = run() // as another process would
	for deadline := time.Now().Add(time.Minute); len(waiting()) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting %+v", waiting())
		}
	}
	stop()
	if l.left[alice] != 1 || l.left[carol] != 0 {
		t.Errorf("left %v", l.left)
	}
	for user, want := range map[event.UserID]string{alice: "", carol: "carol"} {
		if name, _, err := f.Profile(t.Context(), user); err != nil || name != want {
			t.Errorf("the name of %s is %q (%v), want %q", user, name, err, want)
		}
	}
}
