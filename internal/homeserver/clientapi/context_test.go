// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestContextIsWhatLiesAroundAnEvent(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{"preset": "public_chat"})
		ids := make([]string, 9)
		for i := range ids {
			ids[i] = alice.Put(roomPath(room, fmt.Sprintf("/send/m.room.message/%d", i)), object{"msgtype": "m.text", "body": fmt.Sprint(i)}).OK().String("event_id")
		}
		path := func(id, query string) string { return roomPath(room, "/context/"+url.PathEscape(id)+query) }
		bodies := func(r *homeservertest.Response, list string) string {
			text := ""
			for _, e := range r.Value(list).([]any) {
				body, _ := e.(object)["content"].(object)["body"].(string)
				text += body
			}
			return text
		}
		got := alice.Get(path(ids[4], "?limit=4")).OK()
		if got.String("event", "event_id") != ids[4] || bodies(got, "events_before") != "32" || bodies(got, "events_after") != "56" {
			t.Errorf("around 4: before %s, after %s", bodies(got, "events_before"), bodies(got, "events_after"))
		}
		if len(got.Value("state").([]any)) == 0 {
			t.Error("there is no state")
		}
		// The tokens go on where the context ends.
		older := alice.Get(roomPath(room, "/messages?dir=b&limit=1&from="+got.String("start"))).OK()
		newer := alice.Get(roomPath(room, "/messages?dir=f&limit=1&from="+got.String("end"))).OK()
		if bodies(older, "chunk") != "1" || bodies(newer, "chunk") != "7" {
			t.Errorf("further pages are %s and %s, want 1 and 7", bodies(older, "chunk"), bodies(newer, "chunk"))
		}
		if alone := alice.Get(path(ids[4], "?limit=0")).OK(); bodies(alone, "events_before")+bodies(alone, "events_after") != "" {
			t.Error("limit 0 returned others")
		}

		s.Client().Get(path(ids[4], "")).Refused(401, "M_MISSING_TOKEN")
		bob.Get(path(ids[4], "")).Refused(404, "M_NOT_FOUND")
		alice.Get(path("$none", "")).Refused(404, "M_NOT_FOUND")
		alice.Get(path(ids[4], "?limit=-1")).Refused(400, "M_INVALID_PARAM")
		alice.Get(path(ids[4], "?limit=x")).Refused(400, "M_INVALID_PARAM")
		alice.Get(path(ids[4], "?filter=x")).Refused(400, "M_BAD_JSON")

		other := createRoom(alice, object{})
		alice.Get(roomPath(other, "/context/"+url.PathEscape(ids[4]))).Refused(404, "M_NOT_FOUND")
		bob.Post(clientV3+"/join/"+url.PathEscape(room), object{}).OK()
		bob.Get(path(ids[4], "")).OK() // shared history
		bob.Post(roomPath(room, "/leave"), object{}).OK()
		late := alice.Put(roomPath(room, "/send/m.room.message/late"), object{"msgtype": "m.text", "body": "late"}).OK().String("event_id")
		bob.Get(path(late, "")).Refused(404, "M_NOT_FOUND")
		// Around the last event that bob may see there is nothing later.
		last := bob.Get(path(ids[8], "?limit=50")).OK()
		if strings.Contains(string(last.Body), "late") || bodies(last, "events_before") != "76543210" {
			t.Errorf("after leaving: %s", last.Body)
		}
		// An invitation that was declined is all that there is to see.
		secret := createRoom(alice, object{"invite": []any{bob.UserID}})
		invitation := alice.Get(roomPath(secret, "/state/m.room.member/"+url.PathEscape(bob.UserID)+"?format=event")).OK().String("event_id")
		bob.Get(roomPath(secret, "/context/"+url.PathEscape(invitation))).Refused(404, "M_NOT_FOUND")
		alice.Post(roomPath(room, "/ban"), object{"user_id": bob.UserID}).OK()
		bob.Get(path(ids[4], "")).OK()
		bob.Get(path(late, "")).Refused(404, "M_NOT_FOUND")
	})
}

func TestContextThroughAFilter(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		say(c.bob, room, "1", "b1")
		id := say(c.alice, room, "1", "a1")
		say(c.bob, room, "2", "b2")
		say(c.alice, room, "2", "a2")
		around := func(filter string) (all, state []string) {
			var got struct {
				Before []clientEvent `json:"events_before"`
				After  []clientEvent `json:"events_after"`
				State  []clientEvent `json:"state"`
			}
			c.alice.Get(in(room, "context", id) + "?limit=2&filter=" + url.QueryEscape(filter)).OK().JSON(&got)
			for _, ev := range got.State {
				state = append(state, ev.Type+*ev.StateKey)
			}
			return append(bodies(got.Before), bodies(got.After)...), state
		}
		if all, _ := around(`{"senders":["@bob:test.example"]}`); !slices.Equal(all, []string{"b1", "b2"}) {
			t.Errorf("by sender: %v", all)
		}
		if _, state := around(`{"types":["m.room.name","m.room.member"],"lazy_load_members":true}`); len(state) != 2 || slices.Contains(state, "m.room.member@bob:test.example") {
			t.Errorf("members who did not speak, or other state: %v", state)
		}
		if _, state := around(`{"types":["m.room.member","m.room.message"],"lazy_load_members":true}`); !slices.Contains(state, "m.room.member@bob:test.example") || slices.Contains(state, "m.room.member@carol:test.example") {
			t.Errorf("members: %v", state)
		}
		if all, state := around(`{"not_rooms":["` + room + `"]}`); len(all)+len(state) != 0 {
			t.Errorf("not this room: %v, %v", all, state)
		}
	})
}

func TestTheEventNearestToATime(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	homeservertest.Each(t, homeservertest.Options{Now: clock}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{"preset": "public_chat", "initial_state": []any{
			object{"type": "m.room.history_visibility", "state_key": "", "content": object{"history_visibility": "joined"}},
		}})
		start := now.Load()
		var ids []string
		for i := range 5 {
			now.Store(start + int64(i+1)*1000)
			ids = append(ids, say(alice, room, fmt.Sprint(i), "x"))
		}
		path := func(room, query string) string {
			return "/_matrix/client/v1/rooms/" + url.PathEscape(room) + "/timestamp_to_event?" + query
		}
		at := func(ts int64, dir string) string { return path(room, fmt.Sprintf("ts=%d&dir=%s", ts, dir)) }
		for _, q := range []struct {
			ts   int64
			dir  string
			want int
		}{{start + 1, "f", 0}, {start + 2000, "f", 1}, {start + 2000, "b", 1}, {start + 2001, "f", 2}, {start + 2999, "b", 1}, {start + 1<<40, "b", 4}, {math.MaxInt64, "b", 4}} {
			alice.Get(at(q.ts, q.dir)).OK().Equal(fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, ids[q.want], start+int64(q.want+1)*1000))
		}
		alice.Get(at(start+6000, "f")).Refused(404, "M_NOT_FOUND")
		alice.Get(at(math.MaxInt64, "f")).Refused(404, "M_NOT_FOUND")
		alice.Get(at(5, "b")).Refused(404, "M_NOT_FOUND")
		alice.Get(at(math.MinInt64, "b")).Refused(404, "M_NOT_FOUND")
		create := alice.Get(in(room, "state", "m.room.create") + "?format=event").OK().String("event_id")
		if got := alice.Get(at(math.MinInt64, "f")).OK().String("event_id"); got != create {
			t.Errorf("the first event is %s, not %s", got, create)
		}

		s.Client().Get(at(start, "f")).Refused(401, "M_MISSING_TOKEN")
		bob.Get(at(start, "f")).Refused(403, "M_FORBIDDEN")
		alice.Get(path("!none:test.example", "ts=1&dir=f")).Refused(403, "M_FORBIDDEN")
		for query, code := range map[string]string{
			"dir=f": "M_MISSING_PARAM", "ts=1": "M_MISSING_PARAM", "ts=x&dir=f": "M_INVALID_PARAM", "ts=1&dir=q": "M_INVALID_PARAM",
		} {
			alice.Get(path(room, query)).Refused(400, code)
		}
		// What bob may not see is passed over.
		now.Add(1000)
		bob.Post(in(room, "join"), object{}).OK()
		joined := alice.Get(in(room, "state", "m.room.member", bob.UserID) + "?format=event").OK().String("event_id")
		if got := bob.Get(at(start+1, "f")).OK().String("event_id"); got != joined {
			t.Errorf("bob is shown %s, not his join %s", got, joined)
		}
		bob.Post(in(room, "leave"), object{}).OK()
		now.Add(1000)
		say(alice, room, "later", "x")
		bob.Get(at(now.Load(), "f")).Refused(404, "M_NOT_FOUND")
		alice.Post(in(room, "ban"), object{"user_id": bob.UserID}).OK()
		if got := bob.Get(at(start+1, "f")).OK().String("event_id"); got != joined {
			t.Errorf("banned, bob is shown %s", got)
		}
	})
}

func TestTagsArePutOnRoomsByTheirUser(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{})
		tags := clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/tags"
		alice.Get(tags).OK().Equal(`{"tags":{}}`)
		alice.Put(tags+"/m.favourite", object{"order": 0.25}).OK()
		alice.Put(tags+"/u.work", object{}).OK()
		alice.Get(tags).OK().Equal(`{"tags":{"m.favourite":{"order":0.25},"u.work":{}}}`)
		alice.Do("DELETE", tags+"/u.work", nil).OK()
		alice.Do("DELETE", tags+"/u.absent", nil).OK()
		alice.Get(tags).OK().Equal(`{"tags":{"m.favourite":{"order":0.25}}}`)
		alice.Get(clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/account_data/m.tag").OK().Equal(`{"tags":{"m.favourite":{"order":0.25}}}`)

		of := clientV3 + "/user/" + url.PathEscape(alice.UserID) + "/rooms/" + url.PathEscape(room) + "/tags"
		bob.Put(of+"/x", object{}).Refused(403, "M_FORBIDDEN")
		bob.Get(of).Refused(403, "M_FORBIDDEN")
		bob.Do("DELETE", of+"/x", nil).Refused(403, "M_FORBIDDEN")
		s.Client().Get(of).Refused(401, "M_MISSING_TOKEN")
		bob.Get(tags).OK().Equal(`{"tags":{}}`) // a room that bob was never in has none
		bob.Put(tags+"/x", object{}).Refused(404, "M_NOT_FOUND")
	})
}

func TestTagsHaveNamesAndOrders(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		room := createRoom(alice, object{})
		tags := clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/tags"
		long := strings.Repeat("x", 255)
		for _, test := range []struct {
			name, tag string
			content   any
			status    int
			code      string
		}{
			{"the least order", "a", object{"order": 0}, 200, ""},
			{"the greatest order", "b", object{"order": 1}, 200, ""},
			{"an order between", "c", object{"order": 0.000001}, 200, ""},
			{"no order", "d", object{"other": []any{1}}, 200, ""},
			{"the longest name", long, object{}, 200, ""},
			{"a longer name", long + "x", object{}, 400, "M_INVALID_PARAM"},
			{"a name of longer bytes", strings.Repeat("é", 128), object{}, 400, "M_INVALID_PARAM"},
			{"an order below 0", "x", object{"order": -0.1}, 400, "M_INVALID_PARAM"},
			{"an order above 1", "x", object{"order": 1.1}, 400, "M_INVALID_PARAM"},
			{"an order of no size", "x", `{"order":1e999}`, 400, "M_BAD_JSON"},
			{"an order that is text", "x", object{"order": "first"}, 400, "M_BAD_JSON"},
			{"an order that is a list", "x", object{"order": []any{0.5}}, 400, "M_BAD_JSON"},
			{"a content that is a list", "x", []any{}, 400, "M_BAD_JSON"},
			{"a content that is text", "x", `"x"`, 400, "M_BAD_JSON"},
			{"a content that is nothing", "x", "null", 400, "M_BAD_JSON"},
			{"a content that is no JSON", "x", "{", 400, "M_NOT_JSON"},
		} {
			r := alice.With(t).Put(tags+"/"+url.PathEscape(test.tag), test.content)
			if r.Status != test.status {
				t.Errorf("%s: %d %s", test.name, r.Status, r.Body)
			} else if test.code != "" {
				r.Refused(test.status, test.code)
			}
		}
		if got := alice.Get(tags).OK().Value("tags").(object); len(got) != 5 {
			t.Errorf("tags: %v", got)
		}
		alice.Put(tags+"/x", object{"note": strings.Repeat("x", 1<<16)}).Refused(413, "M_TOO_LARGE")
		// Whatever else a client has put there is no tag.
		alice.Put(accountDataPath(room, "m.tag"), object{"tags": 5}).OK()
		alice.Get(tags).OK().Equal(`{"tags":{}}`)
		alice.Put(tags+"/a", object{}).OK()
		alice.Get(tags).OK().Equal(`{"tags":{"a":{}}}`)
	})
}

func TestTagsThatAreSetAtOnceAreAllThere(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		room := createRoom(alice, object{})
		tags := clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/tags"
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() { alice.Put(fmt.Sprintf("%s/u.%d", tags, i), object{}).OK() })
		}
		wg.Wait()
		if got := alice.Get(tags).OK().Value("tags").(object); len(got) != 24 {
			t.Errorf("%d tags: %v", len(got), got)
		}
	})
}
