// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// awaitName follows c's /sync until each of the rooms has told that c is called name.
func awaitName(t *testing.T, c *homeservertest.Client, since, name string, rooms []string) {
	t.Helper()
	missing := map[string]bool{}
	for _, r := range rooms {
		missing[r] = true
	}
	for len(missing) > 0 && !t.Failed() {
		var answer struct {
			Next  string `json:"next_batch"`
			Rooms struct {
				Join map[string]struct {
					Timeline struct {
						Events []struct {
							Type     string `json:"type"`
							StateKey string `json:"state_key"`
							Content  struct {
								Name       string `json:"displayname"`
								Membership string `json:"membership"`
							} `json:"content"`
						} `json:"events"`
					} `json:"timeline"`
				} `json:"join"`
			} `json:"rooms"`
		}
		c.With(t).Get(client + "/sync?timeout=60000&since=" + since).OK().JSON(&answer)
		if answer.Next == since {
			t.Fatalf("%d rooms were never told of %q", len(missing), name)
		}
		since = answer.Next
		for id, r := range answer.Rooms.Join {
			for _, e := range r.Timeline.Events {
				if e.Type == "m.room.member" && e.StateKey == c.UserID && e.Content.Name == name && e.Content.Membership == "join" {
					delete(missing, id)
				}
			}
		}
	}
}

func createRooms(c *homeservertest.Client, n int) []string {
	rooms := make([]string, n)
	for i := range rooms {
		rooms[i] = createRoom(c, object{"preset": "private_chat"})
	}
	return rooms
}

func rename(c *homeservertest.Client, name string) *homeservertest.Response {
	return c.Put(profilePath+"{user}/displayname", object{"displayname": name})
}

func TestANewNameReaches200RoomsInFewCommits(t *testing.T) {
	const rooms = 200
	var commits atomic.Int64
	o := homeservertest.Options{WrapDriver: storetest.Tap(func(query string) error {
		if query == "COMMIT" {
			commits.Add(1)
		}
		return nil
	})}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		all := createRooms(alice, rooms)
		since := alice.Get(client + "/sync").OK().String("next_batch")
		before := commits.Load()
		rename(alice, "Alice").OK()
		awaitName(t, alice, since, "Alice", all)
		if n := commits.Load() - before; n > rooms/2 {
			t.Errorf("%d rooms took %d commits", rooms, n)
		} else {
			t.Logf("%d rooms took %d commits", rooms, n)
		}
	})
}

func TestANewNameThatRoomsWereNotToldOfIsToldAfterARestart(t *testing.T) {
	var broken atomic.Bool
	o := homeservertest.Options{LogLevel: slog.LevelError + 1, Inject: func(name string) error {
		if name == "rooms.send.built" && broken.Load() {
			return errors.New("injected failure")
		}
		return nil
	}}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		broken.Store(false)
		alice := s.Register("alice")
		for _, rooms := range []int{3, 37} { // the request waits for few rooms, and does not for 40
			all := createRooms(alice, rooms)
			since := alice.Get(client + "/sync").OK().String("next_batch")
			name := fmt.Sprint("Alice ", rooms)
			broken.Store(true)
			rename(alice, name).OK()
			if got := alice.Get(profilePath + "{user}/displayname").OK().String("displayname"); got != name {
				t.Errorf("the profile says %q", got)
			}
			broken.Store(false)
			s.Restart()
			awaitName(t, alice, since, name, all)
		}
	})
}

// Whatever the order in which rooms are told of several changes, the last one stays.
func TestManyNewNamesAtOnceEndWithTheSameInEveryRoom(t *testing.T) {
	for _, rooms := range []int{5, 40} {
		t.Run(fmt.Sprint(rooms, " rooms"), func(t *testing.T) {
			homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
				alice := s.Register("alice")
				all := createRooms(alice, rooms)
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() { rename(alice, fmt.Sprint("name ", i)).OK() })
				}
				wg.Wait()
				since := alice.Get(client + "/sync").OK().String("next_batch")
				rename(alice, "the last name").OK()
				awaitName(t, alice, since, "the last name", all)
				for _, r := range all {
					got := alice.Get(client + "/rooms/" + url.PathEscape(r) + "/state/m.room.member/{user}").OK().String("displayname")
					if got != "the last name" {
						t.Errorf("%s has %q", r, got)
					}
				}
			})
		})
	}
}

func TestRoomsKeepWhatTheyKnowOfAMemberWhenTheNameChanges(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		r := createRoom(alice, object{})
		member := client + "/rooms/" + url.PathEscape(r) + "/state/m.room.member/{user}"
		alice.Put(member, object{"membership": "join", "displayname": "here only", "org.example.x": 1}).OK()
		alice.Put(profilePath+"{user}/avatar_url", object{"avatar_url": "mxc://test.example/a"}).OK()
		alice.Get(member).OK().Equal(`{"membership":"join","displayname":"alice","avatar_url":"mxc://test.example/a","org.example.x":1}`)
		alice.Do("DELETE", profilePath+"{user}/displayname", nil).OK()
		alice.Get(member).OK().Equal(`{"membership":"join","avatar_url":"mxc://test.example/a","org.example.x":1}`)
		last := func() any {
			page := alice.Get(client + "/rooms/" + url.PathEscape(r) + "/messages?dir=b&limit=1").OK()
			return page.Value("chunk").([]any)[0].(map[string]any)["event_id"]
		}
		before := last()
		alice.Put(profilePath+"{user}/m.tz", object{"m.tz": "Europe/Berlin"}).OK()
		alice.Put(profilePath+"{user}/avatar_url", object{"avatar_url": "mxc://test.example/a"}).OK()
		if after := last(); before != after {
			t.Errorf("a change that is none for rooms was sent: %v", after)
		}
	})
}

func TestCapabilitiesOfProfiles(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	got := string(s.Register("alice").Get(client + "/capabilities").OK().Body)
	for _, want := range []string{`"m.profile_fields":{"enabled":true}`, `"m.set_displayname":{"enabled":true}`, `"m.set_avatar_url":{"enabled":true}`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}
