// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

type notificationPage struct {
	Next          string `json:"next_token"`
	Notifications []struct {
		Actions []any
		Event   struct {
			ID      string `json:"event_id"`
			RoomID  string `json:"room_id"`
			Content struct{ Body string }
		}
		Read   bool
		RoomID string `json:"room_id"`
		TS     int64
	}
}

// texts are the bodies of the events, with a mark on those that are read.
func (p notificationPage) texts() string {
	var all []string
	for _, n := range p.Notifications {
		text := n.Event.Content.Body
		if n.Read {
			text += "*"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func notifications(c *homeservertest.Client, query string) notificationPage {
	var p notificationPage
	c.Get(client + "/notifications" + query).OK().JSON(&p)
	return p
}

func TestNotificationsAreListed(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		one, two, left := c.publicRoom(c.bob), c.publicRoom(c.bob), c.publicRoom(c.bob)
		say(c.alice, left, "0", "left")
		c.bob.Post(in(left, "leave"), object{}).OK()
		say(c.alice, one, "1", "a")
		b := sendContent(c.alice, two, "m.room.message", "2", object{"msgtype": "m.text", "body": "b", "m.mentions": object{"user_ids": []string{c.bob.UserID}}})
		sendContent(c.alice, one, "m.room.message", "3", object{"msgtype": "m.notice", "body": "notice"})
		say(c.bob, one, "4", "own")
		say(c.alice, one, "5", "c")
		redact(c.alice, two, say(c.alice, two, "6", "redacted"))
		say(c.alice, two, "7", "d")
		c.bob.Post(in(two, "receipt", "m.read", b), object{}).OK()

		all := notifications(c.bob, "")
		if all.texts() != "d c b* a*" || all.Next != "" {
			t.Errorf("notifications %q, next %q", all.texts(), all.Next)
		}
		if n := all.Notifications[2]; n.RoomID != two || n.Event.ID != b || n.Event.RoomID != "" || n.TS == 0 || fmt.Sprint(n.Actions) !=
			"[notify map[set_tweak:sound value:default] map[set_tweak:highlight]]" {
			t.Errorf("the mention is listed as %+v", n)
		}
		if got := notifications(c.bob, "?only=highlight").texts(); got != "b*" {
			t.Errorf("highlights: %q", got)
		}
		var pages []string
		for from := ""; ; {
			p := notifications(c.bob, "?limit=1&from="+from)
			if len(p.Notifications) > 1 {
				t.Errorf("a page of one has %d", len(p.Notifications))
			}
			pages = append(pages, p.texts())
			if from = p.Next; from == "" {
				break
			}
		}
		if got := strings.TrimSpace(strings.Join(pages, " ")); got != "d c b* a*" {
			t.Errorf("in pages of one: %q", got)
		}
		if got := notifications(c.carol, "").texts(); got != "" {
			t.Errorf("of somebody in no room: %q", got)
		}
		c.bob.Get(client+"/notifications?from=x").Refused(400, "M_INVALID_PARAM")
		c.bob.Get(client+"/notifications?limit=0").Refused(400, "M_INVALID_PARAM")
		c.bob.Get(client+"/notifications?only=lowlight").Refused(400, "M_INVALID_PARAM")
		c.server.Client().Get(client+"/notifications").Refused(401, "M_MISSING_TOKEN")
	})
}

func TestNotificationsOfLongHistoriesAreListedInPages(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		for i := range 50 {
			say(c.alice, room, fmt.Sprint(i), fmt.Sprint(i))
		}
		seen := 0
		for from := ""; ; {
			p := notifications(c.bob, "?limit=30&from="+from)
			for _, n := range p.Notifications {
				if want := fmt.Sprint(49 - seen); n.Event.Content.Body != want {
					t.Fatalf("notification %d is %q, want %q", seen, n.Event.Content.Body, want)
				}
				seen++
			}
			if from = p.Next; from == "" {
				break
			}
		}
		if seen != 50 {
			t.Errorf("%d of 50 notifications", seen)
		}
	})
}
