// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

func TestConcurrentSendersMakeOneLine(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		users := []event.UserID{alice}
		for i := range 7 {
			users = append(users, event.UserID(fmt.Sprintf("@user%d:test.example", i)))
		}
		room := s.publicRoom(users[1:]...)
		const each = 20
		var wg sync.WaitGroup
		for _, user := range users {
			wg.Go(func() {
				for i := range each {
					s.send(room, user, fmt.Sprintf("%s %d", user, i))
				}
			})
		}
		wg.Wait()
		checkLine(t, s, room, 6+len(users)-1+each*len(users))
	})
}

// checkLine checks that the room's events are a line without forks, at
// ascending positions, and that the room's state is what they say.
func checkLine(t *testing.T, s *server, room event.RoomID, count int) {
	t.Helper()
	events := s.timeline(room)
	if len(events) != count {
		t.Errorf("%d events, want %d", len(events), count)
	}
	state := map[event.StateKey]int64{}
	for i, ev := range events {
		if i > 0 && (len(ev.PrevEvents()) != 1 || ev.PrevEvents()[0] != events[i-1].ID()) {
			t.Errorf("event %d follows %v, want %v", i, ev.PrevEvents(), events[i-1].ID())
		}
		if i > 0 && ev.StreamPos <= events[i-1].StreamPos {
			t.Errorf("event %d has position %d after %d", i, ev.StreamPos, events[i-1].StreamPos)
		}
		if ev.Depth() != int64(i+1) {
			t.Errorf("event %d has depth %d", i, ev.Depth())
		}
		checkState(t, s, fmt.Sprintf("before event %d", i), stateAt(t, s, ev.StateNID), state)
		if _, ok := ev.StateKey(); ok {
			if state[ev.Tuple()] != ev.ReplacesNID {
				t.Errorf("event %d replaces %d, want %d", i, ev.ReplacesNID, state[ev.Tuple()])
			}
			state[ev.Tuple()] = ev.NID
		}
	}
	current, err := s.CurrentState(s.ctx, s.info(room).NID)
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, s, "now", current, state)
}

func stateAt(t *testing.T, s *server, nid int64) *rooms.StateView {
	t.Helper()
	view, err := s.StateAt(s.ctx, nid)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func checkState(t *testing.T, s *server, when string, view *rooms.StateView, want map[event.StateKey]int64) {
	t.Helper()
	all, err := view.All(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(want) {
		t.Errorf("%s: %d keys, want %d", when, len(all), len(want))
	}
	for _, entry := range all {
		if want[entry.Key] != entry.NID {
			t.Errorf("%s: %v is %d, want %d", when, entry.Key, entry.NID, want[entry.Key])
		}
	}
}

func TestThreeReplicasOnOneRoomMakeOneLine(t *testing.T) {
	url := storetest.PostgresURL(t)
	var servers []*server
	for range 3 {
		st, err := store.Open(t.Context(), store.Options{PostgresURL: url, ServerName: storetest.ServerName})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		servers = append(servers, newServer(context.Background(), t, st))
	}
	first := servers[0]
	room := first.publicRoom(bob, carol)
	var wg sync.WaitGroup
	const count = 25
	for n, s := range servers {
		wg.Go(func() {
			user := []event.UserID{alice, bob, carol}[n]
			for i := range count {
				s.send(room, user, fmt.Sprint(i))
				if i%5 == 0 {
					_, err := s.setState(room, alice, event.StateKey{Type: "x", Key: fmt.Sprint(n)}, fmt.Sprintf(`{"n":%d}`, i))
					s.must(err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, s := range servers {
		s.must(s.store.Log().Wait(s.ctx, first.timeline(room)[8+3*count+14].StreamPos-1))
		checkLine(t, s, room, 8+3*count+15)
	}
}

func TestAJoinThroughAnotherReplicaIsSeenAtOnce(t *testing.T) {
	url := storetest.PostgresURL(t)
	open := func() *server {
		st, err := store.Open(t.Context(), store.Options{PostgresURL: url, ServerName: storetest.ServerName})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return newServer(context.Background(), t, st)
	}
	a, b := open(), open()
	room := a.publicRoom()
	_, err := a.Send(a.ctx, message(room, bob, "too early"))
	a.refused(err, matrixerr.CodeForbidden)
	b.must(b.Join(b.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
	// Replica a still remembers that bob is not in the room; it has to look again.
	a.send(room, bob, "hello")
	a.must(a.Kick(a.ctx, rooms.MemberRequest{RoomID: room, Sender: alice, Target: bob}))
	b.must(b.store.Log().Wait(b.ctx, a.store.Log().Head()-1))
	_, err = b.Send(b.ctx, message(room, bob, "too late"))
	b.refused(err, matrixerr.CodeForbidden)
}

func txnMessage(room event.RoomID, device, txn string) rooms.SendRequest {
	r := message(room, alice, "once")
	r.Txn = &rooms.Txn{DeviceID: device, Request: "PUT /rooms/" + string(room) + "/send/m.room.message/" + txn, ID: txn}
	return r
}

func TestH42ARepeatedRequestGivesTheSameEvent(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom(bob)
		ids := make([]event.EventID, 12)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				id, err := s.Send(s.ctx, txnMessage(room, "PHONE", "t1"))
				if err != nil {
					t.Error(err)
				}
				ids[i] = id
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("two events for one request: %v", ids)
			}
		}
		other, err := s.Send(s.ctx, txnMessage(room, "LAPTOP", "t1"))
		s.must(err)
		next, err := s.Send(s.ctx, txnMessage(room, "PHONE", "t2"))
		s.must(err)
		if other == ids[0] || next == ids[0] || other == next {
			t.Error("other requests gave the same event")
		}
		ev := s.event(room, ids[0])
		for _, test := range []struct {
			user   event.UserID
			device string
			want   any
		}{{alice, "PHONE", "t1"}, {alice, "LAPTOP", nil}, {bob, "PHONE", nil}} {
			viewer := rooms.Viewer{UserID: test.user, DeviceID: test.device}
			if got := s.client(ev, viewer)["unsigned"].(map[string]any)["transaction_id"]; got != test.want {
				t.Errorf("%s on %s sees transaction id %v, want %v", test.user, test.device, got, test.want)
			}
		}
	})
}

func TestH42ARequestRepeatedAfterARestartGivesTheSameEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		s := newServer(context.Background(), t, st)
		room := s.publicRoom()
		first, err := s.Send(s.ctx, txnMessage(room, "PHONE", "t1"))
		s.must(err)
		// A service without memory of the first request stands for the restarted one.
		again := newService(st)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				// Others who share the commit must not suffer.
				if _, err := again.Send(s.ctx, message(room, alice, fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		second, err := again.Send(s.ctx, txnMessage(room, "PHONE", "t1"))
		wg.Wait()
		s.must(err)
		if first != second {
			t.Errorf("%s, then %s", first, second)
		}
		if n := len(s.timeline(room)); n != 6+1+4 {
			t.Errorf("%d events", n)
		}
	})
}

func TestBadEventsAreRefusedAndNotStored(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom(bob)
		key := string(alice)
		long := strings.Repeat("k", 256)
		for name, c := range map[string]struct {
			request rooms.SendRequest
			code    string
		}{
			"H45 a sender who is not in the room": {message(room, carol, "x"), matrixerr.CodeForbidden},
			"H45 a room that does not exist":      {message("!none:test.example", alice, "x"), matrixerr.CodeForbidden},
			"H45 a level that is too low":         {state(room, bob, "m.room.name", "", `{"name":"x"}`), matrixerr.CodeForbidden},
			"H45 the state key of another":        {state(room, bob, "x", string(alice), `{}`), matrixerr.CodeForbidden},
			"H45 a second create event":           {state(room, alice, "m.room.create", "", `{}`), matrixerr.CodeForbidden},
			"H40 an event that is too large":      {message(room, alice, strings.Repeat("x", 65_536)), matrixerr.CodeTooLarge},
			"H40 a type that is too long":         {rooms.SendRequest{RoomID: room, Sender: alice, Type: long, Content: []byte(`{}`)}, matrixerr.CodeTooLarge},
			"H40 a state key that is too long":    {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", StateKey: &long, Content: []byte(`{}`)}, matrixerr.CodeTooLarge},
			"H41 a fraction":                      {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", Content: []byte(`{"a":1.5}`)}, matrixerr.CodeBadJSON},
			"H41 an exponent":                     {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", Content: []byte(`{"a":1e3}`)}, matrixerr.CodeBadJSON},
			"H41 minus zero":                      {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", Content: []byte(`{"a":-0}`)}, matrixerr.CodeBadJSON},
			"H41 a number beyond 2^53":            {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", Content: []byte(`{"a":9007199254740992}`)}, matrixerr.CodeBadJSON},
			"H44 a lone surrogate":                {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", Content: []byte(`{"a":"\ud800"}`)}, matrixerr.CodeBadJSON},
			"content that is no object":           {rooms.SendRequest{RoomID: room, Sender: alice, Type: "x", StateKey: &key, Content: []byte(`[]`)}, matrixerr.CodeBadJSON},
			"H46 a level as a string":             {state(room, alice, "m.room.power_levels", "", `{"users":{"@bob:test.example":"50"}}`), matrixerr.CodeBadJSON},
			"H46 a level that is a fraction":      {state(room, alice, "m.room.power_levels", "", `{"ban":1.5}`), matrixerr.CodeBadJSON},
			"H46 a level above one's own":         {state(room, bob, "m.room.power_levels", "", `{"users":{"@bob:test.example":100}}`), matrixerr.CodeForbidden},
			"H39 levels that name a creator":      {state(room, alice, "m.room.power_levels", "", `{"users":{"@alice:test.example":100}}`), matrixerr.CodeInvalidRoomState},
			"a membership without membership":     {state(room, alice, "m.room.member", string(alice), `{}`), matrixerr.CodeBadJSON},
			"a membership of nobody":              {state(room, alice, "m.room.member", "alice", `{"membership":"join"}`), matrixerr.CodeInvalidParam},
			"an alias that is none":               {state(room, alice, "m.room.canonical_alias", "", `{"alias":"pub"}`), matrixerr.CodeInvalidParam},
			"an alias of another room":            {state(room, alice, "m.room.canonical_alias", "", `{"alt_aliases":["#nothing:test.example"]}`), "M_BAD_ALIAS"},
		} {
			t.Run(name, func(t *testing.T) {
				before := s.store.Log().Head()
				_, err := s.Send(s.ctx, c.request)
				if !matrixerr.Is(err, c.code) {
					t.Errorf("error %v, want %s", err, c.code)
				}
				if s.store.Log().Head() != before {
					t.Error("something was stored")
				}
			})
		}
	})
}

func state(room event.RoomID, user event.UserID, typ, key, content string) rooms.SendRequest {
	return rooms.SendRequest{RoomID: room, Sender: user, Type: typ, StateKey: &key, Content: []byte(content)}
}

func TestH44ANullCharacterIsKept(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom()
		id, err := s.Send(s.ctx, rooms.SendRequest{RoomID: room, Sender: alice, Type: "x\u0000y", Content: []byte(`{"a":"b\u0000c"}`)})
		s.must(err)
		ev := s.event(room, id)
		if ev.Type() != "x\u0000y" || string(ev.Content()) != `{"a":"b\u0000c"}` {
			t.Errorf("got %q %s", ev.Type(), ev.Content())
		}
	})
}

func TestStateThatStandsAlreadyIsNotSentAgain(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom()
		key := event.StateKey{Type: "m.room.name"}
		first, err := s.setState(room, alice, key, `{"name":"a"}`)
		s.must(err)
		second, err := s.setState(room, alice, key, ` { "name" : "a" } `)
		s.must(err)
		third, err := s.setState(room, alice, key, `{"name":"b"}`)
		s.must(err)
		if first != second || first == third {
			t.Errorf("events %s, %s, %s", first, second, third)
		}
		ev := s.client(s.event(room, third), rooms.Viewer{})["unsigned"].(map[string]any)
		if ev["replaces_state"] != string(first) || fmt.Sprint(ev["prev_content"]) != "map[name:a]" {
			t.Errorf("unsigned %v", ev)
		}
	})
}

func TestARoomWithMoreSendersThanItsHeadRemembers(t *testing.T) {
	each(t, func(_ *testing.T, s *server) {
		const senders = 300
		members := make([]event.UserID, senders)
		for i := range members {
			members[i] = event.UserID(fmt.Sprintf("@member%d:%s", i, storetest.ServerName))
		}
		room := s.publicRoom(members...)
		for _, member := range members {
			s.send(room, member, "I am here")
		}
	})
}
