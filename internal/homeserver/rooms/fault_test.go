// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

var errInjected = errors.New("injected failure")

// trip fails once, at the k-th thing that it is asked about.
type trip struct {
	mu      sync.Mutex
	k       int
	failure error
	hit     string
}

func (f *trip) ask(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.k--; f.k != 0 {
		return nil
	}
	f.hit = what
	return f.failure
}

func (f *trip) arm(k int, failure error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.k, f.failure, f.hit = k, failure, ""
}

func (f *trip) where() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// again repeats what a client repeats when it gets no answer.
func again(t *testing.T, do func() error) {
	t.Helper()
	var err error
	for range 4 {
		if err = do(); err == nil {
			return
		}
	}
	t.Fatalf("does not recover: %v", err)
}

// scenario is what clients do, repeating each request until it succeeds. It
// returns the room and the events that were acknowledged.
func scenario(t *testing.T, s *server, run int) (room event.RoomID, acked []event.EventID) {
	t.Helper()
	again(t, func() (err error) {
		room, err = s.Create(s.ctx, rooms.CreateRequest{Creator: alice, Preset: rooms.PresetPublic})
		return err
	})
	user := event.UserID(fmt.Sprintf("@user%d:test.example", run))
	again(t, func() error { return s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: user}) })
	for i := range 3 {
		r := message(room, user, fmt.Sprint(i))
		r.Txn = &rooms.Txn{DeviceID: "D", Request: fmt.Sprintf("send %s %d", room, i), ID: fmt.Sprint(i)}
		again(t, func() error {
			id, err := s.Send(s.ctx, r)
			if err == nil {
				acked = append(acked, id)
			}
			return err
		})
	}
	again(t, func() error {
		_, err := s.Redact(s.ctx, rooms.RedactRequest{
			RoomID: room, Sender: user, EventID: acked[0],
			Txn: &rooms.Txn{DeviceID: "D", Request: "redact " + string(acked[0]), ID: "r"},
		})
		return err
	})
	return room, acked
}

// check makes sure that every acknowledged event is there exactly once, that
// nothing else is, and that the caches agree with the database.
func check(t *testing.T, s *server, room event.RoomID, acked []event.EventID) {
	t.Helper()
	const setup, redaction = 7, 1
	checkLine(t, s, room, setup+len(acked)+redaction)
	fresh := &server{Service: newReader(s.store), t: t, ctx: s.ctx, store: s.store}
	for i, ev := range fresh.timeline(room)[setup : setup+len(acked)] {
		if ev.ID() != acked[i] {
			t.Errorf("message %d is %s, want %s", i, ev.ID(), acked[i])
		}
		if (i == 0) != (ev.RedactedBecause != nil) || (i == 0) != (string(ev.Content()) == "{}") {
			t.Errorf("message %d: %s, redacted by %v", i, ev.Content(), ev.RedactedBecause)
		}
		if got := s.event(room, ev.ID()); string(got.JSON()) != string(ev.JSON()) || got.StreamPos != ev.StreamPos {
			t.Errorf("message %d is %s at %d in memory, %s at %d on disk", i, got.JSON(), got.StreamPos, ev.JSON(), ev.StreamPos)
		}
	}
}

// newReader returns a service with empty caches.
func newReader(s *store.Store) *rooms.Service { return newService(s) }

func TestAnyStatementMayFail(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Options{
		"sqlite":   func(t *testing.T) store.Options { return store.Options{Dir: t.TempDir()} },
		"postgres": func(t *testing.T) store.Options { return store.Options{PostgresURL: storetest.PostgresURL(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			f := &trip{}
			o := open(t)
			o.ServerName, o.Wrap = storetest.ServerName, storetest.Tap(func(query string) error {
				if query == "NOTIFY foyer_changes" {
					return nil // only a hint, at its own pace
				}
				return f.ask(query)
			})
			st, err := store.Open(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = st.Close() })
			s := newServer(context.Background(), t, st)
			failures := []error{errInjected}
			if name == "postgres" {
				failures = append(failures, driver.ErrBadConn) // a file has no connection to lose
			}
			for _, failure := range failures {
				for k := 1; ; k++ {
					f.arm(k, failure)
					room, acked := scenario(t, s, k)
					hit := f.where()
					f.arm(0, nil)
					check(t, s, room, acked)
					if t.Failed() {
						t.Fatalf("after statement %d failed: %s", k, hit)
					}
					if hit == "" {
						break
					}
				}
			}
		})
	}
}

func TestAnyFailpointMayFail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		f := &trip{}
		seen := map[string]bool{}
		ctx := fault.With(context.Background(), func(name string) error {
			err := f.ask(name)
			if err != nil {
				seen[name] = true
			}
			return err
		})
		s := newServer(ctx, t, open())
		for range 2 { // the second time without what only the first scenario needs
			for k := 1; ; k++ {
				f.arm(k, errInjected)
				room, acked := scenario(t, s, k)
				hit := f.where()
				f.arm(0, nil)
				check(t, s, room, acked)
				if t.Failed() {
					t.Fatalf("after failpoint %s (%d)", hit, k)
				}
				if hit == "" {
					break
				}
			}
		}
		for _, name := range []string{
			"rooms.create.built", "rooms.create.committed", "rooms.send.built", "rooms.send.committed",
			"store.flush.before", "store.commit.before", "store.commit.after",
		} {
			if !seen[name] {
				t.Errorf("failpoint %s was never passed", name)
			}
		}
	})
}
