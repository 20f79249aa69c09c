// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// space makes a room of c's that is a space with the children, in this order.
func space(c *homeservertest.Client, name string, children ...string) string {
	room := createRoom(c, object{"preset": "public_chat", "name": name, "creation_content": object{"type": "m.space"}})
	for i, child := range children {
		addChild(c, room, child, object{"order": fmt.Sprintf("%03d", i)})
	}
	return room
}

func addChild(c *homeservertest.Client, space, child string, content object) {
	all := object{"via": []any{"test.example"}}
	for name, value := range content {
		all[name] = value
	}
	c.Put(in(space, "state", "m.space.child", child), all).OK()
}

func named(c *homeservertest.Client, name string) string {
	return createRoom(c, object{"preset": "public_chat", "name": name})
}

func hierarchyPath(room, query string) string {
	return "/_matrix/client/v1/rooms/" + url.PathEscape(room) + "/hierarchy?" + query
}

type hierarchyPage struct {
	Rooms []struct {
		Name     string        `json:"name"`
		Children []clientEvent `json:"children_state"`
	} `json:"rooms"`
	Next string `json:"next_batch"`
}

// hierarchy returns the names of all rooms of a space, page by page.
func hierarchy(c *homeservertest.Client, room, query string) string {
	var names []string
	for next := ""; ; {
		var page hierarchyPage
		c.Get(hierarchyPath(room, query) + "&from=" + next).OK().JSON(&page)
		for _, r := range page.Rooms {
			names = append(names, r.Name)
		}
		if next = page.Next; next == "" {
			return strings.Join(names, " ")
		}
	}
}

func TestTheRoomsOfASpace(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		a, b, d := named(c.alice, "a"), named(c.alice, "b"), named(c.alice, "d")
		inner := space(c.alice, "inner", d)
		root := space(c.alice, "root", a, inner, b)
		for query, want := range map[string]string{
			"":                    "root a inner d b",
			"limit=1":             "root a inner d b",
			"limit=2":             "root a inner d b",
			"limit=5":             "root a inner d b",
			"limit=1099511627776": "root a inner d b",
			"max_depth=0":         "root",
			"max_depth=1&limit=2": "root a inner b",
			"max_depth=9":         "root a inner d b",
			"suggested_only=true": "root",
		} {
			if got := hierarchy(c.bob, root, query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		first := c.bob.Get(hierarchyPath(root, "limit=1")).OK()
		room := first.Value("rooms").([]any)[0].(object)
		children := room["children_state"].([]any)
		delete(room, "children_state")
		want := object{
			"room_id": root, "name": "root", "num_joined_members": 1.0, "world_readable": false, "guest_can_join": false,
			"join_rule": "public", "room_type": "m.space", "room_version": "12",
		}
		if diff := cmp.Diff(want, room); diff != "" || len(children) != 3 {
			t.Errorf("%d children, %s", len(children), diff)
		}
		child := children[0].(object)
		if ts, ok := child["origin_server_ts"].(float64); !ok || ts <= 0 {
			t.Errorf("child %v", child)
		}
		delete(child, "origin_server_ts")
		if diff := cmp.Diff(object{
			"type": "m.space.child", "state_key": a, "sender": c.alice.UserID, "content": object{"via": []any{"test.example"}, "order": "000"},
		}, child); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheOrderOfASpace(t *testing.T) {
	// Two events of one millisecond would be ordered by their rooms' ids.
	var ticks atomic.Int64
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
	homeservertest.Each(t, homeservertest.Options{Now: clock}, func(t *testing.T, s *homeservertest.Server) {
		c := &chat{t: t, server: s, alice: s.Register("alice"), bob: s.Register("bob")}
		root := space(c.alice, "root")
		for _, child := range []struct {
			name    string
			content object
		}{
			{"first", nil},
			{"second", object{"order": "has a\ttab", "suggested": true}},
			{"third", object{"order": strings.Repeat("x", 51)}},
			{"c", object{"order": "b"}},
			{"b", object{"order": "ab", "suggested": true}},
			{"a", object{"order": "a"}},
			{"fourth", object{"order": 5}},
			{"sorry", object{"via": "test.example"}},
			{"no", object{"via": []any{}}},
			{"never", object{"via": []any{1}}},
			{"fifth", object{"order": "", "suggested": "true"}},
		} {
			addChild(c.alice, root, named(c.alice, child.name), child.content)
		}
		c.alice.Put(in(root, "state", "m.space.child", "#not:a.room"), object{"via": []any{"test.example"}}).OK()
		addChild(c.alice, root, "!unknown:test.example", nil)
		if got := hierarchy(c.bob, root, ""); got != "root a b c first second third fourth fifth" {
			t.Errorf("order %s", got)
		}
		if got := hierarchy(c.bob, root, "suggested_only=true&limit=1"); got != "root b second" {
			t.Errorf("suggested: %s", got)
		}
		var page hierarchyPage
		c.bob.Get(hierarchyPath(root, "suggested_only=true")).OK().JSON(&page)
		if n := len(page.Rooms[0].Children); n != 2 {
			t.Errorf("%d suggested children", n)
		}
		// A change is seen at once, also a redaction.
		var third string
		for _, ev := range page.Rooms[0].Children {
			third = *ev.StateKey
		}
		ev := c.alice.Get(in(root, "state", "m.space.child", third) + "?format=event").OK().String("event_id")
		c.alice.Put(in(root, "redact", ev, "1"), object{}).OK()
		if got := hierarchy(c.bob, root, ""); got != "root a b c first third fourth fifth" {
			t.Errorf("after a redaction: %s", got)
		}
	})
}

func TestH58HierarchyTokensAndCycles(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		inner := space(c.alice, "inner", named(c.alice, "leaf"))
		root := space(c.alice, "root", inner)
		addChild(c.alice, inner, root, nil)
		addChild(c.alice, root, root, nil)
		if got := hierarchy(c.bob, root, "limit=1"); got != "root inner leaf" {
			t.Errorf("a cycle: %s", got)
		}
		next := c.bob.Get(hierarchyPath(root, "limit=1&max_depth=5")).OK().String("next_batch")
		from := "&from=" + url.QueryEscape(next)
		c.bob.Get(hierarchyPath(root, "max_depth=5"+from)).OK()
		for _, query := range []string{
			"from=garbage", "from=h", "from=h-1_5_false", "max_depth=4" + from, "max_depth=5&suggested_only=true" + from, from[1:],
			"from=h999999_100_false", "max_depth=-1", "max_depth=x", "limit=0", "limit=-1", "limit=x", "suggested_only=maybe",
		} {
			c.bob.Get(hierarchyPath(root, query)).Refused(400, "M_INVALID_PARAM")
		}
		// Of another space.
		other := space(c.alice, "other", named(c.alice, "lonely"))
		c.bob.Get(hierarchyPath(other, "max_depth=5"+from)).Refused(400, "M_INVALID_PARAM")
	})
}

func TestWhoMaySeeTheRoomsOfASpace(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		with := func(name, rule string, more object) string {
			rules := object{"join_rule": rule}
			for key, value := range more {
				rules[key] = value
			}
			return createRoom(c.alice, object{"name": name, "initial_state": []any{
				object{"type": "m.room.join_rules", "state_key": "", "content": rules},
			}})
		}
		club := createRoom(c.alice, object{"name": "club", "invite": []any{c.carol.UserID}})
		allow := object{"allow": []any{object{"type": "m.room_membership", "room_id": club}}}
		root := space(c.alice, "root",
			club, with("private", "invite", nil), with("knock", "knock", nil), with("restricted", "restricted", allow),
			with("kr", "knock_restricted", allow), with("odd", "odd", nil),
			createRoom(c.alice, object{"name": "open", "initial_state": []any{
				object{"type": "m.room.history_visibility", "state_key": "", "content": object{"history_visibility": "world_readable"}},
			}}))
		// Old versions do not know some join rules.
		addChild(c.alice, root, createRoom(c.alice, object{"name": "oldknock", "room_version": "6", "initial_state": []any{
			object{"type": "m.room.join_rules", "state_key": "", "content": object{"join_rule": "knock"}},
		}}), nil)
		see := func(client *homeservertest.Client, want string) {
			t.Helper()
			if got := hierarchy(client, root, ""); got != want {
				t.Errorf("%s sees %s, want %s", client.UserID, got, want)
			}
		}
		see(c.alice, "root club private knock restricted kr odd open oldknock")
		see(c.bob, "root knock kr open")
		see(c.carol, "root club knock kr open") // invited
		c.carol.Post(in(club, "join"), object{}).OK()
		see(c.carol, "root club knock restricted kr open")
		c.carol.Post(in(club, "leave"), object{}).OK()
		see(c.carol, "root knock kr open")

		c.server.Client().Get(hierarchyPath(root, "")).Refused(401, "M_MISSING_TOKEN")
		c.bob.Get(hierarchyPath(club, "")).Refused(403, "M_FORBIDDEN")
		c.bob.Get(hierarchyPath("!none:test.example", "")).Refused(403, "M_FORBIDDEN")
		c.alice.Post(in(root, "ban"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Get(hierarchyPath(root, "")).Refused(403, "M_FORBIDDEN")
		c.alice.Put(in(root, "state", "m.room.join_rules", ""), object{"join_rule": "invite"}).OK()
		c.carol.Get(hierarchyPath(root, "")).Refused(403, "M_FORBIDDEN")
		see(c.alice, "root club private knock restricted kr odd open oldknock")
	})
}

func TestAHierarchyGoesOnAfterARestart(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		var children []string
		for i := range 7 {
			children = append(children, named(c.alice, fmt.Sprint(i)))
		}
		root := space(c.alice, "root", children...)
		var names []string
		for next := ""; ; {
			var page hierarchyPage
			c.alice.Get(hierarchyPath(root, "limit=3&from="+next)).OK().JSON(&page)
			for _, r := range page.Rooms {
				names = append(names, r.Name)
			}
			if next = page.Next; next == "" {
				break
			}
			c.server.Restart()
		}
		if !slices.Equal(names, []string{"root", "0", "1", "2", "3", "4", "5", "6"}) {
			t.Errorf("rooms %v", names)
		}
	})
}
