// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const client = "/_matrix/client/v3"

// room makes a public room.
func room(c *homeservertest.Client) string {
	r := c.Post(client+"/createRoom", homeservertest.Object{"preset": "public_chat"}).OK()
	return url.PathEscape(r.String("room_id"))
}

func message(c *homeservertest.Client, room, txn string) string {
	r := c.Put(client+"/rooms/"+room+"/send/m.room.message/"+txn, homeservertest.Object{"msgtype": "m.text", "body": txn}).OK()
	return url.PathEscape(r.String("event_id"))
}

func TestSyncOverHTTP(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		id := room(alice)
		bob.Post(client+"/join/"+id, nil).OK()
		first := bob.Get(client + "/sync").OK()
		if first.Header.Get("Content-Type") != "application/json" {
			t.Errorf("content type %q", first.Header.Get("Content-Type"))
		}
		plain, err := url.PathUnescape(id)
		if err != nil {
			t.Fatal(err)
		}
		if first.Value("rooms", "join", plain, "timeline", "prev_batch") == nil {
			t.Fatalf("initial sync: %s", first.Body)
		}
		answers := make(chan *homeservertest.Response)
		go func() {
			answers <- bob.Get(client + "/sync?timeout=60000&set_presence=offline&since=" + first.String("next_batch"))
		}()
		event := message(alice, id, "1")
		got := (<-answers).OK()
		want, err := url.PathUnescape(event)
		if err != nil || !strings.Contains(string(got.Body), want) {
			t.Errorf("woken with %s, want %s in it", got.Body, want)
		}
		older := bob.Get(client + "/rooms/" + id + "/messages?dir=b&from=" + first.String("rooms", "join", plain, "timeline", "prev_batch"))
		older.OK()
		bob.Get(client + "/rooms/" + id + "/messages?dir=b&from=" + got.String("next_batch")).OK()
	})
}

func TestStoppingTheServerAnswersWaitingSyncs(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	since := alice.Get(client + "/sync").OK().String("next_batch")
	answers := make(chan *homeservertest.Response, 1)
	go func() {
		r, err := alice.Try(context.Background(), "GET", client+"/sync?timeout=60000&since="+since, nil)
		if err != nil {
			t.Errorf("the waiting sync got no answer: %v", err)
		}
		answers <- r
	}()
	for !strings.Contains(string(alice.Get("/metrics").OK().Body), `foyer_http_requests_in_flight{listener="client"} 2`) {
		runtime.Gosched() // the poll has not arrived yet
	}
	s.Stop()
	if got := <-answers; got != nil && got.OK().String("next_batch") != since {
		t.Errorf("answered %s, want the token %s", got.Body, since)
	}
}

func TestH54LimitsOfSync(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	for _, query := range []string{"timeout=-1", "timeout=x", "timeout=1.5", "full_state=x", "use_state_after=1", "set_presence=away"} {
		alice.Get(client+"/sync?"+query).Refused(400, "M_INVALID_PARAM")
	}
	start := time.Now()
	alice.Get(client + "/sync?timeout=1099511627776").OK() // clamped; an initial sync does not wait
	since := alice.Get(client + "/sync?timeout=99999999999999999999").OK().String("next_batch")
	alice.Get(client + "/sync?timeout=0&since=" + since).OK()
	alice.Get(client + "/sync?filter=" + url.QueryEscape(`{"room":{"timeline":{"limit":1099511627776}}}`)).OK()
	alice.Get(client+"/sync?filter="+url.QueryEscape(`{"room":{"timeline":{"limit":-1}}}`)).Refused(400, "M_BAD_JSON")
	alice.Get(client+"/sync?filter="+url.QueryEscape(`{"room":{"timeline":{"limit":"x"}}}`)).Refused(400, "M_BAD_JSON")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("an initial sync waited: %v", took)
	}
}

func TestH55Since(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	for _, since := range []string{"x", "s", "s-1", "5", "s1_x", "s1e3", "%00", "s99999999999999999999"} {
		alice.Get(client+"/sync?since="+since).Refused(400, "M_INVALID_PARAM")
	}
	head := alice.Get(client + "/sync").OK().String("next_batch")
	got := alice.Get(client + "/sync?timeout=90000&since=s9000000000").OK().String("next_batch")
	if before, _, _ := strings.Cut(head, "_"); !strings.HasPrefix(got, before) {
		t.Errorf("a token from the future gave %s, want the present, %s", got, head)
	}
}

func TestAMessageThroughOneReplicaWakesASyncOnAnother(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Postgres: true})
	alice, bob := s.Register("alice"), s.Register("bob")
	id := room(alice)
	bob.Post(client+"/join/"+id, nil).OK()
	elsewhere := s.Replica().Client()
	elsewhere.UserID, elsewhere.DeviceID, elsewhere.AccessToken = bob.UserID, bob.DeviceID, bob.AccessToken
	// The token of one replica holds on the other, which may not have heard of all of it yet.
	since := bob.Get(client + "/sync").OK().String("next_batch")
	events := map[string]bool{}
	for i := range 5 {
		want, err := url.PathUnescape(message(alice, id, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		for !events[want] {
			got := elsewhere.Get(client + "/sync?timeout=60000&since=" + since).OK()
			since = got.String("next_batch")
			for _, e := range timelineOf(got, id) {
				if events[e] {
					t.Errorf("%s came twice", e)
				}
				events[e] = true
			}
		}
	}
	if len(events) != 5 {
		t.Errorf("%d events, want 5", len(events))
	}
}

// timelineOf lists the ids of a room's timeline in an answer.
func timelineOf(r *homeservertest.Response, escaped string) []string {
	var list []string
	plain, _ := url.PathUnescape(escaped)
	all, _ := r.Value("rooms", "join", plain, "timeline", "events").([]any)
	for _, e := range all {
		id, _ := e.(map[string]any)["event_id"].(string)
		list = append(list, id)
	}
	return list
}
