// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// present runs a test on a fake clock, with presence switched on and a room of
// Alice and Bob.
func present(t *testing.T, test func(w *world, room event.RoomID)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storetest.SQLite(t), func(o *stream.Options) { o.Presence = true })
		room := w.create(alice)
		w.join(room, bob)
		test(w, room)
	})
}

// online is a client whose syncs say that its user is there.
func (w *world) online(user event.UserID) *device {
	d := w.device(user)
	d.presence = stream.PresenceOnline
	return d
}

// pass waits until what changed is passed on.
func (w *world) pass() { <-time.After(6 * time.Second) }

var ago = regexp.MustCompile(`,"last_active_ago":[0-9]+`)

// says fails the test unless the presence events of an answer are these, as
// sender and content without last_active_ago.
func (w *world) says(a *answer, want ...string) {
	w.Helper()
	got := []string{}
	for _, e := range a.Presence.Events {
		if e.Type != "m.presence" {
			w.Errorf("an event of type %q", e.Type)
		}
		got = append(got, e.Sender+" "+ago.ReplaceAllString(string(e.Content), ""))
	}
	slices.Sort(got)
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		w.Errorf("presence (-want +got):\n%s", diff)
	}
}

const (
	bobIsThere   = `@bob:test.example {"presence":"online","currently_active":true}`
	carolIsThere = `@carol:test.example {"presence":"online","currently_active":true}`
)

func TestOthersSeeWhoComesAndGoes(t *testing.T) {
	present(t, func(w *world, _ event.RoomID) {
		a := w.device(alice)
		w.says(a.sync())
		start := time.Now()
		answers := a.poll(w.ctx(), time.Minute)
		w.says(w.online(bob).sync())
		there := <-answers
		took := time.Since(start)
		if took > 5*time.Second {
			w.Errorf("Alice heard of it after %v", took)
		}
		w.says(there, bobIsThere)
		if want := fmt.Sprintf(`{"presence":"online","last_active_ago":%d,"currently_active":true}`, took.Milliseconds()); string(there.Presence.Events[0].Content) != want {
			w.Errorf("got %s, want %s", there.Presence.Events[0].Content, want)
		}
		a.since = there.NextBatch
		w.says(a.sync())
		w.says(w.device(alice).sync(), bobIsThere)
		w.says(a.wait(2*time.Minute), `@bob:test.example {"presence":"offline"}`)
		if took := time.Since(start); took < 30*time.Second || took > 40*time.Second {
			w.Errorf("Bob, who synced once, went after %v", took)
		}
		w.says(w.device(alice).sync())
	})
}

func TestWhoIsToldOfPresence(t *testing.T) {
	present(t, func(w *world, room event.RoomID) {
		w.create(carol)
		a, c := w.device(alice), w.device(carol)
		a.sync()
		c.sync()
		w.online(bob).sync()
		w.online(carol).sync()
		w.pass()
		w.says(a.sync(), bobIsThere)
		w.says(c.sync())
		w.says(w.device(carol).sync())
		// Whoever joins hears of those who are there, and they of the new one.
		w.join(room, carol)
		w.says(a.sync(), carolIsThere)
		w.says(c.sync(), bobIsThere)
		w.says(w.device(alice).sync(), bobIsThere, carolIsThere)
		w.says(w.device(alice).with(`{"presence":{"not_senders":["@carol:test.example"]}}`).sync(), bobIsThere)
		w.says(w.device(alice).with(`{"presence":{"types":[]}}`).sync())
		w.ok(w.stream.SetAccountData(w.ctx(), alice, "", stream.Data{
			Type: "m.ignored_user_list", Content: []byte(`{"ignored_users":{"@bob:test.example":{}}}`),
		}))
		w.says(w.device(alice).sync(), carolIsThere)
	})
}

func TestPresenceFollowsWhatAUserDoes(t *testing.T) {
	state := func(w *world, want stream.PresenceState) {
		w.Helper()
		p, err := w.stream.PresenceOf(w.ctx(), alice, bob)
		if err != nil || p.State != want {
			w.Errorf("Bob is %s (%v), want %s", p.State, err, want)
		}
	}
	present(t, func(w *world, room event.RoomID) {
		state(w, stream.PresenceOffline)
		w.device(bob).sync() // says nothing of Bob
		state(w, stream.PresenceOffline)
		b := w.online(bob)
		b.sync()
		state(w, stream.PresenceOnline)
		// A client that waits for news is there, but nobody may be in front of it.
		ctx, cancel := context.WithCancel(w.ctx())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_, _ = b.try(ctx, 30*time.Second) // ends when the test says so
			}
		}()
		<-time.After(4 * time.Minute)
		state(w, stream.PresenceOnline)
		w.ok(w.stream.SetTyping(w.ctx(), bob, room, 0))
		<-time.After(4 * time.Minute)
		state(w, stream.PresenceOnline)
		<-time.After(time.Minute)
		state(w, stream.PresenceUnavailable)
		w.stream.Active(bob)
		state(w, stream.PresenceOnline)
		// The most present device counts.
		tablet := w.device(bob)
		tablet.id, tablet.presence = "TABLET", stream.PresenceUnavailable
		tablet.sync()
		state(w, stream.PresenceOnline)
		cancel()
		<-done
		w.ok(w.stream.SetPresence(bob, "D", stream.Presence{State: stream.PresenceOffline}))
		state(w, stream.PresenceUnavailable)
		<-time.After(31 * time.Second)
		state(w, stream.PresenceOffline)
		b.sync()
		state(w, stream.PresenceOnline)
	})
}

func TestStatusMessages(t *testing.T) {
	present(t, func(w *world, _ event.RoomID) {
		a := w.device(alice)
		a.sync()
		set := func(to stream.Presence) *answer {
			w.ok(w.stream.SetPresence(bob, "D", to))
			w.pass()
			return a.sync()
		}
		lunch := stream.Presence{State: stream.PresenceUnavailable, Status: `at "lunch"`}
		w.says(set(lunch), `@bob:test.example {"presence":"unavailable","status_msg":"at \"lunch\""}`)
		w.says(set(lunch))
		w.says(set(stream.Presence{State: stream.PresenceUnavailable}), `@bob:test.example {"presence":"unavailable"}`)
	})
}

func TestManyWhoComeAtOnceWakeAUserOnce(t *testing.T) {
	present(t, func(w *world, room event.RoomID) {
		a := w.device(alice)
		a.sync()
		for i := range 20 {
			w.join(room, event.UserID(fmt.Sprintf("@u%d:test.example", i)))
		}
		a.sync()
		answers := a.poll(w.ctx(), time.Minute)
		for i := range 20 {
			w.online(event.UserID(fmt.Sprintf("@u%d:test.example", i))).sync()
		}
		synctest.Wait()
		select {
		case got := <-answers:
			w.Fatalf("woken at once: %+v", got)
		default:
		}
		if got := <-answers; len(got.Presence.Events) != 20 {
			w.Errorf("%d events in the first answer", len(got.Presence.Events))
		}
	})
}

func TestATokenOfAnotherStart(t *testing.T) {
	present(t, func(w *world, _ event.RoomID) {
		a := w.device(alice)
		a.sync()
		w.online(bob).sync()
		token, err := stream.ParseToken(a.since)
		w.ok(err)
		earlier, later := token, token
		earlier.Typing, later.Typing = 1, token.Typing+time.Hour.Milliseconds()
		start := time.Now()
		a.since = earlier.String()
		w.says(a.wait(time.Minute), bobIsThere)
		if took := time.Since(start); took != 0 {
			w.Errorf("answered after %v", took)
		}
		// A replica that has not started yet cannot have told what happened here, and must not be the reason to answer for ever.
		a.since = later.String()
		a.wait(30 * time.Second)
		if took := time.Since(start); took < 5*time.Second {
			w.Errorf("answered after %v", took)
		}
	})
}

func TestPresenceOfStrangersIsNotTold(t *testing.T) {
	present(t, func(w *world, _ event.RoomID) {
		w.online(bob).sync()
		if _, err := w.stream.PresenceOf(w.ctx(), carol, bob); !matrixerr.Is(err, matrixerr.CodeForbidden) {
			t.Errorf("a stranger: %v", err)
		}
		if _, err := w.stream.PresenceOf(w.ctx(), alice, "@nobody:test.example"); !matrixerr.Is(err, matrixerr.CodeForbidden) {
			t.Errorf("of nobody: %v", err)
		}
		if p, err := w.stream.PresenceOf(w.ctx(), bob, bob); err != nil || p.State != stream.PresenceOnline {
			t.Errorf("of himself: %+v, %v", p, err)
		}
	})
}

func TestWithoutPresenceNobodyIsThere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(alice)
		w.join(room, bob)
		a := w.device(alice)
		a.sync()
		w.online(bob).sync()
		w.ok(w.stream.SetPresence(bob, "D", stream.Presence{State: stream.PresenceOnline}))
		w.stream.Active(bob)
		if got := a.wait(time.Minute); !got.quiet() {
			t.Errorf("%+v", got)
		}
		if p, err := w.stream.PresenceOf(w.ctx(), alice, bob); err != nil || p.State != stream.PresenceOffline {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
