// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// reader is a device that follows what is unread in a room.
type reader struct {
	*homeservertest.Client
	room, filter, since string
	unread              counts
	threads             map[string]counts
}

type counts struct {
	Notifications int `json:"notification_count"`
	Highlights    int `json:"highlight_count"`
}

const byThread = `{"room":{"timeline":{"unread_thread_notifications":true}}}`

// sync takes in what is new.
func (r *reader) sync() {
	var answer struct {
		NextBatch string `json:"next_batch"`
		Rooms     struct {
			Join map[string]struct {
				Unread  *counts           `json:"unread_notifications"`
				Threads map[string]counts `json:"unread_thread_notifications"`
			}
		}
	}
	path := client + "/sync?timeout=0"
	if r.filter != "" {
		path += "&filter=" + url.QueryEscape(r.filter)
	}
	if r.since != "" {
		path += "&since=" + r.since
	}
	r.Get(path).OK().JSON(&answer)
	r.since = answer.NextBatch
	if room, ok := answer.Rooms.Join[r.room]; ok && room.Unread != nil {
		r.unread, r.threads = *room.Unread, room.Threads
	}
}

// expect checks what is unread, as a device that was there all the time sees it and as a new one does.
func (r *reader) expect(t *testing.T, when string, want counts) {
	t.Helper()
	r.sync()
	fresh := &reader{Client: r.Client, room: r.room, filter: r.filter}
	fresh.sync()
	if r.unread != want || fresh.unread != want {
		t.Errorf("%s: %+v unread, %+v for a new device, want %+v", when, r.unread, fresh.unread, want)
	}
	if fmt.Sprint(r.threads) != fmt.Sprint(fresh.threads) {
		t.Errorf("%s: in threads %v, for a new device %v", when, r.threads, fresh.threads)
	}
}

func (r *reader) read(kind, id, thread string) {
	body := object{}
	if thread != "" {
		body["thread_id"] = thread
	}
	r.Post(in(r.room, "receipt", kind, id), body).OK()
}

func mention(users ...*homeservertest.Client) object {
	ids := []string{}
	for _, u := range users {
		ids = append(ids, u.UserID)
	}
	return object{"msgtype": "m.text", "body": "look", "m.mentions": object{"user_ids": ids}}
}

func TestUnreadEventsAreCounted(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		say(c.alice, room, "before", "before bob was there")
		c.bob.Post(in(room, "join"), object{}).OK()
		b := &reader{Client: c.bob, room: room}
		b.expect(t, "at the join", counts{})
		first := say(c.alice, room, "1", "one")
		b.expect(t, "a message", counts{1, 0})
		second := sendContent(c.alice, room, "m.room.message", "2", mention(c.bob))
		sendContent(c.alice, room, "m.room.message", "3", mention(c.carol))
		sendContent(c.alice, room, "m.room.encrypted", "4", object{"algorithm": "m.megolm.v1.aes-sha2"})
		b.expect(t, "mentions and an encrypted one", counts{4, 1})
		sendContent(c.alice, room, "m.room.message", "5", object{"msgtype": "m.notice", "body": "a bot"})
		sendContent(c.alice, room, "m.reaction", "6", reaction(first, "x"))
		sendContent(c.alice, room, "m.room.message", "7", editing(first, "won"))
		c.alice.Put(in(room, "state", "m.room.topic"), object{"topic": "t"}).OK()
		b.expect(t, "what notifies nobody", counts{4, 1})
		sendContent(c.alice, room, "m.room.message", "8", object{"msgtype": "m.text", "body": "all", "m.mentions": object{"room": true}})
		b.expect(t, "a mention of everybody by the creator", counts{5, 2})
		b.read("m.read", first, "")
		b.expect(t, "the first was read", counts{4, 2})
		b.read("m.read.private", second, "")
		b.expect(t, "the second was read privately", counts{3, 1})
		sendContent(c.bob, room, "m.room.message", "9", object{"msgtype": "m.text", "body": "@", "m.mentions": object{"room": true}})
		b.expect(t, "own messages show that everything was read", counts{})
		a := &reader{Client: c.alice, room: room}
		a.expect(t, "a mention of everybody by somebody without the power", counts{1, 0})
		last := say(c.alice, room, "10", "ten")
		b.expect(t, "another message", counts{1, 0})
		redact(c.alice, room, last)
		b.expect(t, "it was redacted", counts{})
	})
}

func TestUnreadEventsAreCountedByThread(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		all := &reader{Client: c.bob, room: room}
		b := &reader{Client: c.bob, room: room, filter: byThread}
		check := func(when string, main, sum counts, threads map[string]counts) {
			t.Helper()
			b.expect(t, when, main)
			all.expect(t, when, sum)
			if fmt.Sprint(b.threads) != fmt.Sprint(threads) {
				t.Errorf("%s: in threads %v, want %v", when, b.threads, threads)
			}
			if all.threads != nil {
				t.Errorf("%s: threads although nobody asked", when)
			}
		}
		root := say(c.alice, room, "root", "root")
		other := say(c.alice, room, "other", "other")
		one := relate(c.alice, room, "m.thread", root, "one")
		content := mention(c.bob)
		content["m.relates_to"] = object{"rel_type": "m.thread", "event_id": root}
		sendContent(c.alice, room, "m.room.message", "two", content)
		relate(c.alice, room, "m.thread", other, "three")
		check("before anything is read", counts{2, 0}, counts{5, 1}, map[string]counts{root: {2, 1}, other: {1, 0}})
		b.read("m.read", one, root)
		check("a thread is read in part", counts{2, 0}, counts{4, 1}, map[string]counts{root: {1, 1}, other: {1, 0}})
		b.read("m.read", other, "main")
		check("the main timeline is read", counts{}, counts{2, 1}, map[string]counts{root: {1, 1}, other: {1, 0}})
		relate(c.bob, room, "m.thread", other, "my answer")
		check("an own message in a thread", counts{}, counts{1, 1}, map[string]counts{root: {1, 1}})
		reply := object{"msgtype": "m.text", "body": "reply", "m.relates_to": object{"m.in_reply_to": object{"event_id": root}}}
		last := sendContent(c.alice, room, "m.room.message", "reply", reply)
		check("a reply outside threads", counts{1, 0}, counts{2, 1}, map[string]counts{root: {1, 1}})
		b.read("m.read", last, "")
		check("everything is read", counts{}, counts{}, nil)
	})
}

func TestUnreadEventsFollowMembership(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		b := &reader{Client: c.bob, room: room}
		say(c.alice, room, "1", "one")
		b.expect(t, "a message", counts{1, 0})
		c.bob.Put(client+"/profile/"+url.PathEscape(c.bob.UserID)+"/displayname", object{"displayname": "Bobby"}).OK()
		b.expect(t, "a new name is no rejoining", counts{1, 0})
		c.bob.Post(in(room, "leave"), object{}).OK()
		say(c.alice, room, "2", "two")
		c.alice.Post(in(room, "invite"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Post(in(room, "join"), object{}).OK()
		b.expect(t, "after rejoining", counts{})
		say(c.alice, room, "3", "three")
		b.expect(t, "a message after rejoining", counts{1, 0})
	})
}

func TestUnreadEventsFollowTheUsersRules(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		b := &reader{Client: c.bob, room: room}
		b.sync()
		c.bob.Put(pushRules+"content/cake", `{"actions":["notify",{"set_tweak":"highlight"}],"pattern":"cake"}`).OK()
		say(c.alice, room, "1", "there is cake")
		say(c.carol, room, "2", "no")
		b.expect(t, "a word of one's own", counts{2, 1})
		c.bob.Put(pushRules+"room/"+url.PathEscape(room), `{"actions":[]}`).OK()
		say(c.alice, room, "3", "more")
		say(c.alice, room, "4", "more cake")
		b.expect(t, "the room is muted, the word is not", counts{2, 2})
		c.bob.Do("DELETE", pushRules+"room/"+url.PathEscape(room), nil).OK()
		ignore(c.bob, c.carol)
		say(c.carol, room, "5", "cake")
		say(c.alice, room, "6", "bye")
		b.expect(t, "messages of ignored users", counts{4, 2})
	})
}

func TestCountsAreToldWhereTheFilterHidesWhatChangedThem(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		b := &reader{Client: c.bob, room: room, filter: `{"room":{"timeline":{"types":[]},"ephemeral":{"types":[]}}}`}
		b.sync()
		id := say(c.alice, room, "1", "one")
		b.expect(t, "a message", counts{1, 0})
		redacted := say(c.alice, room, "2", "two")
		b.expect(t, "another", counts{2, 0})
		redact(c.alice, room, redacted)
		b.expect(t, "a redaction", counts{1, 0})
		b.read("m.read.private", id, "")
		b.expect(t, "a receipt", counts{})
	})
}

func TestUnreadCountsSurviveARestart(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		b := &reader{Client: c.bob, room: room, filter: byThread}
		first := say(c.alice, room, "1", "one")
		sendContent(c.alice, room, "m.room.message", "2", mention(c.bob))
		b.read("m.read", first, "main")
		redact(c.alice, room, say(c.alice, room, "3", "three"))
		b.expect(t, "before", counts{1, 1})
		c.server.Restart()
		b.expect(t, "after", counts{1, 1})
	})
}

func TestH63AHostilePatternHoldsNothingUp(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		b := &reader{Client: c.bob, room: room}
		b.sync()
		for i := range 50 {
			rule := fmt.Sprintf(`{"actions":["notify",{"set_tweak":"highlight"}],"pattern":"*a*a*a*a*b%d"}`, i)
			c.bob.Put(fmt.Sprintf("%scontent/%d", pushRules, i), rule).OK()
		}
		body := strings.Repeat("a", 60<<10)
		say(c.alice, room, "1", body)
		say(c.alice, room, "2", body+"b49")
		b.expect(t, "two long messages", counts{2, 1})
	})
}
