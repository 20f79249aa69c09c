// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"testing"
)

func summaryPath(room string) string {
	return "/_matrix/client/v1/room_summary/" + url.PathEscape(room)
}

func TestARoomShowsItselfToThoseWhoMayJoin(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{
			"preset": "public_chat", "name": "Kitchen", "topic": "food", "room_alias_name": "kitchen", "room_version": "11",
			"creation_content": object{"type": "m.space"},
			"initial_state": []any{
				object{"type": "m.room.encryption", "state_key": "", "content": object{"algorithm": "m.megolm.v1.aes-sha2"}},
				object{"type": "m.room.avatar", "state_key": "", "content": object{"url": "mxc://test.example/a"}},
			},
		})
		const fields = `"room_id":%q,"name":"Kitchen","topic":"food","canonical_alias":"#kitchen:test.example","avatar_url":"mxc://test.example/a",
			"num_joined_members":1,"world_readable":false,"guest_can_join":false,"join_rule":"public","room_type":"m.space",
			"encryption":"m.megolm.v1.aes-sha2","room_version":"11","membership":%q`
		c.bob.Get(summaryPath(room)).OK().Equal(fmt.Sprintf("{"+fields+"}", room, "leave"))
		c.alice.Get(summaryPath("#kitchen:test.example") + "?via=a.example").OK().Equal(fmt.Sprintf("{"+fields+"}", room, "join"))
		const old = "/_matrix/client/unstable/im.nheko.summary/"
		const more = `,"im.nheko.summary.encryption":"m.megolm.v1.aes-sha2","im.nheko.summary.room_version":"11"`
		for _, path := range []string{old + "summary/" + url.PathEscape(room), old + "rooms/" + url.PathEscape(room) + "/summary"} {
			c.bob.Get(path).OK().Equal(fmt.Sprintf("{"+fields+more+"}", room, "leave"))
			c.server.Client().Get(path).Refused(401, "M_MISSING_TOKEN")
		}
	})
}

func TestWhoMayNotJoinARoomIsToldNothingOfIt(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		club := createRoom(c.alice, object{})
		room := createRoom(c.alice, object{"name": "Secret", "initial_state": []any{object{
			"type": "m.room.join_rules", "state_key": "", "content": object{
				"join_rule": "restricted", "allow": []any{object{"type": "m.room_membership", "room_id": club}},
			},
		}}})
		absent := c.bob.Get(summaryPath("!none:test.example")).Refused(404, "M_NOT_FOUND")
		if got := c.bob.Get(summaryPath(room)).Refused(404, "M_NOT_FOUND"); string(got.Body) != string(absent.Body) {
			t.Errorf("a hidden room: %s, an absent one: %s", got.Body, absent.Body)
		}
		c.bob.Get(summaryPath("#none:test.example")).Refused(404, "M_NOT_FOUND")
		c.bob.Get(summaryPath("nonsense")).Refused(400, "M_INVALID_PARAM")
		c.server.Client().Get(summaryPath(room)).Refused(401, "M_MISSING_TOKEN")

		// With the right to join the room is there, and says who may.
		c.alice.Post(in(club, "invite"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Post(in(club, "join"), object{}).OK()
		got := c.bob.Get(summaryPath(room)).OK()
		if allowed := got.Value("allowed_room_ids"); fmt.Sprint(allowed) != fmt.Sprint([]any{club}) || got.String("join_rule") != "restricted" {
			t.Errorf("summary %s", got.Body)
		}
		c.bob.Post(in(room, "join"), object{}).OK()
		if got := c.bob.Get(summaryPath(room)).OK(); got.String("membership") != "join" || got.Value("num_joined_members") != 2.0 {
			t.Errorf("summary %s", got.Body)
		}
		// Left and banned, it is gone again.
		c.bob.Post(in(club, "leave"), object{}).OK()
		c.bob.Post(in(room, "leave"), object{}).OK()
		c.bob.Get(summaryPath(room)).Refused(404, "M_NOT_FOUND")
		c.alice.Post(in(room, "invite"), object{"user_id": c.bob.UserID}).OK()
		if got := c.bob.Get(summaryPath(room)).OK(); got.String("membership") != "invite" {
			t.Errorf("summary %s", got.Body)
		}
		c.alice.Post(in(room, "ban"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Get(summaryPath(room)).Refused(404, "M_NOT_FOUND")
	})
}

func TestASummaryKeepsUpWithTheRoom(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := named(c.alice, "One")
		name := func() string { return c.bob.Get(summaryPath(room)).OK().String("name") }
		if got := name(); got != "One" {
			t.Errorf("name %q", got)
		}
		id := c.alice.Put(in(room, "state", "m.room.name", ""), object{"name": "Two"}).OK().String("event_id")
		if got := name(); got != "Two" {
			t.Errorf("name %q", got)
		}
		c.alice.Put(in(room, "redact", id, "1"), object{}).OK()
		if got := name(); got != "" {
			t.Errorf("a redacted name is %q", got)
		}
		c.alice.Put(in(room, "state", "m.room.name", ""), object{"name": 5}).OK()
		c.alice.Put(in(room, "state", "m.room.topic", ""), object{"topic": "old", "m.topic": object{"m.text": []any{
			object{"mimetype": "text/html", "body": "<b>rich</b>"}, object{"body": "plain"},
		}}}).OK()
		if got := c.bob.Get(summaryPath(room)).OK(); got.String("name") != "" || got.String("topic") != "plain" {
			t.Errorf("summary %s", got.Body)
		}
	})
}
