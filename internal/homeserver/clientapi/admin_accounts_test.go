// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// withAdmins makes administrators with homeservertest.Password.
func withAdmins(t *testing.T, names ...string) homeservertest.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(homeservertest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	return homeservertest.Options{Configure: func(c *config.Config) {
		for _, name := range names {
			c.Admins = append(c.Admins, config.Admin{Localpart: name, PasswordFile: file})
		}
	}}
}

func adminPath(what, user string) string {
	return "/_matrix/client/v1/admin/" + what + "/" + url.PathEscape(user)
}

func TestH8ALockedAccountCanOnlySignOut(t *testing.T) {
	homeservertest.Each(t, withAdmins(t, "root"), func(t *testing.T, s *homeservertest.Server) {
		root, alice := s.Login("root", ""), s.Register("alice")
		access, refresh := refreshableLogin(s, "PHONE")
		since := alice.Get(clientV3 + "/sync").OK().String("next_batch")
		hanging := make(chan *homeservertest.Response, 1)
		go func() {
			r, err := alice.Try(t.Context(), "GET", clientV3+"/sync?timeout=30000&since="+since, nil)
			if err != nil {
				t.Error(err)
			}
			hanging <- r
		}()
		root.Put(adminPath("lock", alice.UserID), object{"locked": true}).OK().Equal(`{"locked":true}`)
		root.Get(adminPath("lock", alice.UserID)).OK().Equal(`{"locked":true}`)
		locked := func(r *homeservertest.Response) {
			t.Helper()
			if r.Refused(401, "M_USER_LOCKED"); r.Value("soft_logout") != true {
				t.Errorf("answer %s, want soft_logout", r.Body)
			}
		}
		locked(<-hanging)
		locked(alice.Get(whoamiPath))
		locked(alice.Get(clientV3 + "/sync"))
		locked(alice.Put(clientV3+"/profile/{user}/displayname", object{"displayname": "x"}))
		locked(s.Client().Post(loginPath, passwordLogin("alice", homeservertest.Password)))
		locked(s.Client().Post(refreshPath, object{"refresh_token": refresh}))
		s.Client().Post(loginPath, passwordLogin("alice", "wrong password")).Refused(403, "M_FORBIDDEN")
		holding(s, access).Post(clientV3+"/logout", nil).OK()
		holding(s, access).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")

		root.Put(adminPath("lock", alice.UserID), object{"locked": false}).OK().Equal(`{"locked":false}`)
		alice.Get(whoamiPath).OK()
		root.Put(adminPath("lock", alice.UserID), object{"locked": true}).OK()
		alice.Post(clientV3+"/logout/all", nil).OK()
	})
}

func TestH26ASuspendedUserReadsAndTidiesUpAndNoMore(t *testing.T) {
	homeservertest.Each(t, withAdmins(t, "root"), func(t *testing.T, s *homeservertest.Server) {
		root, alice, bob := s.Login("root", ""), s.Register("alice"), s.Register("bob")
		room, invited := createRoom(alice, object{"preset": "public_chat"}), createRoom(bob, object{"invite": []string{alice.UserID}})
		bob.Post(in(room, "join"), object{}).OK()
		own := alice.Put(in(room, "send", "m.room.message", "1"), object{"body": "own"}).OK().String("event_id")
		others := bob.Put(in(room, "send", "m.room.message", "1"), object{"body": "others"}).OK().String("event_id")
		root.Put(adminPath("suspend", alice.UserID), object{"suspended": true}).OK().Equal(`{"suspended":true}`)
		root.Get(adminPath("suspend", alice.UserID)).OK().Equal(`{"suspended":true}`)

		for name, r := range map[string]struct {
			method, path string
			body         object
		}{
			"a message":                {"PUT", in(room, "send", "m.room.message", "2"), object{"body": "x"}},
			"a redaction as a message": {"PUT", in(room, "send", "m.room.redaction", "2"), object{"redacts": own}},
			"state":                    {"PUT", in(room, "state", "m.room.topic"), object{"topic": "x"}},
			"another's redaction":      {"PUT", in(room, "redact", others, "3"), object{}},
			"a join":                   {"POST", in(invited, "join"), object{}},
			"a join by id":             {"POST", clientV3 + "/join/" + url.PathEscape(invited), object{}},
			"a knock":                  {"POST", clientV3 + "/knock/" + url.PathEscape(invited), object{}},
			"an invitation":            {"POST", in(room, "invite"), object{"user_id": root.UserID}},
			"a kick":                   {"POST", in(room, "kick"), object{"user_id": bob.UserID}},
			"a ban":                    {"POST", in(room, "ban"), object{"user_id": bob.UserID}},
			"a room":                   {"POST", clientV3 + "/createRoom", object{}},
			"an upgrade":               {"POST", in(room, "upgrade"), object{"new_version": "12"}},
			"a name":                   {"PUT", clientV3 + "/profile/{user}/displayname", object{"displayname": "x"}},
			"an alias":                 {"PUT", clientV3 + "/directory/room/%23a:test.example", object{"room_id": room}},
			"typing":                   {"PUT", in(room, "typing", alice.UserID), object{"typing": true, "timeout": 1000}},
			"an upload":                {"POST", "/_matrix/media/v3/upload", object{}},
			"a message to a device":    {"PUT", clientV3 + "/sendToDevice/m.x/1", object{"messages": object{bob.UserID: object{"*": object{}}}}},
		} {
			t.Run(name, func(t *testing.T) {
				alice.With(t).Do(r.method, r.path, r.body).Refused(403, "M_USER_SUSPENDED")
			})
		}
		alice.Get(clientV3 + "/sync").OK()
		alice.Get(in(room, "messages") + "?dir=b").OK()
		alice.Post(clientV3+"/keys/query", object{"device_keys": object{bob.UserID: []string{}}}).OK()
		alice.Put(clientV3+"/user/{user}/account_data/a.b", object{"a": 1}).OK()
		alice.Put(clientV3+"/sendToDevice/m.x/2", object{"messages": object{alice.UserID: object{"*": object{}}}}).OK()
		alice.Put(in(room, "redact", own, "4"), object{}).OK()
		alice.Post(in(invited, "leave"), object{}).OK()
		alice.Post(in(room, "leave"), object{}).OK()
		again := s.Login("alice", "")
		again.Post(clientV3+"/createRoom", object{}).Refused(403, "M_USER_SUSPENDED")
		again.Post(clientV3+"/logout", nil).OK()

		root.Put(adminPath("suspend", alice.UserID), object{"suspended": false}).OK()
		createRoom(alice, object{})
		root.Put(adminPath("suspend", alice.UserID), object{"suspended": true}).OK()
		confirmed(alice, "POST", "/account/deactivate", object{}).OK()
		root.Get(adminPath("suspend", alice.UserID)).Refused(404, "M_NOT_FOUND")
	})
}

func TestH32AndH33WhoMayRestrictWhom(t *testing.T) {
	s := homeservertest.New(t, withAdmins(t, "root", "other"))
	root, alice := s.Login("root", ""), s.Register("alice")
	for _, what := range []struct {
		name, member string
	}{{"lock", "locked"}, {"suspend", "suspended"}} {
		on := object{what.member: true}
		for _, test := range []struct {
			name   string
			caller *homeservertest.Client
			user   string
			body   object
			status int
			code   string
		}{
			{"H32 a user about another", alice, root.UserID, on, 403, "M_FORBIDDEN"},
			{"H32 a user about nobody", alice, "@nobody:test.example", on, 403, "M_FORBIDDEN"},
			{"nobody", s.Client(), alice.UserID, on, 401, "M_MISSING_TOKEN"},
			{"H33 themself", root, root.UserID, on, 403, "M_FORBIDDEN"},
			{"H33 another administrator", root, "@other:test.example", on, 403, "M_FORBIDDEN"},
			{"H33 a user of another server", root, "@alice:elsewhere.example", on, 400, "M_INVALID_PARAM"},
			{"somebody who does not exist", root, "@nobody:test.example", on, 404, "M_NOT_FOUND"},
			{"what is no user id", root, "alice", on, 400, "M_INVALID_PARAM"},
			{"nothing said", root, alice.UserID, object{}, 400, "M_MISSING_PARAM"},
			{"a string", root, alice.UserID, object{what.member: "true"}, 400, "M_BAD_JSON"},
		} {
			t.Run(what.name+" "+test.name, func(t *testing.T) {
				c := test.caller.With(t)
				c.Put(adminPath(what.name, test.user), test.body).Refused(test.status, test.code)
				if test.status != 400 || test.user != alice.UserID {
					c.Get(adminPath(what.name, test.user)).Refused(test.status, test.code)
				}
			})
		}
		root.Get(adminPath(what.name, alice.UserID)).OK().Equal(`{"` + what.member + `":false}`)
	}
	alice.Get(whoamiPath).OK()
}

func TestWhois(t *testing.T) {
	homeservertest.Each(t, withAdmins(t, "root"), func(t *testing.T, s *homeservertest.Server) {
		root, alice, bob := s.Login("root", ""), s.Register("alice"), s.Register("bob")
		path := clientV3 + "/admin/whois/"
		alice.Header = http.Header{"User-Agent": {"Foyer test"}}
		body := passwordLogin("alice", homeservertest.Password)
		body["device_id"] = "PHONE"
		alice.Post(loginPath, body).OK()
		for _, c := range []*homeservertest.Client{alice, root} {
			devices := c.Get(path + url.PathEscape(alice.UserID)).OK().Value("devices").(map[string]any)
			sessions := devices["PHONE"].(map[string]any)["sessions"].([]any)
			connection := sessions[0].(map[string]any)["connections"].([]any)[0].(map[string]any)
			if len(devices) != 2 || connection["ip"] != "127.0.0.1" || connection["last_seen"] == 0.0 || connection["user_agent"] != "Foyer test" {
				t.Errorf("devices %v", devices)
			}
		}
		bob.Get(path+url.PathEscape(alice.UserID)).Refused(403, "M_FORBIDDEN")
		bob.Get(path+"@nobody:test.example").Refused(403, "M_FORBIDDEN")
		root.Get(path+"@nobody:test.example").Refused(404, "M_NOT_FOUND")
		root.Get(path+"@alice:elsewhere.example").Refused(400, "M_INVALID_PARAM")
		s.Client().Get(path+"x").Refused(401, "M_MISSING_TOKEN")
	})
}

func TestOnlyAdministratorsAreToldThatTheyMayModerate(t *testing.T) {
	s := homeservertest.New(t, withAdmins(t, "root"))
	path := clientV3 + "/capabilities"
	if got := s.Register("alice").Get(path).OK().Value("capabilities", "m.account_moderation"); got != nil {
		t.Errorf("a user is told %v", got)
	}
	c := s.Login("root", "").Get(path).OK()
	if c.Value("capabilities", "m.account_moderation", "lock") != true || c.Value("capabilities", "m.account_moderation", "suspend") != true {
		t.Errorf("an administrator is told %s", c.Body)
	}
	if c.Value("capabilities", "m.change_password", "enabled") != true || c.Value("capabilities", "m.get_login_token", "enabled") != true {
		t.Errorf("capabilities %s", c.Body)
	}
}
