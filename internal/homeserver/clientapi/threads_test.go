// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// threads is the path of a room's threads.
func threads(room string) string {
	return "/_matrix/client/v1/rooms/" + url.PathEscape(room) + "/threads"
}

func TestThreadsAreListedByTheirLastReply(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		roots := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			roots[name] = say(c.alice, room, name, name)
		}
		roots["e"] = say(c.carol, room, "e", "e")
		relate(c.bob, room, "m.thread", roots["a"], "a1")
		relate(c.bob, room, "m.thread", roots["b"], "b1")
		relate(c.bob, room, "m.thread", roots["c"], "c1")
		relate(c.carol, room, "m.thread", roots["a"], "a2")
		relate(c.bob, room, "m.thread", roots["e"], "e1")
		relate(c.bob, room, "m.reference", roots["d"], "no thread")
		relate(c.alice, room, "m.thread", "$unknown", "no root")
		relate(c.alice, c.publicRoom(), "m.thread", roots["d"], "elsewhere")

		all := pageOf(c.alice, threads(room))
		if all.texts() != "e a c b" || all.NextBatch != "" {
			t.Errorf("threads %q, next %q", all.texts(), all.NextBatch)
		}
		if got := pageOf(c.alice, threads(room)+"?include=all").texts(); got != "e a c b" {
			t.Errorf("include=all: %q", got)
		}
		for _, limit := range []int{1, 2, 3, 4, 10} {
			got, from := []string{}, ""
			for {
				p := pageOf(c.alice, fmt.Sprintf("%s?limit=%d&from=%s", threads(room), limit, from))
				got = append(got, bodies(p.Chunk)...)
				if from = p.NextBatch; from == "" {
					break
				}
			}
			if text := strings.Join(got, " "); text != "e a c b" {
				t.Errorf("in pages of %d: %q", limit, text)
			}
		}
		for user, want := range map[*homeservertest.Client]string{c.alice: "a c b", c.bob: "e a c b", c.carol: "e a"} {
			if got := pageOf(user, threads(room)+"?include=participated").texts(); got != want {
				t.Errorf("with the participation of %s: %q, want %q", user.UserID, got, want)
			}
		}
		if got := all.Chunk[1].Unsigned["m.relations"].(object)["m.thread"].(object)["count"]; got != 2.0 {
			t.Errorf("count %v", got)
		}
	})
}

func TestThreadsAreThoseThatAUserMayAndWantsToSee(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		ofCarol := say(c.carol, room, "c", "of carol")
		ofAlice := say(c.alice, room, "a", "of alice")
		relate(c.bob, room, "m.thread", ofCarol, "bob to carol")
		relate(c.carol, room, "m.thread", ofAlice, "carol to alice")
		last := relate(c.carol, room, "m.thread", ofCarol, "carol to carol")
		ignore(c.alice, c.carol)
		p := pageOf(c.alice, threads(room))
		if len(p.Chunk) != 1 || p.Chunk[0].EventID != ofCarol || len(p.Chunk[0].Content) != 0 {
			t.Errorf("to one who ignores carol there are %+v", p.Chunk)
		}
		redact(c.carol, room, last)
		if got := pageOf(c.bob, threads(room)).texts(); got != "of alice of carol" {
			t.Errorf("without a redacted reply: %q", got)
		}
		redact(c.carol, room, relate(c.carol, room, "m.thread", ofAlice, "too much"))
		if got := pageOf(c.bob, threads(room)).texts(); got != "of alice of carol" {
			t.Errorf("with another redacted reply: %q", got)
		}
		c.bob.Post(in(room, "leave"), object{}).OK()
		late := say(c.carol, room, "late", "late")
		relate(c.carol, room, "m.thread", late, "later")
		if got := pageOf(c.bob, threads(room)).texts(); got != "of alice of carol" {
			t.Errorf("after leaving: %q", got)
		}
	})
}

func TestThreadsAreRefused(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		secret := createRoom(c.alice, object{"invite": []any{c.carol.UserID}})
		for _, test := range []struct {
			name   string
			client *homeservertest.Client
			path   string
			status int
			code   string
		}{
			{"to nobody", c.server.Client(), threads(room), 401, "M_MISSING_TOKEN"},
			{"to others than members", c.bob, threads(room), 403, "M_FORBIDDEN"},
			{"to the invited", c.carol, threads(secret), 403, "M_FORBIDDEN"},
			{"of a room that does not exist", c.alice, threads("!none:test.example"), 403, "M_FORBIDDEN"},
			{"with an unknown selection", c.alice, threads(room) + "?include=some", 400, "M_INVALID_PARAM"},
			{"with a limit of nothing", c.alice, threads(room) + "?limit=0", 400, "M_INVALID_PARAM"},
			{"with a negative limit", c.alice, threads(room) + "?limit=-1", 400, "M_INVALID_PARAM"},
			{"from a token of others", c.alice, threads(room) + "?from=x", 400, "M_INVALID_PARAM"},
		} {
			t.Run(test.name, func(t *testing.T) {
				test.client.With(t).Get(test.path).Refused(test.status, test.code)
			})
		}
	})
}

func TestAThreadDoesNotBeginInsideAnother(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		root := say(c.alice, room, "root", "root")
		reply := relate(c.alice, room, "m.thread", root, "reply")
		c.alice.Put(in(room, "send", "m.room.message", "x"), relating("m.thread", reply, "x")).Refused(400, "M_UNKNOWN")
		c.alice.Put(in(room, "send", "m.room.message", "x"),
			fmt.Sprintf(`{"m.relates\u005fto":{"rel_type":"m.thread","event_id":%q}}`, reply)).Refused(400, "M_UNKNOWN")
		// Of events that one may not see nothing is told.
		c.bob.Put(in(room, "send", "m.room.message", "x"), relating("m.thread", reply, "x")).Refused(403, "M_FORBIDDEN")
		// A reply without rel_type may begin a thread.
		rich := sendContent(c.alice, room, "m.room.message", "rich", object{
			"body": "rich", "m.relates_to": object{"m.in_reply_to": object{"event_id": root}},
		})
		relate(c.alice, room, "m.thread", rich, "threaded")
		relate(c.alice, room, "m.reference", reply, "reference")
		if got := pageOf(c.alice, threads(room)).texts(); got != "rich root" {
			t.Errorf("threads %q", got)
		}
	})
}
