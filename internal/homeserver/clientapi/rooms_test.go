// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

type object = homeservertest.Object

// chat is a server with three users.
type chat struct {
	t                 *testing.T
	server            *homeservertest.Server
	alice, bob, carol *homeservertest.Client
}

// eachChat runs test on both databases.
func eachChat(t *testing.T, test func(t *testing.T, c *chat)) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		test(t, &chat{t: t, server: s, alice: s.Register("alice"), bob: s.Register("bob"), carol: s.Register("carol")})
	})
}

func createRoom(c *homeservertest.Client, body object) string {
	return c.Post("/_matrix/client/v3/createRoom", body).OK().String("room_id")
}

// in is the path of a room's endpoint, with each part escaped.
func in(room string, parts ...string) string {
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// publicRoom makes a public room of alice's that the others join.
func (c *chat) publicRoom(others ...*homeservertest.Client) string {
	c.t.Helper()
	room := createRoom(c.alice, object{"preset": "public_chat"})
	for _, other := range others {
		other.Post(in(room, "join"), object{}).OK()
	}
	return room
}

func say(c *homeservertest.Client, room, txn, body string) string {
	return c.Put(in(room, "send", "m.room.message", txn), object{"msgtype": "m.text", "body": body}).OK().String("event_id")
}

func TestARoomOverHTTP(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{
			"name": "Kitchen", "room_alias_name": "kitchen", "invite": []string{c.bob.UserID}, "visibility": "public",
		})
		got := c.bob.Post("/_matrix/client/v3/join/"+url.PathEscape("#kitchen:test.example")+"?via=a.example&via=b.example", object{}).OK()
		if got.String("room_id") != room {
			t.Errorf("joined %s", got.Body)
		}
		id := say(c.bob, room, "1", "hello")
		ev := c.alice.Get(in(room, "event", id)).OK()
		if ev.String("content", "body") != "hello" || ev.String("sender") != c.bob.UserID || ev.String("unsigned", "membership") != "join" {
			t.Errorf("event %s", ev.Body)
		}
		c.alice.Get(in(room, "state", "m.room.name")).OK().Equal(`{"name":"Kitchen"}`)
		c.alice.Get(in(room, "state", "m.room.name") + "/").OK().Equal(`{"name":"Kitchen"}`)
		full := c.alice.Get(in(room, "state", "m.room.name") + "/?format=event").OK()
		if full.String("type") != "m.room.name" || full.String("room_id") != room || full.String("event_id") == "" {
			t.Errorf("format=event: %s", full.Body)
		}
		c.alice.Get(in(room, "state", "m.room.nothing", "x")).Refused(404, "M_NOT_FOUND")
		c.alice.Get(in(room, "joined_members")).OK().Equal(
			`{"joined":{"@alice:test.example":{"display_name":"alice"},"@bob:test.example":{"display_name":"bob"}}}`)
		c.bob.Get("/_matrix/client/v3/joined_rooms").OK().Equal(fmt.Sprintf(`{"joined_rooms":[%q]}`, room))
		c.carol.Get("/_matrix/client/v3/joined_rooms").OK().Equal(`{"joined_rooms":[]}`)
	})
}

func TestH37AnUnknownRoomVersion(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		c.alice.Post("/_matrix/client/v3/createRoom", object{"room_version": "99"}).Refused(400, "M_UNSUPPORTED_ROOM_VERSION")
	})
}

func TestH38CreateRoomWithATakenAliasOrABadName(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		createRoom(c.alice, object{"room_alias_name": "pub"})
		c.bob.Post("/_matrix/client/v3/createRoom", object{"room_alias_name": "pub"}).Refused(400, "M_ROOM_IN_USE")
		c.bob.Post("/_matrix/client/v3/createRoom", object{"name": 5}).Refused(400, "M_BAD_JSON")
		c.bob.Get("/_matrix/client/v3/joined_rooms").OK().Equal(`{"joined_rooms":[]}`)
		// Many at once: one gets it.
		var wg sync.WaitGroup
		answers := make([]*homeservertest.Response, 10)
		for i := range answers {
			wg.Go(func() {
				answers[i] = c.alice.Post("/_matrix/client/v3/createRoom", object{"room_alias_name": "race"})
			})
		}
		wg.Wait()
		made := 0
		for _, a := range answers {
			if a.Status == 200 {
				made++
			} else {
				a.Refused(400, "M_ROOM_IN_USE")
			}
		}
		if made != 1 {
			t.Errorf("%d rooms with one alias", made)
		}
	})
}

func TestH39PowerLevelsThatNameACreator(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		levels := object{"users": object{c.alice.UserID: 100}}
		c.alice.Post("/_matrix/client/v3/createRoom", object{"power_level_content_override": levels}).Refused(400, "M_INVALID_ROOM_STATE")
		room := c.publicRoom()
		c.alice.Put(in(room, "state", "m.room.power_levels", ""), levels).Refused(400, "M_INVALID_ROOM_STATE")
	})
}

func TestH40EventsThatAreTooLarge(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom()
		long := strings.Repeat("k", 256)
		c.alice.Put(in(room, "send", "m.room.message", "1"), object{"body": strings.Repeat("x", 65_536)}).Refused(413, "M_TOO_LARGE")
		c.alice.Put(in(room, "send", long, "2"), object{}).Refused(413, "M_TOO_LARGE")
		c.alice.Put(in(room, "state", "x", long), object{}).Refused(413, "M_TOO_LARGE")
	})
}

func TestH41NumbersThatAreNotCanonical(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom()
		for i, number := range []string{"1.5", "1e3", "-0", "9007199254740992"} {
			body := `{"a":` + number + `}`
			c.alice.Put(in(room, "send", "x", fmt.Sprint(i)), body).Refused(400, "M_BAD_JSON")
			c.alice.Put(in(room, "state", "x", "y"), body).Refused(400, "M_BAD_JSON")
		}
	})
}

func TestH42ARepeatedTransaction(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		first := say(c.alice, room, "m1", "once")
		if again := say(c.alice, room, "m1", "once"); again != first {
			t.Errorf("%s, then %s", first, again)
		}
		other := c.server.Login("alice", "OTHER")
		if id := say(other, room, "m1", "once"); id == first {
			t.Error("another device got the same event")
		}
		redaction := c.alice.Put(in(room, "redact", first, "r1"), object{}).OK().String("event_id")
		if again := c.alice.Put(in(room, "redact", first, "r1"), object{}).OK().String("event_id"); again != redaction {
			t.Errorf("redaction %s, then %s", redaction, again)
		}
	})
}

func TestH43RedactionsThatAreNotAllowed(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room, elsewhere := c.publicRoom(c.bob), c.publicRoom(c.bob)
		id := say(c.alice, room, "1", "secret")
		c.bob.Put(in(elsewhere, "redact", id, "1"), object{}).Refused(404, "M_NOT_FOUND")
		c.bob.Put(in(room, "redact", "$nothing", "2"), object{}).Refused(404, "M_NOT_FOUND")
		c.bob.Put(in(room, "redact", id, "3"), object{}).Refused(403, "M_FORBIDDEN")
		c.carol.Put(in(room, "redact", id, "4"), object{}).Refused(403, "M_FORBIDDEN")
		create := c.alice.Get(in(room, "state", "m.room.create") + "/?format=event").OK().String("event_id")
		c.alice.Put(in(room, "redact", create, "5"), object{}).Refused(403, "M_FORBIDDEN")
		if body := c.bob.Get(in(room, "event", id)).OK().String("content", "body"); body != "secret" {
			t.Errorf("body is %q", body)
		}
	})
}

func TestARedactedEventIsStrippedEverywhere(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		for _, version := range []string{"6", "11", "12"} {
			room := createRoom(c.alice, object{"preset": "public_chat", "room_version": version})
			c.bob.Post(in(room, "join"), object{}).OK()
			id := say(c.bob, room, "1", "secret")
			c.alice.Get(in(room, "event", id)).OK() // into the cache
			c.alice.Put(in(room, "redact", id, "2"), object{"reason": "spam"}).OK()
			// The same through /send, which all versions allow.
			second := say(c.bob, room, "3", "secret")
			c.bob.Put(in(room, "send", "m.room.redaction", "4"), object{"redacts": second, "reason": "sorry"}).OK()
			c.server.Restart()
			for ev, reason := range map[string]string{id: "spam", second: "sorry"} {
				got := c.bob.Get(in(room, "event", ev)).OK()
				because, _ := got.Value("unsigned", "redacted_because").(map[string]any)
				if got.Value("content", "body") != nil || because == nil || because["redacts"] != ev {
					t.Fatalf("version %s: %s", version, got.Body)
				}
				content := because["content"].(map[string]any)
				if content["reason"] != reason || content["redacts"] != ev {
					t.Errorf("version %s: redaction %v", version, because)
				}
			}
			if got := c.alice.Get(in(room, "messages") + "?dir=b&limit=50").OK(); strings.Contains(string(got.Body), "secret") {
				t.Errorf("version %s: %s", version, got.Body)
			}
		}
	})
}

func TestH44ANullCharacterInContent(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		id := c.alice.Put(in(room, "send", "x", "1"), `{"a":"b\u0000c"}`).OK().String("event_id")
		c.server.Restart()
		if got := c.alice.Get(in(room, "event", id)).OK().String("content", "a"); got != "b\x00c" {
			t.Errorf("got %q", got)
		}
		c.alice.Put(in(room, "send", "x", "2"), `{"a":"\ud800"}`).Refused(400, "M_BAD_JSON")
		// Where an identifier belongs it is no identifier, on both databases.
		c.alice.Put(in(room, "send", "m.room.redaction", "3"), `{"redacts":"$a\u0000b"}`).Refused(404, "M_NOT_FOUND")
		c.alice.Post(in(room, "ban"), `{"user_id":"@a\u0000b:test.example"}`).Refused(400, "M_INVALID_PARAM")
		c.alice.Post(in(room, "invite"), `{"user_id":"@a\u0000b:test.example"}`).Refused(400, "M_INVALID_PARAM")
		c.alice.Post("/_matrix/client/v3/createRoom", `{"room_alias_name":"a\u0000b"}`).Refused(400, "M_INVALID_PARAM")
		c.alice.Post("/_matrix/client/v3/createRoom", `{"room_version":"1\u0000"}`).Refused(400, "M_UNSUPPORTED_ROOM_VERSION")
		c.alice.Put(in(room, "state", "m.room.canonical_alias", ""), `{"alias":"#a\u0000b:test.example"}`).Refused(400, "M_INVALID_PARAM")
	})
}

func TestH45SendingWithoutTheRight(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		c.carol.Put(in(room, "send", "m.room.message", "1"), object{"body": "x"}).Refused(403, "M_FORBIDDEN")
		c.carol.Put(in("!nothing:test.example", "send", "m.room.message", "1"), object{"body": "x"}).Refused(403, "M_FORBIDDEN")
		c.bob.Put(in(room, "state", "m.room.name", ""), object{"name": "x"}).Refused(403, "M_FORBIDDEN")
		c.alice.Put(in(room, "state", "x", c.bob.UserID), object{}).Refused(403, "M_FORBIDDEN")
	})
}

func TestH46PowerLevelsThatCannotBe(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		levels := in(room, "state", "m.room.power_levels", "")
		c.alice.Put(levels, `{"users":{"@bob:test.example":"50"}}`).Refused(400, "M_BAD_JSON")
		c.alice.Put(levels, `{"users":{"@bob:test.example":1.5}}`).Refused(400, "M_BAD_JSON")
		c.alice.Put(levels, `{"users":{"@bob:test.example":60},"state_default":50}`).OK()
		c.bob.Put(levels, `{"users":{"@bob:test.example":61},"state_default":50}`).Refused(403, "M_FORBIDDEN")
	})
}

func TestH49JoiningAgainstTheRules(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom()
		c.alice.Post(in(room, "ban"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Post(in(room, "join"), object{}).Refused(403, "M_FORBIDDEN")
		private := createRoom(c.alice, object{})
		c.bob.Post(in(private, "join"), object{}).Refused(403, "M_FORBIDDEN")
		c.bob.Post(in("!nothing:test.example", "join"), object{}).Refused(404, "M_NOT_FOUND")
		c.bob.Post("/_matrix/client/v3/join/%23nothing%3Atest.example", object{}).Refused(404, "M_NOT_FOUND")
		c.bob.Post("/_matrix/client/v3/join/nothing", object{}).Refused(400, "M_INVALID_PARAM")
		knock := func(room string) *homeservertest.Response {
			return c.bob.Post("/_matrix/client/v3/knock/"+url.PathEscape(room), object{"reason": "please"})
		}
		knock(room).Refused(403, "M_FORBIDDEN") // banned
		knock(private).Refused(403, "M_FORBIDDEN")
		c.alice.Put(in(private, "state", "m.room.join_rules", ""), object{"join_rule": "knock"}).OK()
		knock(private).OK()
		c.alice.Post(in(private, "invite"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Post(in(private, "join"), object{}).OK()
	})
}

func TestH50ForgettingAndUnbanning(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		c.bob.Post(in(room, "forget"), object{}).Refused(400, "M_UNKNOWN")
		c.alice.Post(in(room, "unban"), object{"user_id": c.bob.UserID}).Refused(403, "M_BAD_STATE")
		c.carol.Post(in(room, "unban"), object{"user_id": c.bob.UserID}).Refused(403, "M_FORBIDDEN")
		c.bob.Post(in(room, "leave"), object{}).OK()
		c.bob.Post(in(room, "leave"), object{}).OK()
		c.bob.Get(in(room, "state")).OK()
		c.bob.Post(in(room, "forget"), object{}).OK()
		c.bob.Get(in(room, "state")).Refused(403, "M_FORBIDDEN")
		c.carol.Post(in(room, "forget"), object{}).Refused(404, "M_NOT_FOUND")
		c.carol.Post(in(room, "leave"), object{}).Refused(403, "M_FORBIDDEN")
	})
}

func TestH51InvitingThoseWhoCannotBeInvited(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		invite := func(by *homeservertest.Client, body any) *homeservertest.Response {
			return by.Post(in(room, "invite"), body)
		}
		invite(c.alice, object{"user_id": c.bob.UserID}).Refused(403, "M_FORBIDDEN")
		invite(c.bob, object{"user_id": c.carol.UserID}).Refused(403, "M_FORBIDDEN")
		invite(c.alice, object{"user_id": "@eve:elsewhere.example"}).Refused(403, "M_FORBIDDEN")
		invite(c.alice, object{"user_id": "carol"}).Refused(400, "M_INVALID_PARAM")
		invite(c.alice, object{}).Refused(400, "M_MISSING_PARAM")
		invite(c.alice, object{"medium": "email", "address": "a@b.c", "id_server": "x"}).Refused(403, "M_THREEPID_DENIED")
		invite(c.alice, object{"user_id": c.carol.UserID}).OK()
		invite(c.alice, object{"user_id": c.carol.UserID}).OK()
		c.alice.Post(in(room, "ban"), object{"user_id": c.carol.UserID}).OK()
		invite(c.alice, object{"user_id": c.carol.UserID}).Refused(403, "M_FORBIDDEN")
	})
}

func TestH52HiddenEventsLookLikeAbsentOnes(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room, other := createRoom(c.alice, object{}), c.publicRoom(c.bob)
		id := say(c.alice, room, "1", "secret")
		var bodies []string
		for _, path := range []string{
			in(room, "event", id), in(room, "event", "$nothing"), in(other, "event", id), in("!nothing:test.example", "event", id),
			in(room, "context", id), in(room, "context", "$nothing"), in(other, "context", id), in("!nothing:test.example", "context", id),
		} {
			bodies = append(bodies, string(c.bob.Get(path).Refused(404, "M_NOT_FOUND").Body))
		}
		for _, body := range bodies {
			if body != bodies[0] {
				t.Errorf("answers differ: %v", bodies)
			}
		}
	})
}

func TestH53RoomsThatOneWasNeverIn(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom()
		c.alice.Post(in(room, "invite"), object{"user_id": c.carol.UserID}).OK()
		for _, client := range []*homeservertest.Client{c.bob, c.carol} {
			for _, path := range []string{"state", "members", "joined_members", "messages?dir=b", "state/m.room.create"} {
				client.Get(in(room)+"/"+path).Refused(403, "M_FORBIDDEN")
				client.Get(in("!nothing:test.example")+"/"+path).Refused(403, "M_FORBIDDEN")
			}
		}
	})
}

func TestH54PaginationParameters(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		for i := range 120 {
			say(c.alice, room, fmt.Sprint(i), "x")
		}
		messages := in(room, "messages")
		c.alice.Get(messages+"?dir=b&limit=-1").Refused(400, "M_INVALID_PARAM")
		c.alice.Get(messages+"?dir=b&limit=x").Refused(400, "M_INVALID_PARAM")
		c.alice.Get(messages+"?dir=q").Refused(400, "M_INVALID_PARAM")
		c.alice.Get(messages).Refused(400, "M_MISSING_PARAM")
		c.alice.Get(messages+"?dir=b&from=garbage").Refused(400, "M_INVALID_PARAM")
		c.alice.Get(messages+"?dir=b&filter={").Refused(400, "M_BAD_JSON")
		var page struct{ Chunk []json.RawMessage }
		c.alice.Get(messages + "?dir=b&limit=1099511627776").OK().JSON(&page)
		if len(page.Chunk) != 100 {
			t.Errorf("%d events", len(page.Chunk))
		}
		c.alice.Get(in(room, "members")+"?membership=king").Refused(400, "M_INVALID_PARAM")
		c.alice.Get(in(room, "state", "m.room.create")+"/?format=xml").Refused(400, "M_INVALID_PARAM")
	})
}
