// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// inBubble runs a test on a fake clock.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, storetest.SQLite(t))) })
}

// poll starts a long poll.
func (d *device) poll(ctx context.Context, timeout time.Duration) <-chan *answer {
	answers := make(chan *answer, 1)
	go func() {
		a, err := d.try(ctx, timeout)
		if err != nil {
			a = nil
		}
		answers <- a
	}()
	synctest.Wait()
	return answers
}

func TestALongPollEndsWithItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(alice)
		other := w.create(bob)
		d := w.device(alice)
		d.sync()
		w.send(other, bob, "elsewhere")
		start := time.Now()
		a := d.wait(30 * time.Second)
		if took := time.Since(start); took != 30*time.Second || !a.quiet() {
			t.Errorf("answered after %v: %+v", took, a)
		}
		token, err := stream.ParseToken(a.NextBatch)
		if err != nil || token.Pos != w.store.Log().Head() {
			t.Errorf("the token %s, %v is behind the log's head %d", a.NextBatch, err, w.store.Log().Head())
		}
	})
}

func TestALongPollWakesForWhatConcernsItsUser(t *testing.T) {
	for name, happens := range map[string]func(w *world, room event.RoomID){
		"a message":   func(w *world, room event.RoomID) { w.send(room, bob, "m") },
		"a receipt":   func(w *world, room event.RoomID) { w.read(room, bob, stream.Marker{Type: "m.read", EventID: "$last"}) },
		"typing":      func(w *world, room event.RoomID) { w.ok(w.stream.SetTyping(w.ctx(), bob, room, time.Second)) },
		"a to-device": func(w *world, _ event.RoomID) { w.toDevice(alice, "D", 1) },
		"a new device key": func(w *world, _ event.RoomID) {
			w.change(store.ChangeDeviceList, bob)
		},
		"room account data": func(w *world, room event.RoomID) {
			w.ok(w.stream.SetAccountData(w.ctx(), alice, room, stream.Data{Type: "x", Content: []byte("{}")}))
		},
		"account data": func(w *world, _ event.RoomID) {
			w.ok(w.stream.SetAccountData(w.ctx(), alice, "", stream.Data{Type: "x", Content: []byte("{}")}))
		},
		"an invite": func(w *world, _ event.RoomID) {
			w.ok(w.rooms.Invite(w.ctx(), rooms.MemberRequest{RoomID: w.create(bob), Sender: bob, Target: alice}))
		},
		"a join elsewhere": func(w *world, _ event.RoomID) { w.join(w.create(bob), alice) },
		"a kick": func(w *world, room event.RoomID) {
			w.ok(w.rooms.Kick(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: bob, Target: alice}))
		},
		"one-time keys": func(w *world, _ event.RoomID) {
			w.change(store.ChangeOneTimeKeys, alice)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				room := w.create(bob)
				w.join(room, alice)
				last := w.send(room, bob, "last")
				d := w.device(alice)
				d.sync()
				answers := d.poll(w.ctx(), time.Minute)
				start := time.Now()
				if name == "a receipt" {
					w.read(room, bob, stream.Marker{Type: "m.read", EventID: last})
				} else {
					happens(w, room)
				}
				a := <-answers
				if took := time.Since(start); took != 0 || a == nil {
					t.Fatalf("answered after %v: %+v", took, a)
				}
				if a.quiet() && name != "one-time keys" {
					t.Error("answered without saying anything")
				}
			})
		})
	}
}

func TestALongPollSleepsThroughWhatDoesNot(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(bob)
		w.join(room, alice)
		left := w.create(bob)
		w.join(left, alice)
		last := w.send(room, bob, "last")
		w.leave(left, alice)
		d := w.device(alice)
		d.sync()
		answers := d.poll(w.ctx(), time.Minute)
		w.send(w.create(bob), bob, "elsewhere")
		w.send(left, bob, "behind her back")
		w.read(room, bob, stream.Marker{Type: "m.read.private", EventID: last})
		w.toDevice(bob, "D", 1)
		w.ok(w.stream.SetAccountData(w.ctx(), bob, "", stream.Data{Type: "x", Content: []byte("{}")}))
		w.change(store.ChangeDeviceList, carol)
		synctest.Wait()
		select {
		case a := <-answers:
			t.Fatalf("woken: %+v", a)
		default:
		}
		if a := <-answers; !a.quiet() {
			t.Errorf("at the timeout: %+v", a)
		}
	})
}

func TestShutdownAnswersLongPollsWithTheirToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(alice)
		d := w.device(alice)
		before := d.sync().NextBatch
		answers := d.poll(w.ctx(), time.Minute)
		start := time.Now()
		w.stream.Drain()
		a := <-answers
		if took := time.Since(start); took != 0 || a == nil || !a.quiet() || a.NextBatch != before {
			t.Errorf("answered after %v: %+v, want token %s", took, a, before)
		}
	})
}

func TestAClientThatGoesAwayEndsItsPoll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(alice)
		d := w.device(alice)
		d.sync()
		ctx, cancel := context.WithCancel(w.ctx())
		answers := d.poll(ctx, time.Minute)
		start := time.Now()
		cancel()
		if a := <-answers; a != nil || time.Since(start) != 0 {
			t.Errorf("answered %+v after %v", a, time.Since(start))
		}
	})
}

func TestATokenFromTheFutureIsAnsweredAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(alice)
		d := w.device(alice)
		d.since = "s1000000"
		start := time.Now()
		a := d.wait(time.Minute)
		token, err := stream.ParseToken(a.NextBatch)
		if took := time.Since(start); took != 0 || err != nil || token.Pos != w.store.Log().Head() {
			t.Errorf("answered after %v with %s, %v", took, a.NextBatch, err)
		}
		m := w.send(room, alice, "after the restore")
		if got := ids(d.sync().Rooms.Join[room].Timeline.Events); !slices.Equal(got, []string{string(m)}) {
			t.Errorf("the next event: %v", got)
		}
	})
}

func TestTypingExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(alice)
		w.join(room, bob)
		d := w.device(bob)
		d.sync()
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, 10*time.Second))
		if got := typists(t, d.sync().Rooms.Join[room]); got != `{"user_ids":["`+string(alice)+`"]}` {
			t.Errorf("typing: %s", got)
		}
		if a := d.sync(); !a.quiet() {
			t.Errorf("told twice: %+v", a)
		}
		start := time.Now()
		a := d.wait(time.Minute)
		if took := time.Since(start); took != 10*time.Second || typists(t, a.Rooms.Join[room]) != `{"user_ids":[]}` {
			t.Errorf("expired after %v: %+v", took, a)
		}
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, time.Hour))
		d.sync()
		start = time.Now()
		d.wait(4 * time.Minute)
		if took := time.Since(start); took != stream.MaxTyping {
			t.Errorf("an hour of typing ended after %v, want %v", took, stream.MaxTyping)
		}
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, time.Minute))
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, 0))
		if got := typists(t, d.sync().Rooms.Join[room]); got != `{"user_ids":[]}` {
			t.Errorf("stopped typing: %s", got)
		}
		if err := w.stream.SetTyping(w.ctx(), carol, room, time.Minute); !matrixerr.Is(err, "M_FORBIDDEN") {
			t.Errorf("typing from outside: %v", err)
		}
	})
}

func TestWhoLeavesNoLongerTypes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(alice)
		w.join(room, bob)
		d := w.device(alice)
		w.ok(w.stream.SetTyping(w.ctx(), bob, room, time.Minute))
		d.sync()
		w.leave(room, bob)
		if got := typists(t, d.sync().Rooms.Join[room]); got != `{"user_ids":[]}` {
			t.Errorf("typing after leaving: %s", got)
		}
	})
}

func typists(t *testing.T, r *roomAnswer) string {
	t.Helper()
	if r == nil {
		return ""
	}
	for _, e := range r.Ephemeral.Events {
		if e.Type == "m.typing" {
			return string(e.Content)
		}
	}
	return ""
}

func TestTypingRenewedDoesNotWakeAnybody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		room := w.create(alice)
		w.join(room, bob)
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, 10*time.Second))
		d := w.device(bob)
		if got := typists(t, d.sync().Rooms.Join[room]); got == "" {
			t.Error("the initial sync does not say who types")
		}
		w.ok(w.stream.SetTyping(w.ctx(), alice, room, 20*time.Second))
		start := time.Now()
		d.wait(time.Minute)
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("woken after %v, want 20s, when the renewed notice ends", took)
		}
	})
}

func TestTokens(t *testing.T) {
	for _, text := range []string{"", "x", "s", "s-1", "5", "s1x", "s01", "s1_", "s1_x", "s1_-2", "s1_2_3", "s9_2_3_4", "s99999999999999999999"} {
		if _, err := stream.ParseToken(text); !errors.Is(err, stream.ErrBadToken) {
			t.Errorf("ParseToken(%q) = %v, want ErrBadToken", text, err)
		}
	}
	for _, want := range []stream.Token{{}, {Pos: 5, ToDevice: 5}, {Pos: 5, Typing: 7, ToDevice: 5}, {Pos: 5, Typing: 7, ToDevice: 2}, {Pos: 5}} {
		if got, err := stream.ParseToken(want.String()); err != nil || got != want {
			t.Errorf("%v became %s, then %v, %v", want, want, got, err)
		}
		if pos, err := rooms.ParseToken(want.String()); err != nil || pos != want.Pos {
			t.Errorf("/messages does not take %s: %v, %v", want, pos, err)
		}
	}
}
