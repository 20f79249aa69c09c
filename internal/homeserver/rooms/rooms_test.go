// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

const (
	alice = event.UserID("@alice:test.example")
	bob   = event.UserID("@bob:test.example")
	carol = event.UserID("@carol:test.example")
)

// names are the profiles of the tests' users.
type names map[event.UserID]string

func (n names) Profile(_ context.Context, user event.UserID) (displayName, avatarURL string, err error) {
	return n[user], "", nil
}

// server is one replica.
type server struct {
	*rooms.Service
	t     testing.TB
	ctx   context.Context //nolint:containedctx // the failpoints of one test
	store *store.Store
	stop  func()
}

func newServer(ctx context.Context, t testing.TB, s *store.Store) *server {
	t.Helper()
	return &server{Service: newService(s), t: t, ctx: ctx, store: s, stop: storetest.Start(ctx, t, s)}
}

func newService(s *store.Store) *rooms.Service {
	return rooms.New(rooms.Options{
		Store: s,
		Signer: event.Signer{
			Server: storetest.ServerName, KeyID: "ed25519:1", PrivateKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		},
		Profiles: names{alice: "Alice", bob: "Bob"},
		Now:      func() time.Time { return time.UnixMilli(1_700_000_000_000) },
	})
}

// each runs test with a server on both databases.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		test(t, newServer(context.Background(), t, open()))
	})
}

func (s *server) create(r rooms.CreateRequest) event.RoomID {
	s.t.Helper()
	if r.Creator == "" {
		r.Creator = alice
	}
	id, err := s.Create(s.ctx, r)
	if err != nil {
		s.t.Fatalf("create room: %v", err)
	}
	return id
}

// publicRoom makes a public room of alice with the others joined.
func (s *server) publicRoom(others ...event.UserID) event.RoomID {
	s.t.Helper()
	id := s.create(rooms.CreateRequest{Preset: rooms.PresetPublic})
	for _, user := range others {
		s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: id, Sender: user}))
	}
	return id
}

func (s *server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// refused fails unless err is the error that clients see with that code.
func (s *server) refused(err error, code string) {
	s.t.Helper()
	if !matrixerr.Is(err, code) {
		s.t.Fatalf("error %v, want %s", err, code)
	}
}

func (s *server) send(room event.RoomID, user event.UserID, body string) event.EventID {
	s.t.Helper()
	id, err := s.Send(s.ctx, message(room, user, body))
	if err != nil {
		s.t.Fatalf("send %q: %v", body, err)
	}
	return id
}

func message(room event.RoomID, user event.UserID, body string) rooms.SendRequest {
	content := fmt.Appendf(nil, `{"msgtype":"m.text","body":%q}`, body)
	return rooms.SendRequest{RoomID: room, Sender: user, Type: "m.room.message", Content: content}
}

func (s *server) setState(room event.RoomID, user event.UserID, key event.StateKey, content string) (event.EventID, error) {
	return s.Send(s.ctx, rooms.SendRequest{RoomID: room, Sender: user, Type: key.Type, StateKey: &key.Key, Content: []byte(content)})
}

func (s *server) info(room event.RoomID) *rooms.Info {
	s.t.Helper()
	info, err := s.RoomByID(s.ctx, room)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// timeline returns the whole timeline of the room, oldest first.
func (s *server) timeline(room event.RoomID) []*rooms.StoredEvent {
	s.t.Helper()
	events, err := s.Timeline(s.ctx, rooms.TimelineQuery{RoomNID: s.info(room).NID, To: 1 << 60, Limit: 1 << 30})
	if err != nil {
		s.t.Fatal(err)
	}
	return events
}

func (s *server) event(room event.RoomID, id event.EventID) *rooms.StoredEvent {
	s.t.Helper()
	ev, err := s.EventByID(s.ctx, s.info(room), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return ev
}

// stateContent returns the content that the room's current state has at key, "" if none.
func (s *server) stateContent(room event.RoomID, key event.StateKey) string {
	s.t.Helper()
	state, err := s.CurrentState(s.ctx, s.info(room).NID)
	if err != nil {
		s.t.Fatal(err)
	}
	ev, err := state.Event(s.ctx, key)
	if err != nil {
		s.t.Fatal(err)
	}
	if ev == nil {
		return ""
	}
	return string(ev.Content())
}

// client returns ev as v sees it.
func (s *server) client(ev *rooms.StoredEvent, v rooms.Viewer) map[string]any {
	s.t.Helper()
	raw := s.ClientEvent(nil, ev, v)
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		s.t.Fatalf("%s: %v", raw, err)
	}
	return fields
}

func types(events []*rooms.StoredEvent) []string {
	var all []string
	for _, ev := range events {
		all = append(all, ev.Type())
	}
	return all
}
