// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const searchPath = "/_matrix/client/v3/user_directory/search"

// search returns the local parts of the users that c finds.
func search(t *testing.T, c *homeservertest.Client, term string) []string {
	t.Helper()
	var found struct {
		Results []struct {
			UserID string `json:"user_id"`
		} `json:"results"`
	}
	c.With(t).Post(searchPath, object{"search_term": term}).OK().JSON(&found)
	names := []string{}
	for _, u := range found.Results {
		name, _, _ := strings.Cut(u.UserID[1:], ":")
		names = append(names, name)
	}
	return names
}

func TestUserDirectoryFindsByTheBeginningsOfWords(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		seeker := s.Register("seeker")
		room := createRoom(seeker, object{"preset": "public_chat"})
		for user, name := range map[string]string{
			"alice.smith": "José García-Márquez", "ali": "Ali", "bob99": "ROBERT O'Neil", "taro": "山田太郎", "nameless": "",
		} {
			c := s.Register(user)
			c.Put(profilePath+"{user}/displayname", object{"displayname": name}).OK()
			c.Post("/_matrix/client/v3/join/"+room, object{}).OK()
		}
		for _, test := range []struct {
			name, term string
			want       []string
		}{
			{"a local part", "alice", []string{"alice.smith"}},
			{"whole words before others", "ali", []string{"ali", "alice.smith"}},
			{"a later part of the local part", "SMI", []string{"alice.smith"}},
			{"the whole local part", "alice.smith", []string{"alice.smith"}},
			{"a display name in another case", "robert", []string{"bob99"}},
			{"a name without its accents", "garcia marquez", []string{"alice.smith"}},
			{"a name with more accents", "JÓSÉ", []string{"alice.smith"}},
			{"words of the id and of the name, in any order", "mar ali", []string{"alice.smith"}},
			{"all words have to match", "alice robert", nil},
			{"the middle of a word is no match", "bert", nil},
			{"a script without spaces", "太郎", []string{"taro"}},
			{"a user id", "@alice.smith:test.example", []string{"alice.smith"}},
			{"the beginning of a user id", "@ali", []string{"ali", "alice.smith"}},
			{"the beginning of a server name", "@ali:te", []string{"ali", "alice.smith"}},
			{"a user id is not a name", "@robert", nil},
			{"another server", "@ali:other.example", nil},
			{"a user without a name", "nameless", []string{"nameless"}},
			{"nothing to search for", " -_! ", nil},
			{"the empty term", "", nil},
			{"wildcards are no words", "%", nil},
			{"a NUL", "ali\x00", []string{"ali", "alice.smith"}},
			{"a very long term", strings.Repeat("alice ", 5000), []string{"alice.smith"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				if got := search(t, seeker, test.term); !slices.Equal(got, test.want) {
					t.Errorf("%q finds %v, want %v", test.term, got, test.want)
				}
			})
		}
	})
}

func TestUserDirectoryShowsWhomTheSearcherMayKnow(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		seeker, friend, hidden, open := s.Register("seeker"), s.Register("u.friend"), s.Register("u.hidden"), s.Register("u.open")
		expect := func(what string, want ...string) {
			t.Helper()
			if got := search(t, seeker, "u"); !slices.Equal(got, append([]string{}, want...)) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		createRoom(hidden, object{"preset": "private_chat"})
		private := createRoom(friend, object{"preset": "private_chat", "invite": []string{seeker.UserID}})
		expect("an invitation is not yet a shared room")
		seeker.Post("/_matrix/client/v3/join/"+private, object{}).OK()
		expect("a shared room", "u.friend")
		seeker.Post("/_matrix/client/v3/rooms/"+private+"/leave", object{}).OK()
		expect("a room that was left")

		room := createRoom(open, object{"preset": "private_chat"})
		state := func(typ string, content object) {
			t.Helper()
			open.Put("/_matrix/client/v3/rooms/"+room+"/state/"+typ, content).OK()
		}
		state("m.room.join_rules", object{"join_rule": "public"})
		expect("a room that everybody may join", "u.open")
		state("m.room.join_rules", object{"join_rule": "invite"})
		expect("a room that was closed")
		state("m.room.history_visibility", object{"history_visibility": "world_readable"})
		expect("a room that everybody may read", "u.open")
		state("m.room.join_rules", object{"join_rule": "knock"})
		expect("the join rule leaves the history alone", "u.open")
		state("m.room.history_visibility", object{"history_visibility": "shared"})
		expect("a history that was hidden")
		createRoom(open, object{"preset": "public_chat"})
		expect("a room that was made public", "u.open")

		if got := search(t, open, "u.open"); !slices.Equal(got, []string{"u.open"}) {
			t.Errorf("who is in a public room does not find themselves: %v", got)
		}
		if got := search(t, hidden, "u.hidden"); len(got) > 0 {
			t.Errorf("who is in private rooms only finds themselves: %v", got)
		}
	})
}

func TestUserDirectoryFollowsProfilesAndAccounts(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		seeker, alice := s.Register("seeker"), s.Register("alice")
		createRoom(alice, object{"preset": "public_chat"})
		alice.Put(profilePath+"{user}/displayname", object{"displayname": "Wonder"}).OK()
		alice.Put(profilePath+"{user}/avatar_url", object{"avatar_url": "mxc://test.example/a"}).OK()
		seeker.Post(searchPath, object{"search_term": "won"}).OK().Equal(
			`{"limited":false,"results":[{"user_id":"@alice:test.example","display_name":"Wonder","avatar_url":"mxc://test.example/a"}]}`)
		alice.Put(profilePath+"{user}/displayname", object{"displayname": "Land"}).OK()
		if got := search(t, seeker, "wonder"); len(got) > 0 {
			t.Errorf("the old name still finds %v", got)
		}
		alice.Do("DELETE", profilePath+"{user}/displayname", nil).OK()
		if got := search(t, seeker, "land"); len(got) > 0 {
			t.Errorf("a deleted name still finds %v", got)
		}
		seeker.Post(searchPath, object{"search_term": "alice"}).OK().Equal(
			`{"limited":false,"results":[{"user_id":"@alice:test.example","avatar_url":"mxc://test.example/a"}]}`)
		s.Restart()
		if got := search(t, seeker, "alice"); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("after a restart: %v", got)
		}
		alice.Post("/_matrix/client/v3/account/deactivate", object{"auth": object{
			"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "alice"}, "password": homeservertest.Password,
		}}).OK()
		if got := search(t, seeker, "alice"); len(got) > 0 {
			t.Errorf("a deactivated account is found: %v", got)
		}
	})
}

func TestUserDirectoryLimits(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		seeker := s.Register("seeker")
		room := createRoom(seeker, object{"preset": "public_chat"})
		for i := range 12 {
			s.Register("many"+string(rune('a'+i))).Post("/_matrix/client/v3/join/"+room, object{}).OK()
		}
		for _, test := range []struct {
			name    string
			body    any
			users   int
			limited bool
		}{
			{"ten if it does not say", object{"search_term": "many"}, 10, true},
			{"ten if it says null", object{"search_term": "many", "limit": nil}, 10, true},
			{"as many as there are", object{"search_term": "many", "limit": 12}, 12, false},
			{"fewer", object{"search_term": "many", "limit": 3}, 3, true},
			{"none", object{"search_term": "many", "limit": 0}, 0, true},
			{"H54 more than the server gives", object{"search_term": "many", "limit": 1 << 40}, 12, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				var got struct {
					Results []object `json:"results"`
					Limited bool     `json:"limited"`
				}
				seeker.With(t).Post(searchPath, test.body).OK().JSON(&got)
				if len(got.Results) != test.users || got.Limited != test.limited {
					t.Errorf("%d users, limited %v; want %d, %v", len(got.Results), got.Limited, test.users, test.limited)
				}
			})
		}
		for _, test := range []struct {
			name string
			body any
			code string
		}{
			{"no term", object{"limit": 5}, "M_MISSING_PARAM"},
			{"a term that is no string", object{"search_term": 5}, "M_BAD_JSON"},
			{"a limit that is no number", object{"search_term": "x", "limit": "x"}, "M_BAD_JSON"},
			{"H54 a negative limit", object{"search_term": "x", "limit": -1}, "M_INVALID_PARAM"},
			{"no JSON", "search", "M_NOT_JSON"},
		} {
			t.Run(test.name, func(t *testing.T) {
				seeker.With(t).Post(searchPath, test.body).Refused(http.StatusBadRequest, test.code)
			})
		}
		s.Client().Post(searchPath, object{"search_term": "x"}).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
	})
}
