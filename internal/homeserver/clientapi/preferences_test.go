// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestMessagesOfIgnoredUsersAreNowhere(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{"preset": "public_chat", "power_level_content_override": object{"events": object{"m.room.topic": 0}}})
		c.bob.Post(in(room, "join"), object{}).OK()
		c.carol.Post(in(room, "join"), object{}).OK()
		one := say(c.bob, room, "1", "one")
		unwanted := say(c.carol, room, "2", "unwanted")
		three := say(c.bob, room, "3", "three")
		topic := c.carol.Put(in(room, "state", "m.room.topic", ""), object{"topic": "by carol"}).OK().String("event_id")
		relate(c.carol, room, "m.reference", one, "unwanted reference")

		ignore(c.alice, c.carol)
		for _, path := range []string{
			in(room, "messages") + "?dir=b&limit=100", in(room, "messages") + "?dir=f&limit=100", in(room, "context", one) + "?limit=100",
			relations(room, one), clientV3 + "/sync?timeout=0",
		} {
			if body := string(c.alice.Get(path).OK().Body); strings.Contains(body, "unwanted") {
				t.Errorf("%s: %s", path, body)
			}
		}
		absent := string(c.alice.Get(in(room, "event", "$nothing")).Refused(404, "M_NOT_FOUND").Body)
		for _, path := range []string{in(room, "event", unwanted), in(room, "context", unwanted)} {
			if got := string(c.alice.Get(path).Refused(404, "M_NOT_FOUND").Body); got != absent {
				t.Errorf("%s: %s, but of nothing %s", path, got, absent)
			}
		}
		at := fmt.Sprintf("/_matrix/client/v1/rooms/%s/timestamp_to_event?dir=f&ts=%v", url.PathEscape(room),
			int64(c.bob.Get(in(room, "event", unwanted)).OK().Value("origin_server_ts").(float64)))
		if got := c.alice.Get(at).OK().String("event_id"); got == unwanted {
			t.Error("the event nearest to a time is that of an ignored user")
		}
		// A page is as long as was asked for, and state stays.
		if got := bodies(messages(c.alice, room, "dir=b&limit=4").Chunk); !cmp.Equal(got, []string{"three", "one"}) {
			t.Errorf("page of four: %v", got)
		}
		c.alice.Get(in(room, "event", topic)).OK()
		c.alice.Get(in(room, "event", three)).OK()

		ignore(c.alice)
		if got := bodies(messages(c.alice, room, "dir=f&limit=100").Chunk); !cmp.Equal(got, []string{"one", "unwanted", "three", "unwanted reference"}) {
			t.Errorf("with nobody ignored any more: %v", got)
		}
	})
}

func TestAMalformedListOfIgnoredUsersIgnoresNobody(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		say(c.bob, room, "1", "hello")
		for _, list := range []any{object{}, object{"ignored_users": 5}, object{"ignored_users": []any{c.bob.UserID}}, object{"ignored_users": object{"": 5}}} {
			c.alice.Put(accountDataPath("", "m.ignored_user_list"), list).OK()
			if got := bodies(messages(c.alice, room, "dir=b").Chunk); len(got) != 1 {
				t.Errorf("with %v: %v", list, got)
			}
		}
		// What an ignored user's entry holds does not matter.
		c.alice.Put(accountDataPath("", "m.ignored_user_list"), object{"ignored_users": object{c.bob.UserID: nil}}).OK()
		if got := bodies(messages(c.alice, room, "dir=b").Chunk); len(got) != 0 {
			t.Errorf("bob is not ignored: %v", got)
		}
	})
}

// blockInvites sets what becomes of a user's invitations.
func blockInvites(c *homeservertest.Client, action any) {
	c.Put(accountDataPath("", "m.invite_permission_config"), object{"default_action": action}).OK()
}

func TestH51InvitingThoseWhoBlockInvitations(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		private := createRoom(c.alice, object{})
		blockInvites(c.carol, "block")
		invite := func(by *homeservertest.Client, room string) *homeservertest.Response {
			return by.Post(in(room, "invite"), object{"user_id": c.carol.UserID})
		}
		member := func(by *homeservertest.Client, room, user string) *homeservertest.Response {
			return by.Put(in(room, "state", "m.room.member", user), object{"membership": "invite"})
		}
		invite(c.alice, room).Refused(403, "M_INVITE_BLOCKED")
		member(c.alice, room, c.carol.UserID).Refused(403, "M_INVITE_BLOCKED")
		c.alice.Post(clientV3+"/createRoom", object{"invite": []string{c.bob.UserID, c.carol.UserID}}).Refused(403, "M_INVITE_BLOCKED")
		if joined := c.alice.Get(clientV3 + "/joined_rooms").OK().Value("joined_rooms").([]any); len(joined) != 2 {
			t.Errorf("a refused room is there: %v", joined)
		}
		// Who is outside does not learn of it.
		invite(c.bob, private).Refused(403, "M_FORBIDDEN")
		member(c.bob, private, c.carol.UserID).Refused(403, "M_FORBIDDEN")
		invite(c.bob, "!none:test.example").Refused(403, "M_FORBIDDEN")
		// Members and banned users are what they were.
		c.carol.Post(in(room, "join"), object{}).OK()
		invite(c.alice, room).Refused(403, "M_FORBIDDEN")
		c.alice.Post(in(room, "ban"), object{"user_id": c.carol.UserID}).OK()
		invite(c.alice, room).Refused(403, "M_FORBIDDEN")
		// Others may be invited, and carol herself may invite.
		c.alice.Post(in(private, "invite"), object{"user_id": c.bob.UserID}).OK()
		createRoom(c.carol, object{"invite": []string{c.bob.UserID}})
		for _, action := range []any{nil, 5, "allow", "BLOCK", object{}} {
			blockInvites(c.carol, action)
			invite(c.alice, private).OK()
			c.carol.Post(in(private, "leave"), object{}).OK()
		}
		c.carol.Put(accountDataPath("", "m.invite_permission_config"), object{"block_all": true}).OK()
		invite(c.alice, private).OK()
	})
}

func TestInvitationsThatAreThereAreHiddenWhileTheyAreBlocked(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{"invite": []string{c.bob.UserID}})
		invited := func() bool {
			return strings.Contains(fmt.Sprint(c.bob.Get(clientV3+"/sync?timeout=0").OK().Value("rooms", "invite")), room)
		}
		if !invited() {
			t.Fatal("bob is not invited")
		}
		blockInvites(c.bob, "block")
		if invited() {
			t.Error("a blocked invitation is in /sync")
		}
		// The room knows of it all the same, and bob may accept it.
		if got := c.alice.Get(in(room, "state", "m.room.member", c.bob.UserID)).OK().String("membership"); got != "invite" {
			t.Errorf("membership %s", got)
		}
		c.alice.Post(in(room, "invite"), object{"user_id": c.bob.UserID}).OK() // changes nothing
		blockInvites(c.bob, nil)
		if !invited() {
			t.Error("the invitation does not come back")
		}
		ignore(c.bob, c.alice)
		if invited() {
			t.Error("an invitation by an ignored user is in /sync")
		}
		c.bob.Post(in(room, "join"), object{}).OK()
	})
}
