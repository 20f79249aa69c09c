// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

type mutualRooms struct {
	Joined []string
	Count  int
	Next   *string `json:"next_batch"`
}

func mutualPath(user, from string) string {
	return "/_matrix/client/v1/mutual_rooms?user_id=" + url.QueryEscape(user) + from
}

func mutual(c *homeservertest.Client, user, from string) mutualRooms {
	var m mutualRooms
	c.Get(mutualPath(user, from)).OK().JSON(&m)
	return m
}

func TestMutualRoomsAreThoseThatBothAreIn(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		first, second := c.publicRoom(c.bob), c.publicRoom(c.carol, c.bob)
		left, invited := c.publicRoom(c.bob), createRoom(c.alice, object{"invite": []string{c.bob.UserID}})
		c.bob.Post(in(left, "leave"), object{}).OK()
		createRoom(c.bob, object{})
		for _, test := range []struct {
			of   *homeservertest.Client
			with string
			want []string
		}{
			{c.alice, c.bob.UserID, []string{first, second}},
			{c.bob, c.alice.UserID, []string{first, second}},
			{c.carol, c.bob.UserID, []string{second}},
			{c.alice, "@nobody:test.example", []string{}},
			{c.alice, "@nobody:elsewhere.example", []string{}},
		} {
			got := mutual(test.of, test.with, "")
			slices.Sort(got.Joined)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got.Joined); diff != "" || got.Count != len(test.want) || got.Next != nil {
				t.Errorf("of %s with %s: %+v %s", test.of.UserID, test.with, got, diff)
			}
		}
		c.bob.Post(in(invited, "join"), object{}).OK()
		if got := mutual(c.alice, c.bob.UserID, ""); got.Count != 3 {
			t.Errorf("after bob came: %+v", got)
		}
	})
}

func TestMutualRoomsComeInPages(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		var want []string
		for range 101 {
			want = append(want, c.publicRoom(c.bob))
		}
		page := mutual(c.alice, c.bob.UserID, "")
		if len(page.Joined) != 100 || page.Count != 101 || page.Next == nil {
			t.Fatalf("first page: %d of %d", len(page.Joined), page.Count)
		}
		got := page.Joined
		// A room of the page before that bob leaves moves nothing.
		c.bob.Post(in(got[99], "leave"), object{}).OK()
		page = mutual(c.alice, c.bob.UserID, "&from="+url.QueryEscape(*page.Next))
		if page.Next != nil || page.Count != 100 {
			t.Errorf("second page: %+v", page)
		}
		got = append(got, page.Joined...)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMutualRoomsAreRefused(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		for name, test := range map[string]struct {
			client *homeservertest.Client
			path   string
			status int
			code   string
		}{
			"to nobody":                     {c.server.Client(), mutualPath(c.bob.UserID, ""), 401, "M_MISSING_TOKEN"},
			"with oneself":                  {c.alice, mutualPath(c.alice.UserID, ""), 400, "M_INVALID_PARAM"},
			"with what is no user":          {c.alice, mutualPath("bob", ""), 400, "M_INVALID_PARAM"},
			"with nobody":                   {c.alice, "/_matrix/client/v1/mutual_rooms", 400, "M_MISSING_PARAM"},
			"from a token that is none":     {c.alice, mutualPath(c.bob.UserID, "&from=x"), 400, "M_INVALID_PARAM"},
			"from a token out of all range": {c.alice, mutualPath(c.bob.UserID, "&from="+fmt.Sprint(uint64(1)<<63)), 400, "M_INVALID_PARAM"},
		} {
			t.Run(name, func(t *testing.T) { test.client.With(t).Get(test.path).Refused(test.status, test.code) })
		}
	})
}
