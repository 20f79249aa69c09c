// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// relating is the content of a message that points at another event.
func relating(relType, to, body string) object {
	return object{"msgtype": "m.text", "body": body, "m.relates_to": object{"rel_type": relType, "event_id": to}}
}

// editing is the content of a replacement.
func editing(to, body string) object {
	content := relating("m.replace", to, "* "+body)
	content["m.new_content"] = object{"msgtype": "m.text", "body": body}
	return content
}

func sendContent(c *homeservertest.Client, room, typ, txn string, content object) string {
	return c.Put(in(room, "send", typ, txn), content).OK().String("event_id")
}

func relate(c *homeservertest.Client, room, relType, to, body string) string {
	return sendContent(c, room, "m.room.message", relType+" "+body, relating(relType, to, body))
}

func reaction(to, key string) object {
	return object{"m.relates_to": object{"rel_type": "m.annotation", "event_id": to, "key": key}}
}

func redact(c *homeservertest.Client, room, id string) {
	c.Put(in(room, "redact", id, "redact "+id), object{}).OK()
}

func ignore(c *homeservertest.Client, users ...*homeservertest.Client) {
	list := object{}
	for _, u := range users {
		list[u.UserID] = object{}
	}
	c.Put("/_matrix/client/v3/user/{user}/account_data/m.ignored_user_list", object{"ignored_users": list}).OK()
}

// relations is the path of what points at an event.
func relations(room, id string, types ...string) string {
	path := "/_matrix/client/v1/rooms/" + url.PathEscape(room) + "/relations/" + url.PathEscape(id)
	for _, t := range types {
		path += "/" + url.PathEscape(t)
	}
	return path
}

// eventPage is an answer of /relations or /threads.
type eventPage struct {
	Chunk     []clientEvent
	NextBatch string `json:"next_batch"`
	PrevBatch string `json:"prev_batch"`
	Depth     *int   `json:"recursion_depth"`
}

func pageOf(c *homeservertest.Client, path string) eventPage {
	var p eventPage
	c.Get(path).OK().JSON(&p)
	return p
}

// texts are the bodies of a page's messages, without what edits put before them.
func (p eventPage) texts() string {
	return strings.ReplaceAll(strings.Join(bodies(p.Chunk), " "), "* ", "")
}

func TestRelationsAreReadInPages(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		root := say(c.alice, room, "root", "root")
		var want []string
		for i := range 7 {
			user := []*homeservertest.Client{c.alice, c.bob}[i%2]
			relate(user, room, "m.reference", root, fmt.Sprint(i))
			say(user, room, fmt.Sprint("other ", i), "unrelated")
			want = append(want, fmt.Sprint(i))
		}
		for _, limit := range []int{1, 3, 7, 50} {
			for _, dir := range []string{"f", "b", ""} {
				wanted := slices.Clone(want)
				if dir != "f" {
					slices.Reverse(wanted)
				}
				var got []string
				from := ""
				for {
					p := pageOf(c.bob, fmt.Sprintf("%s?limit=%d&dir=%s&from=%s", relations(room, root), limit, dir, from))
					got = append(got, bodies(p.Chunk)...)
					if p.PrevBatch != from || p.Depth != nil {
						t.Errorf("prev_batch %q, want %q; depth %v", p.PrevBatch, from, p.Depth)
					}
					if from = p.NextBatch; from == "" {
						break
					}
				}
				if diff := cmp.Diff(wanted, got); diff != "" {
					t.Errorf("limit %d dir %q (-want +got):\n%s", limit, dir, diff)
				}
			}
		}
		first := pageOf(c.bob, relations(room, root)+"?limit=3").NextBatch
		second := pageOf(c.bob, relations(room, root)+"?limit=5").NextBatch
		if got := pageOf(c.bob, relations(room, root)+"?from="+first+"&to="+second).texts(); got != "3 2" {
			t.Errorf("between two tokens: %s", got)
		}
		if got := pageOf(c.bob, relations(room, root)+"?from="+second+"&to="+first).texts(); got != "" {
			t.Errorf("between two tokens in the wrong order: %s", got)
		}
	})
}

func TestRelationsAreFilteredByTypes(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		root := say(c.alice, room, "root", "root")
		reply := relate(c.bob, room, "m.thread", root, "reply")
		edit := sendContent(c.alice, room, "m.room.message", "e", editing(root, "edit"))
		other := relating("m.thread", root, "other")
		sendContent(c.alice, room, "org.example.note", "n", other)
		sendContent(c.alice, room, "m.reaction", "r", reaction(root, "+1"))
		relate(c.alice, room, "m.reference", reply, "of reply")
		sendContent(c.bob, room, "m.room.message", "er", editing(reply, "edit of reply"))
		deep := relate(c.bob, room, "m.reference", edit, "deep")
		deeper := relate(c.bob, room, "m.reference", deep, "deeper")
		relate(c.bob, room, "m.reference", deeper, "deepest")
		for _, test := range []struct {
			name, path, want string
			depth            int
		}{
			{"all", relations(room, root), "other edit reply", 0},
			{"one relation", relations(room, root, "m.thread"), "other reply", 0},
			{"one relation and type", relations(room, root, "m.thread", "m.room.message"), "reply", 0},
			{"none of that type", relations(room, root, "m.thread", "m.nothing"), "", 0},
			{"none of that relation", relations(room, root, "m.nothing"), "", 0},
			{"not of an unrelated event", relations(room, deeper, "m.thread"), "", 0},
			{"indirect ones, three deep", relations(room, root) + "?recurse=true", "deeper deep edit of reply of reply other edit reply", 3},
			{"indirect ones over that relation only", relations(room, root, "m.thread") + "?recurse=true", "other reply", 3},
			{"indirect ones in pages", relations(room, root) + "?recurse=true&limit=2", "deeper deep", 3},
			{"direct ones if asked", relations(room, root) + "?recurse=false", "other edit reply", 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				p := pageOf(c.alice.With(t), test.path)
				if p.texts() != test.want {
					t.Errorf("got %q, want %q", p.texts(), test.want)
				}
				if (p.Depth == nil) != (test.depth == 0) || p.Depth != nil && *p.Depth != test.depth {
					t.Errorf("recursion depth %v, want %d", p.Depth, test.depth)
				}
			})
		}
		if p := pageOf(c.alice, relations(room, root, "m.annotation", "m.reaction")); len(p.Chunk) != 1 {
			t.Errorf("%d reactions, want 1", len(p.Chunk))
		}
	})
}

func TestRelationsAreRefused(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		other := c.publicRoom()
		root := say(c.alice, room, "root", "root")
		for _, test := range []struct {
			name   string
			client *homeservertest.Client
			path   string
			status int
			code   string
		}{
			{"to nobody", c.server.Client(), relations(room, root), 401, "M_MISSING_TOKEN"},
			{"to others than members", c.bob, relations(room, root), 404, "M_NOT_FOUND"},
			{"of an event in another room", c.alice, relations(other, root), 404, "M_NOT_FOUND"},
			{"of an event that does not exist", c.alice, relations(room, "$none"), 404, "M_NOT_FOUND"},
			{"in a room that does not exist", c.alice, relations("!none:test.example", root), 404, "M_NOT_FOUND"},
			{"H54 with a negative limit", c.alice, relations(room, root) + "?limit=-1", 400, "M_INVALID_PARAM"},
			{"with a limit of nothing", c.alice, relations(room, root) + "?limit=0", 400, "M_INVALID_PARAM"},
			{"H54 with a limit that is no number", c.alice, relations(room, root) + "?limit=x", 400, "M_INVALID_PARAM"},
			{"H54 in no direction", c.alice, relations(room, root) + "?dir=q", 400, "M_INVALID_PARAM"},
			{"from a token of others", c.alice, relations(room, root) + "?from=x", 400, "M_INVALID_PARAM"},
			{"to a token of others", c.alice, relations(room, root) + "?to=x", 400, "M_INVALID_PARAM"},
			{"recursing maybe", c.alice, relations(room, root) + "?recurse=maybe", 400, "M_INVALID_PARAM"},
		} {
			t.Run(test.name, func(t *testing.T) {
				test.client.With(t).Get(test.path).Refused(test.status, test.code)
			})
		}
	})
}

func TestRelationsAreThoseThatAUserMayAndWantsToSee(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		root := say(c.alice, room, "root", "root")
		relate(c.bob, room, "m.thread", root, "1")
		relate(c.carol, room, "m.thread", root, "2")
		gone := relate(c.bob, room, "m.thread", root, "3")
		redact(c.bob, room, gone)
		ignore(c.alice, c.carol)
		if got := pageOf(c.alice, relations(room, root)).texts(); got != "1" {
			t.Errorf("with a user ignored: %q", got)
		}
		if got := pageOf(c.bob, relations(room, root)).texts(); got != "2 1" {
			t.Errorf("with one redacted: %q", got)
		}
		c.bob.Post(in(room, "leave"), object{}).OK()
		relate(c.carol, room, "m.thread", root, "4")
		if got := pageOf(c.bob, relations(room, root)).texts(); got != "2 1" {
			t.Errorf("after leaving: %q", got)
		}
		// What points at an event from another room is no relation.
		other := c.publicRoom()
		relate(c.alice, other, "m.thread", root, "elsewhere")
		if got := pageOf(c.carol, relations(room, root)).texts(); got != "4 2 1" {
			t.Errorf("with one from elsewhere: %q", got)
		}
	})
}

func TestAMalformedRelationIsNone(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		root := say(c.alice, room, "root", "root")
		for i, about := range []any{
			5,
			object{},
			object{"rel_type": "m.thread"},
			object{"event_id": root},
			object{"rel_type": 5, "event_id": root},
			object{"rel_type": "m.thread", "event_id": 5},
			object{"rel_type": "m.thread", "event_id": "root\x00"},
			object{"rel_type": "", "event_id": root},
			object{"rel_type": strings.Repeat("x", 256), "event_id": root},
			object{"rel_type": "m.annotation", "event_id": root + strings.Repeat("x", 300), "key": "+1"},
			object{"m.in_reply_to": object{"event_id": root}},
		} {
			sendContent(c.alice, room, "m.room.message", fmt.Sprint(i), object{"body": "x", "m.relates_to": about})
		}
		if p := pageOf(c.alice, relations(room, root)); len(p.Chunk) != 0 {
			t.Errorf("relations: %+v", p.Chunk)
		}
		// An odd type of relation is one like others.
		relate(c.alice, room, "a\x00b é", root, "odd")
		if got := pageOf(c.alice, relations(room, root)).texts(); got != "odd" {
			t.Errorf("got %q", got)
		}
	})
}

func TestH47AUserAnnotatesAnEventOnlyOnceInTheSameWay(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		root := say(c.alice, room, "root", "root")
		first := sendContent(c.alice, room, "m.reaction", "1", reaction(root, "+1"))
		put := func(user *homeservertest.Client, typ, txn string, content any) *homeservertest.Response {
			return user.Put(in(room, "send", typ, txn), content)
		}
		put(c.alice, "m.reaction", "2", reaction(root, "+1")).Refused(400, "M_DUPLICATE_ANNOTATION")
		escaped := fmt.Sprintf(`{"m.relates\u005fto":{"rel_type":"m.annotation","event_id":%q,"key":"\u002b1"}}`, root)
		put(c.alice, "m.reaction", "3", escaped).Refused(400, "M_DUPLICATE_ANNOTATION")
		if again := put(c.alice, "m.reaction", "1", reaction(root, "+1")).OK().String("event_id"); again != first {
			t.Errorf("the repeated request gave %s, want %s", again, first)
		}
		c.server.Restart()
		if again := put(c.alice, "m.reaction", "1", reaction(root, "+1")).OK().String("event_id"); again != first {
			t.Errorf("the request repeated after a restart gave %s, want %s", again, first)
		}
		put(c.alice, "m.reaction", "4", reaction(root, "-1")).OK()
		put(c.alice, "org.example.vote", "5", reaction(root, "+1")).OK()
		put(c.bob, "m.reaction", "6", reaction(root, "+1")).OK()
		put(c.alice, "m.reaction", "7", reaction(first, "+1")).OK()
		redact(c.alice, room, first)
		put(c.alice, "m.reaction", "8", reaction(root, "+1")).OK()
		put(c.alice, "m.reaction", "9", reaction(root, "+1")).Refused(400, "M_DUPLICATE_ANNOTATION")
		// Something that says nothing is not an annotation.
		for i := range 2 {
			silent := relating("m.annotation", root, "silent")
			put(c.alice, "m.reaction", fmt.Sprint("silent", i), silent).OK()
		}
	})
}

func TestH47OfManyEqualAnnotationsAtOnceOneIsSent(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		root := say(c.alice, room, "root", "root")
		answers := make([]*homeservertest.Response, 12)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				answers[i] = c.alice.Put(in(room, "send", "m.reaction", fmt.Sprint(i)), reaction(root, "+1"))
			})
			wg.Go(func() { say(c.alice, room, fmt.Sprint("between ", i), "between") })
		}
		wg.Wait()
		sent := 0
		for _, a := range answers {
			if a.Status == 200 {
				sent++
			} else {
				a.Refused(400, "M_DUPLICATE_ANNOTATION")
			}
		}
		if p := pageOf(c.alice, relations(room, root)); sent != 1 || len(p.Chunk) != 1 {
			t.Errorf("%d were sent, %d are there", sent, len(p.Chunk))
		}
		if got := messages(c.alice, room, "dir=b&limit=100"); len(bodies(got.Chunk)) != 13 {
			t.Errorf("%d messages, want 13", len(bodies(got.Chunk)))
		}
	})
}
