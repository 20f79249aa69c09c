// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// page is an answer of /messages.
type page struct {
	Start, End string
	Chunk      []clientEvent
	State      []clientEvent
}

type clientEvent struct {
	Type     string         `json:"type"`
	Sender   string         `json:"sender"`
	EventID  string         `json:"event_id"`
	StateKey *string        `json:"state_key"`
	Content  map[string]any `json:"content"`
	Unsigned map[string]any `json:"unsigned"`
}

func messages(c *homeservertest.Client, room, query string) page {
	var p page
	c.Get(in(room, "messages") + "?" + query).OK().JSON(&p)
	return p
}

// bodies lists the texts of messages.
func bodies(events []clientEvent) []string {
	all := []string{}
	for _, ev := range events {
		if body, ok := ev.Content["body"].(string); ok {
			all = append(all, body)
		}
	}
	return all
}

func TestHistoryIsReadInBothDirections(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		const setup = 7 // events before the first message
		var want []string
		for i := range 25 {
			say(c.alice, room, fmt.Sprint(i), fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		for _, dir := range []string{"b", "f"} {
			for _, limit := range []int{1, 7, 32, 100} {
				var got []string
				events, from := 0, ""
				for {
					p := messages(c.bob, room, fmt.Sprintf("dir=%s&limit=%d&from=%s", dir, limit, from))
					got = append(got, bodies(p.Chunk)...)
					events += len(p.Chunk)
					if from != "" && p.Start != from {
						t.Errorf("start is %s, want %s", p.Start, from)
					}
					if from = p.End; from == "" {
						break
					}
					if len(p.Chunk) != limit {
						t.Errorf("dir %s limit %d: %d events and more to come", dir, limit, len(p.Chunk))
					}
				}
				if dir == "b" {
					slices.Reverse(got)
				}
				if diff := cmp.Diff(want, got); diff != "" || events != setup+25 {
					t.Errorf("dir %s limit %d: %d events, %s", dir, limit, events, diff)
				}
			}
		}
	})
}

func TestAPageStopsAtTo(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		for i := range 6 {
			say(c.alice, room, fmt.Sprint(i), fmt.Sprint(i))
		}
		middle := messages(c.alice, room, "dir=b&limit=3").End
		if got := bodies(messages(c.alice, room, "dir=b&to="+middle).Chunk); !slices.Equal(got, []string{"5", "4", "3"}) {
			t.Errorf("backwards: %v", got)
		}
		p := messages(c.alice, room, "dir=f&limit=50&to="+middle)
		if got := bodies(p.Chunk); !slices.Equal(got, []string{"0", "1", "2"}) || p.End != "" {
			t.Errorf("forwards: %v, end %q", got, p.End)
		}
	})
}

func TestHistoryThroughAFilter(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		for i := range 50 {
			say(c.alice, room, fmt.Sprint(i), fmt.Sprintf("a%d", i))
		}
		say(c.bob, room, "1", "b")
		c.bob.Put(in(room, "send", "m.room.message", "2"), object{"body": "pic", "url": "mxc://x/y"}).OK()
		for i := range 50 {
			say(c.alice, room, fmt.Sprint(i+50), fmt.Sprintf("a%d", i+50))
		}
		filter := func(f string) page { return messages(c.alice, room, "dir=b&filter="+url.QueryEscape(f)) }
		p := filter(`{"senders":["@bob:test.example"],"types":["m.room.mes*"],"lazy_load_members":true}`)
		if got := bodies(p.Chunk); !slices.Equal(got, []string{"pic", "b"}) || p.End != "" {
			t.Errorf("by sender: %v, end %q", got, p.End)
		}
		if len(p.State) != 1 || *p.State[0].StateKey != c.bob.UserID {
			t.Errorf("members: %+v", p.State)
		}
		if got := bodies(filter(`{"contains_url":true}`).Chunk); !slices.Equal(got, []string{"pic"}) {
			t.Errorf("with url: %v", got)
		}
		if p := filter(`{"limit":3}`); len(p.Chunk) != 3 || p.State != nil {
			t.Errorf("limit in the filter: %d events, state %v", len(p.Chunk), p.State)
		}
		if p := filter(`{"not_rooms":["` + room + `"]}`); len(p.Chunk) != 0 {
			t.Errorf("not this room: %v", p.Chunk)
		}
	})
}

func TestWhoLeftSeesTheRoomAsItWas(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		say(c.alice, room, "1", "before")
		c.alice.Put(in(room, "state", "m.room.name", ""), object{"name": "before"}).OK()
		c.bob.Post(in(room, "leave"), object{"reason": "bye"}).OK()
		after := say(c.alice, room, "2", "after")
		c.alice.Put(in(room, "state", "m.room.name", ""), object{"name": "after"}).OK()
		c.carol.Post(in(room, "join"), object{}).OK()

		c.bob.Get(in(room, "state", "m.room.name")).OK().Equal(`{"name":"before"}`)
		if state := c.bob.Get(in(room, "state")).OK(); strings.Contains(string(state.Body), "after") || strings.Contains(string(state.Body), "carol") {
			t.Errorf("state %s", state.Body)
		}
		members := c.bob.Get(in(room, "members")).OK()
		if strings.Contains(string(members.Body), "carol") || !strings.Contains(string(members.Body), `"bye"`) {
			t.Errorf("members %s", members.Body)
		}
		c.bob.Get(in(room, "joined_members")).Refused(403, "M_FORBIDDEN")
		c.bob.Get(in(room, "event", after)).Refused(404, "M_NOT_FOUND")
		p := messages(c.bob, room, "dir=b&limit=50")
		if got := bodies(p.Chunk); !slices.Equal(got, []string{"before"}) {
			t.Errorf("messages %v", got)
		}
		if p.Chunk[0].Type != "m.room.member" || p.Chunk[0].Content["reason"] != "bye" {
			t.Errorf("the last event is %+v", p.Chunk[0])
		}
		c.bob.Put(in(room, "send", "m.room.message", "3"), object{"body": "x"}).Refused(403, "M_FORBIDDEN")
		// Back again, bob sees all: the history is shared.
		c.bob.Post(in(room, "join"), object{}).OK()
		if got := bodies(messages(c.bob, room, "dir=b&limit=50").Chunk); !slices.Equal(got, []string{"after", "before"}) {
			t.Errorf("messages after coming back %v", got)
		}
	})
}

func TestMembersAtAPointInTime(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		then := messages(c.alice, room, "dir=b").Start
		c.bob.Post(in(room, "join"), object{}).OK()
		c.carol.Post(in(room, "join"), object{}).OK()
		c.carol.Post(in(room, "leave"), object{}).OK()
		for query, want := range map[string][]string{
			"":                                       {"alice", "bob", "carol"},
			"?at=" + then:                            {"alice"},
			"?membership=join":                       {"alice", "bob"},
			"?not_membership=join":                   {"carol"},
			"?membership=leave&not_membership=leave": {"alice", "bob", "carol"},
			"?membership=invite":                     nil,
			"?at=" + then + "&membership=join":       {"alice"},
			"?at=s9999999999999&not_membership=leave": {"alice", "bob"},
		} {
			var answer struct{ Chunk []clientEvent }
			c.alice.Get(in(room, "members") + query).OK().JSON(&answer)
			var got []string
			for _, ev := range answer.Chunk {
				got = append(got, strings.TrimPrefix(strings.TrimSuffix(*ev.StateKey, ":test.example"), "@"))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", query, got, want)
			}
		}
	})
}

func TestAStateEventShowsWhatItReplaced(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		name := in(room, "state", "m.room.name", "")
		first := c.alice.Put(name, object{"name": "one"}).OK().String("event_id")
		second := c.alice.Put(name, object{"name": "two"}).OK().String("event_id")
		if again := c.alice.Put(name, object{"name": "two"}).OK().String("event_id"); again != second {
			t.Error("state that changes nothing was sent again")
		}
		ev := c.alice.Get(in(room, "event", second)).OK()
		if ev.String("unsigned", "replaces_state") != first || ev.String("unsigned", "prev_content", "name") != "one" {
			t.Errorf("event %s", ev.Body)
		}
		// What was redacted must not live on in its successor.
		c.alice.Put(in(room, "redact", first, "1"), object{}).OK()
		ev = c.alice.Get(in(room, "event", second)).OK()
		if got := ev.Value("unsigned", "prev_content", "name"); got != nil {
			t.Errorf("redacted content %v is still shown", got)
		}
	})
}

func TestANewNameIsToldToTheRooms(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		var rooms []string
		for range 5 {
			rooms = append(rooms, c.publicRoom(c.bob))
		}
		left := c.publicRoom(c.bob)
		c.bob.Post(in(left, "leave"), object{}).OK()
		c.bob.Put("/_matrix/client/v3/profile/{user}/displayname", object{"displayname": "Bobby"}).OK()
		for _, room := range rooms {
			got := c.alice.Get(in(room, "state", "m.room.member", c.bob.UserID)).OK()
			if got.String("displayname") != "Bobby" || got.String("membership") != "join" {
				t.Errorf("member %s", got.Body)
			}
		}
		if got := c.alice.Get(in(left, "state", "m.room.member", c.bob.UserID)).OK(); got.String("membership") != "leave" {
			t.Errorf("a room that was left: %s", got.Body)
		}
	})
}

// Whatever the history of a room, each user is shown one set of events by
// every endpoint.
func TestEveryEndpointShowsTheSameEvents(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		viewers := []*homeservertest.Client{c.alice, c.bob, c.carol, c.server.Register("dave"), c.server.Register("erin")}
		room := c.publicRoom(c.bob)
		var all []string
		for i := range 60 {
			viewer := viewers[1+(i*7)%4]
			switch i % 6 {
			case 0:
				viewer.Post(in(room, "join"), object{})
			case 1:
				viewer.Post(in(room, "leave"), object{})
			case 2:
				c.alice.Post(in(room, "invite"), object{"user_id": viewer.UserID})
			case 3:
				visibility := []string{"shared", "joined", "invited"}[i/6%3]
				id := c.alice.Put(in(room, "state", "m.room.history_visibility", ""), object{"history_visibility": visibility}).OK().String("event_id")
				all = append(all, id)
			default:
				all = append(all, say(c.alice, room, fmt.Sprint(i), fmt.Sprint(i)))
			}
		}
		slices.Sort(all)
		all = slices.Compact(all) // state that changes nothing is not sent again
		for _, viewer := range viewers {
			listed := map[string]bool{}
			if answer := viewer.Get(in(room, "messages") + "?dir=b&limit=100"); answer.Status == 200 {
				var p page
				answer.JSON(&p)
				for _, ev := range p.Chunk {
					listed[ev.EventID] = true
				}
			}
			for _, id := range all {
				if found := viewer.Get(in(room, "event", id)).Status == 200; found != listed[id] {
					t.Errorf("%s: /event %v, /messages %v for %s", viewer.UserID, found, listed[id], id)
				}
			}
		}
	})
}
