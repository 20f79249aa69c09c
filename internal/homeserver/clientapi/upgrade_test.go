// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func upgrade(c *homeservertest.Client, room, version string) *homeservertest.Response {
	return c.Post(in(room, "upgrade"), object{"new_version": version})
}

// content is the content of a state event, nil if there is none.
func content(c *homeservertest.Client, room, typ, key string) any {
	if r := c.Get(in(room, "state", typ) + "/" + url.PathEscape(key)); r.Status == 200 {
		return r.Value()
	}
	return nil
}

func TestAnUpgradeMovesTheRoom(t *testing.T) {
	for _, versions := range [][2]string{{"10", "12"}, {"12", "12"}, {"12", "11"}, {"6", "10"}} {
		t.Run(versions[0]+" to "+versions[1], func(t *testing.T) {
			eachChat(t, func(t *testing.T, c *chat) { testUpgrade(t, c, versions[0], versions[1]) })
		})
	}
}

func testUpgrade(t *testing.T, c *chat, from, to string) {
	state := map[string]object{
		"m.room.history_visibility": {"history_visibility": "joined"},
		"m.room.guest_access":       {"guest_access": "forbidden"},
		"m.room.server_acl":         {"allow": []any{"*"}, "deny": []any{"evil.example"}},
		"m.room.encryption":         {"algorithm": "m.megolm.v1.aes-sha2"},
		"m.room.name":               {"name": "Kitchen"},
		"m.room.avatar":             {"url": "mxc://test.example/a"},
		"m.room.topic":              {"topic": "food"},
		"m.room.join_rules":         {"join_rule": "public"},
		"org.example.other":         {"stays": true},
	}
	var initial []any
	for typ, content := range state {
		initial = append(initial, object{"type": typ, "state_key": "", "content": content})
	}
	room := createRoom(c.alice, object{
		"room_version": from, "preset": "public_chat", "visibility": "public", "room_alias_name": "kitchen", "initial_state": initial,
		"creation_content": object{"type": "m.space", "m.federate": false},
	})
	c.bob.Post(in(room, "join"), object{}).OK()
	c.bob.Put(aliasPath("#second:test.example"), object{"room_id": room}).OK()
	c.alice.Put(in(room, "state", "m.space.child", "!child:test.example"), object{"via": []any{"test.example"}}).OK()
	c.alice.Put(in(room, "state", "m.space.child", "!gone:test.example"), object{}).OK()
	c.alice.Post(in(room, "ban"), object{"user_id": c.carol.UserID, "reason": "flies"}).OK()

	next := upgrade(c.alice, room, to).OK().String("replacement_room")
	create := content(c.alice, next, "m.room.create", "").(object)
	predecessor, _ := create["predecessor"].(object)
	if create["room_version"] != to || create["type"] != "m.space" || create["m.federate"] != false || predecessor["room_id"] != room ||
		c.alice.Get(in(room, "event", fmt.Sprint(predecessor["event_id"]))).Status != 200 {
		t.Errorf("create event: %v", create)
	}
	if got := content(c.alice, room, "m.room.tombstone", ""); got == nil || got.(object)["replacement_room"] != next {
		t.Errorf("tombstone: %v", got)
	}
	for typ, want := range state {
		got := content(c.alice, next, typ, "")
		if typ == "org.example.other" && got == nil {
			continue
		}
		if diff := cmp.Diff(any(want), got); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
	}
	if content(c.alice, next, "m.space.child", "!child:test.example") == nil || content(c.alice, next, "m.space.child", "!gone:test.example") != nil {
		t.Error("not exactly the children of the space moved")
	}
	checkWhoFollows(t, c, room, next)
}

// checkWhoFollows checks rights, bans, aliases and directory after an upgrade by alice.
func checkWhoFollows(t *testing.T, c *chat, room, next string) {
	ban := c.alice.Get(in(next, "state", "m.room.member", c.carol.UserID)).OK()
	if ban.String("membership") != "ban" || ban.String("reason") != "flies" {
		t.Errorf("carol: %s", ban.Body)
	}
	c.carol.Post(in(next, "join"), object{}).Refused(403, "M_FORBIDDEN")
	for _, alias := range []string{"#kitchen:test.example", "#second:test.example"} {
		if got := c.bob.Get(aliasPath(alias)).OK().String("room_id"); got != next {
			t.Errorf("%s points to %s", alias, got)
		}
	}
	if got := content(c.alice, next, "m.room.canonical_alias", ""); got == nil || got.(object)["alias"] != "#kitchen:test.example" {
		t.Errorf("canonical alias of the new room: %v", got)
	}
	if diff := cmp.Diff(any(object{}), content(c.alice, room, "m.room.canonical_alias", "")); diff != "" {
		t.Errorf("canonical alias of the old room: %s", diff)
	}
	if got := c.bob.Get(clientV3 + "/publicRooms").OK(); strings.Contains(string(got.Body), room) || !strings.Contains(string(got.Body), next) {
		t.Errorf("directory: %s", got.Body)
	}
	// Nobody talks in the old room any more, and its members may follow.
	c.bob.Put(in(room, "send", "m.room.message", "1"), object{"body": "hello?"}).Refused(403, "M_FORBIDDEN")
	c.bob.Post(clientV3+"/join/"+url.PathEscape("#kitchen:test.example"), object{}).OK()
	say(c.bob, next, "1", "hello")
	c.bob.Put(in(next, "state", "m.room.name", ""), object{"name": "Mine"}).Refused(403, "M_FORBIDDEN")
	c.alice.Put(in(next, "state", "m.room.power_levels", ""), content(c.alice, next, "m.room.power_levels", "")).OK()
	// Alice can do in the new room what she could in the old one: replace it.
	upgrade(c.alice, next, "12").OK()
}

func TestAnUpgradeByAModeratorKeepsTheLevels(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		// A moderator may end the room, but not set its history's visibility.
		room := createRoom(c.alice, object{"room_version": "9", "preset": "public_chat", "power_level_content_override": object{
			"users":  object{c.alice.UserID: 100, c.bob.UserID: "50"},
			"events": object{"m.room.tombstone": "50", "m.room.history_visibility": 100, "m.room.power_levels": 100},
		}})
		c.bob.Post(in(room, "join"), object{}).OK()
		c.carol.Post(in(room, "join"), object{}).OK()
		next := upgrade(c.bob, room, "10").OK().String("replacement_room")
		levels := content(c.bob, next, "m.room.power_levels", "").(object)
		if diff := cmp.Diff(any(object{c.alice.UserID: 100.0, c.bob.UserID: 50.0}), levels["users"]); diff != "" {
			t.Errorf("users: %s", diff)
		}
		if got := content(c.bob, next, "m.room.history_visibility", ""); got == nil {
			t.Error("the history's visibility did not move")
		}
		c.bob.Put(in(next, "state", "m.room.history_visibility", ""), object{"history_visibility": "joined"}).Refused(403, "M_FORBIDDEN")
		// Bob may not change the levels of the old room: others still talk there.
		say(c.carol, room, "1", "where are you?")
	})
}

func TestCreatorsOfVersion12AfterAnUpgrade(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{"room_version": "11", "preset": "public_chat", "power_level_content_override": object{
			"users": object{c.alice.UserID: 100, c.bob.UserID: 100, c.carol.UserID: 75},
		}})
		r := c.alice.Post(in(room, "upgrade"), object{
			"new_version": "12", "additional_creators": []string{c.bob.UserID, c.alice.UserID, c.bob.UserID},
		}).OK()
		next := r.String("replacement_room")
		create := content(c.alice, next, "m.room.create", "").(object)
		if diff := cmp.Diff(any([]any{c.bob.UserID}), create["additional_creators"]); diff != "" {
			t.Errorf("creators: %s", diff)
		}
		levels := content(c.alice, next, "m.room.power_levels", "").(object)
		if diff := cmp.Diff(any(object{c.carol.UserID: 75.0}), levels["users"]); diff != "" {
			t.Errorf("users: %s", diff)
		}
		c.bob.Post(in(next, "join"), object{}).OK()
		// Back in a version without such creators all of them rule; others are not made any.
		r = c.bob.Post(in(next, "upgrade"), object{"new_version": "11", "additional_creators": []string{c.carol.UserID}}).OK()
		last := r.String("replacement_room")
		levels = content(c.bob, last, "m.room.power_levels", "").(object)
		users, top := levels["users"].(object), levels["events"].(object)["m.room.tombstone"]
		if users[c.alice.UserID] == nil || users[c.alice.UserID] != users[c.bob.UserID] || users[c.bob.UserID].(float64) < top.(float64) || users[c.carol.UserID] != 75.0 {
			t.Errorf("levels: %v", levels)
		}
		if create := content(c.bob, last, "m.room.create", "").(object); create["additional_creators"] != nil {
			t.Errorf("create event: %v", create)
		}
	})
}

func TestH37AnUpgradeToAnUnknownVersion(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		upgrade(c.alice, room, "99").Refused(400, "M_UNSUPPORTED_ROOM_VERSION")
		if content(c.alice, room, "m.room.tombstone", "") != nil {
			t.Error("a refused upgrade ended the room")
		}
	})
}

func TestUpgradesThatAreRefused(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		upgrade(c.server.Client(), room, "12").Refused(401, "M_MISSING_TOKEN")
		upgrade(c.server.Register("dave"), room, "12").Refused(403, "M_FORBIDDEN")
		upgrade(c.alice, "!none:test.example", "12").Refused(403, "M_FORBIDDEN")
		upgrade(c.bob, room, "12").Refused(403, "M_FORBIDDEN")
		c.alice.Post(in(room, "ban"), object{"user_id": c.carol.UserID}).OK()
		upgrade(c.carol, room, "12").Refused(403, "M_FORBIDDEN")
		c.bob.Post(in(room, "leave"), object{}).OK()
		upgrade(c.bob, room, "12").Refused(403, "M_FORBIDDEN")
		c.alice.Post(in(room, "upgrade"), object{}).Refused(400, "M_MISSING_PARAM")
		c.alice.Post(in(room, "upgrade"), object{"new_version": 12}).Refused(400, "M_BAD_JSON")
		c.alice.Post(in(room, "upgrade"), object{"new_version": "12", "additional_creators": []string{"bob"}}).Refused(400, "M_INVALID_PARAM")
		c.alice.Post(in(room, "upgrade"), "{").Refused(400, "M_NOT_JSON")
		if content(c.alice, room, "m.room.tombstone", "") != nil {
			t.Error("a refused upgrade ended the room")
		}
		c.alice.Get(clientV3 + "/joined_rooms").OK().Equal(`{"joined_rooms":["` + room + `"]}`)
	})
}

func TestAJoinRuleThatTheNewVersionDoesNotKnowBecomesInvite(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		space := c.publicRoom()
		allow := []any{object{"type": "m.room_membership", "room_id": space}}
		for version, want := range map[string]string{"11": "knock_restricted", "9": "restricted", "6": "invite"} {
			room := createRoom(c.alice, object{"room_version": "10", "initial_state": []any{object{
				"type": "m.room.join_rules", "state_key": "", "content": object{"join_rule": "knock_restricted", "allow": allow},
			}}})
			next := upgrade(c.alice, room, version).OK().String("replacement_room")
			if got := content(c.alice, next, "m.room.join_rules", "").(object)["join_rule"]; got != want {
				t.Errorf("version %s: %v, want %s", version, got, want)
			}
		}
	})
}

// While others talk and come, an upgrade misses nothing that was before it.
func TestAnUpgradeOfABusyRoom(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				c.bob.Put(in(room, "send", "m.room.message", fmt.Sprint(i)), object{"body": "x"})
				c.alice.Post(in(room, "ban"), object{"user_id": fmt.Sprintf("@user%d:test.example", i)}).OK()
			})
		}
		var next string
		wg.Go(func() { next = upgrade(c.alice, room, "12").OK().String("replacement_room") })
		wg.Wait()
		end := c.alice.Get(in(room, "state", "m.room.tombstone") + "/?format=event").OK().String("event_id")
		var around struct {
			Before []clientEvent `json:"events_before"`
		}
		c.alice.Get(in(room, "context", end) + "?limit=100").OK().JSON(&around)
		for _, ev := range around.Before {
			if ev.Type != "m.room.member" || ev.Content["membership"] != "ban" {
				continue
			}
			if content(c.alice, next, "m.room.member", *ev.StateKey) == nil {
				t.Errorf("the ban of %s did not move", *ev.StateKey)
			}
		}
	})
}

func TestARoomIsReplacedOnce(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{"preset": "public_chat", "room_version": "11", "power_level_content_override": object{
			"users": object{c.alice.UserID: 100, c.bob.UserID: 100},
		}})
		c.bob.Post(in(room, "join"), object{}).OK()
		request := func(by *homeservertest.Client, version string, creators ...string) *homeservertest.Response {
			return by.Post(in(room, "upgrade"), object{"new_version": version, "additional_creators": creators})
		}
		next := request(c.alice, "12", c.carol.UserID, c.bob.UserID).OK().String("replacement_room")
		if again := request(c.alice, "12", c.bob.UserID, c.carol.UserID, c.alice.UserID).OK().String("replacement_room"); again != next {
			t.Errorf("the same request made %s beside %s", again, next)
		}
		request(c.alice, "11").Refused(403, "M_FORBIDDEN")
		request(c.alice, "12").Refused(403, "M_FORBIDDEN")
		request(c.bob, "12", c.carol.UserID).Refused(403, "M_FORBIDDEN")
		if tombstone := content(c.alice, room, "m.room.tombstone", "").(object); tombstone["replacement_room"] != next {
			t.Errorf("tombstone: %v", tombstone)
		}
		if joined := c.alice.Get(clientV3 + "/joined_rooms").OK().Value("joined_rooms").([]any); len(joined) != 2 {
			t.Errorf("alice is in %v", joined)
		}
		// Who wants another replacement has to say so.
		c.alice.Put(in(room, "state", "m.room.tombstone", ""), object{}).OK()
		if other := request(c.alice, "12").OK().String("replacement_room"); other == next {
			t.Error("after the tombstone was withdrawn there is no new room")
		}
		// Tombstones that no upgrade made.
		for _, replacement := range []any{"!elsewhere:elsewhere.example", next} {
			ended := c.publicRoom()
			c.alice.Put(in(ended, "state", "m.room.tombstone", ""), object{"body": "x", "replacement_room": replacement}).OK()
			upgrade(c.alice, ended, "12").Refused(403, "M_FORBIDDEN")
		}
		broken := c.publicRoom()
		c.alice.Put(in(broken, "state", "m.room.tombstone", ""), object{"replacement_room": 5}).OK()
		upgrade(c.alice, broken, "12").OK()
	})
}

func TestManyUpgradesAtOnceMakeOneRoom(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		ids := make([]string, 6)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() { ids[i] = upgrade(c.alice, room, "12").OK().String("replacement_room") })
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("%s beside %s", id, ids[0])
			}
		}
	})
}

const (
	tagData    = "m.tag"
	directData = "m.direct"
)

// accountData is the content of account data, nil if there is none; of a room or, if room is empty, global.
func accountData(c *homeservertest.Client, room, typ string) any {
	if r := c.Get(accountDataPath(room, typ)); r.Status == 200 {
		return r.Value()
	}
	return nil
}

func accountDataPath(room, typ string) string {
	path := clientV3 + "/user/{user}"
	if room != "" {
		path += "/rooms/" + url.PathEscape(room)
	}
	return path + "/account_data/" + typ
}

func TestTagsAndDirectChatsFollowAnUpgrade(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		other := c.publicRoom()
		tags := object{"tags": object{"m.favourite": object{"order": 0.5}, "u.work": object{}}}
		direct := func(rooms ...any) object {
			return object{c.bob.UserID: rooms, "@odd:test.example": 5.0, "@none:test.example": []any{other}}
		}
		for _, user := range []*homeservertest.Client{c.alice, c.bob, c.carol} {
			user.Put(accountDataPath(room, tagData), tags).OK()
			user.Put(accountDataPath("", directData), direct(other, room)).OK()
		}
		next := upgrade(c.alice, room, "12").OK().String("replacement_room")
		check := func(user *homeservertest.Client, room string, wantTags any, wantDirect object) {
			t.Helper()
			if diff := cmp.Diff(wantTags, accountData(user, room, tagData)); diff != "" {
				t.Errorf("tags of %s: %s", user.UserID, diff)
			}
			if diff := cmp.Diff(any(wantDirect), accountData(user, "", directData)); diff != "" {
				t.Errorf("direct chats of %s: %s", user.UserID, diff)
			}
		}
		check(c.alice, next, any(tags), direct(other, room, next))
		check(c.bob, next, nil, direct(other, room))

		// The new tags are in the answer of /sync that first has the room.
		since := c.bob.Get(clientV3 + "/sync?timeout=0").OK().String("next_batch")
		c.bob.Post(in(next, "join"), object{}).OK()
		check(c.bob, next, any(tags), direct(other, room, next))
		answer := c.bob.Get(clientV3 + "/sync?timeout=0&since=" + since).OK()
		if data := fmt.Sprint(answer.Value("rooms", "join", next, "account_data")); !strings.Contains(data, "m.favourite") {
			t.Errorf("/sync has %s", data)
		}
		// What bob says of the new room later stays as it is, and the old room keeps its tags.
		c.bob.Put(accountDataPath(next, tagData), object{"tags": object{}}).OK()
		c.bob.Put(accountDataPath("", directData), direct(next)).OK()
		c.bob.Put(in(next, "state", "m.room.member", c.bob.UserID), object{"membership": "join", "displayname": "B"}).OK()
		c.bob.Post(in(next, "leave"), object{}).OK()
		c.bob.Post(in(next, "join"), object{}).OK()
		check(c.bob, next, any(object{"tags": object{}}), direct(next))
		check(c.bob, room, any(tags), direct(next))

		// A room that only claims to replace another gets nothing.
		false1 := createRoom(c.alice, object{"preset": "public_chat", "creation_content": object{"predecessor": object{"room_id": room}}})
		false2 := createRoom(c.alice, object{"preset": "public_chat", "creation_content": object{"predecessor": object{"room_id": "!no:test.example"}}})
		for _, claim := range []string{false1, false2} {
			c.carol.Post(in(claim, "join"), object{}).OK()
			check(c.carol, claim, nil, direct(other, room))
		}
		// As a user's own event the join counts just so.
		c.carol.Put(in(next, "state", "m.room.member", c.carol.UserID), object{"membership": "join"}).OK()
		check(c.carol, next, any(tags), direct(other, room, next))
	})
}
