// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// send sends content to devices of a user.
func send(c *homeservertest.Client, txn string, messages object) *homeservertest.Response {
	return c.Put(v3+"/sendToDevice/m.test/"+txn, object{"messages": messages})
}

// received syncs once and returns the messages and the next token.
func received(c *homeservertest.Client, since string) (events []any, next string) {
	path := v3 + "/sync"
	if since != "" {
		path += "?since=" + since
	}
	r := c.Get(path).OK()
	events, _ = r.Value("to_device", "events").([]any)
	return events, r.String("next_batch")
}

// H78: the content of a message to a device may have 64 KiB.
func TestH78LargeToDeviceContentIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		const frame = len(`{"a":""}`)
		content := func(bytes int) object { return object{"a": strings.Repeat("a", bytes-frame)} }
		to := func(c any) object { return object{alice.UserID: object{alice.DeviceID: c}} }
		send(alice, "1", to(content(64<<10+1))).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
		send(alice, "2", to([]string{})).Refused(http.StatusBadRequest, "M_BAD_JSON")
		send(alice, "3", to(nil)).Refused(http.StatusBadRequest, "M_BAD_JSON")
		send(alice, "4", object{"alice": object{}}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
		alice.Put(v3+"/sendToDevice/m.test/5", object{}).Refused(http.StatusBadRequest, "M_MISSING_PARAM")
		alice.Put(v3+"/sendToDevice/m.test/6", object{"messages": "x"}).Refused(http.StatusBadRequest, "M_BAD_JSON")
		send(alice, strings.Repeat("t", 256), to(object{})).Refused(http.StatusBadRequest, "M_BAD_JSON")
		if events, _ := received(alice, ""); len(events) != 0 {
			t.Errorf("received %v", events)
		}
		send(alice, "1", to(content(64<<10))).OK().Equal(`{}`)
		if events, _ := received(alice, ""); len(events) != 1 {
			t.Errorf("received %d messages, want the one of 64 KiB", len(events))
		}
	})
}

func TestAToDeviceMessageArrivesOnceForEachTransactionOfADevice(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		other := s.Login("alice", "OTHER")
		content := object{"text": `<b>"é"</b>`, "number": 1.5}
		to := object{bob.UserID: object{bob.DeviceID: content, "NONE": content}, "@nobody:test.example": object{"*": content}}
		for range 2 {
			send(alice, "1", to).OK().Equal(`{}`)
		}
		send(other, "1", to).OK()
		s.Restart()
		send(alice, "1", to).OK()
		events, next := received(bob, "")
		want := object{"type": "m.test", "sender": alice.UserID, "content": content}
		equal(t, events, []any{want, want})
		// The answer was lost: the same token brings them again, the next one does not.
		again, _ := received(bob, "")
		equal(t, again, events)
		events, _ = received(bob, next)
		equal(t, events, []any(nil))
	})
}

func TestAKilledServerLosesNoToDeviceMessage(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		to := func(n int) object { return object{bob.UserID: object{bob.DeviceID: object{"n": n}}} }
		_, since := received(bob, "")
		send(alice, "1", to(1)).OK()
		s.Kill()
		s.Start()
		events, next := received(bob, since)
		if len(events) != 1 {
			t.Fatalf("received %v after the acknowledgement, want one message", events)
		}
		// Killed after the answer, before bob comes back with its token.
		s.Kill()
		s.Start()
		again, _ := received(bob, since)
		equal(t, again, events)
		send(alice, "2", to(2)).OK()
		events, _ = received(bob, next)
		equal(t, events, []any{object{"type": "m.test", "sender": alice.UserID, "content": object{"n": 2}}})
	})
}

func TestAStarMeansAllDevicesThatAreNotNamed(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		devices := []*homeservertest.Client{alice}
		for i := range 5 {
			devices = append(devices, s.Login("alice", fmt.Sprint("DEVICE", i)))
		}
		large := object{"text": strings.Repeat("a", 20<<10)} // is queued in several parts
		for range 2 {
			send(alice, "1", object{alice.UserID: object{"*": large, "DEVICE0": object{}}}).OK()
		}
		for i, d := range devices {
			want := any(large)
			if i == 1 {
				want = object{}
			}
			events, _ := received(d, "")
			equal(t, events, []any{object{"type": "m.test", "sender": alice.UserID, "content": want}})
		}
	})
}

func TestARequestWithManyMessagesIsCarriedOutOnce(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		to := object{}
		for i := range 250 {
			to[fmt.Sprint("DEVICE", i)] = object{"i": i}
		}
		to[bob.DeviceID] = object{"text": strings.Repeat("a", 60<<10)}
		for i := range 10 {
			to[fmt.Sprint("LARGE", i)] = to[bob.DeviceID]
		}
		last := s.Login("bob", "LARGE9")
		for range 2 {
			send(alice, "1", object{bob.UserID: to, alice.UserID: object{alice.DeviceID: object{}}}).OK()
		}
		for _, d := range []*homeservertest.Client{alice, bob, last} {
			if events, _ := received(d, ""); len(events) != 1 {
				t.Errorf("%s received %d messages, want 1", d.DeviceID, len(events))
			}
		}
	})
}

func TestRequestsAreForgottenAfterADay(t *testing.T) {
	var ahead atomic.Int64
	o := homeservertest.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		ahead.Store(0)
		alice := s.Register("alice")
		self := object{alice.UserID: object{alice.DeviceID: object{}}}
		waiting := func() int {
			events, _ := alice.Get(v3+"/sync").OK().Value("to_device", "events").([]any)
			return len(events)
		}
		send(alice, "1", self).OK()
		ahead.Store(int64(23 * time.Hour))
		send(alice, "1", self).OK()
		if n := waiting(); n != 1 {
			t.Errorf("%d messages after one was sent twice", n)
		}
		ahead.Store(int64(25 * time.Hour))
		send(alice, "2", self).OK()
		send(alice, "1", self).OK()
		if n := waiting(); n != 3 {
			t.Errorf("%d messages: the first request is still known", n)
		}
	})
}
