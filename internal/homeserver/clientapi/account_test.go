// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// byPassword is an auth object of a user who knows the password.
func byPassword(c *homeservertest.Client, session, password string) object {
	return object{
		"type": "m.login.password", "session": session, "password": password,
		"identifier": object{"type": "m.id.user", "user": c.UserID},
	}
}

func TestH28NothingSensitiveHappensWithoutInteractiveAuthentication(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		other := s.Login("alice", "OTHER")
		for name, r := range map[string]struct {
			method, path string
			body         object
		}{
			"a new password":  {"POST", "/account/password", object{"new_password": "another good password"}},
			"deactivation":    {"POST", "/account/deactivate", object{}},
			"a device":        {"DELETE", "/devices/OTHER", object{}},
			"several devices": {"POST", "/delete_devices", object{"devices": []string{"OTHER"}}},
		} {
			t.Run(name, func(t *testing.T) {
				alice := alice.With(t)
				first := alice.Do(r.method, clientV3+r.path, r.body)
				session := first.String("session")
				if first.Status != 401 || session == "" || first.Value("flows") == nil {
					t.Fatalf("answer %d %s, want 401 with flows", first.Status, first.Body)
				}
				for why, auth := range map[string]object{
					"a wrong password":        byPassword(alice, session, "wrong"),
					"another user's password": byPassword(bob, session, homeservertest.Password),
					"a stage not offered":     {"type": "m.login.dummy", "session": session},
					"an unknown session":      byPassword(alice, "AAAA", homeservertest.Password),
				} {
					body := object{"auth": auth}
					for k, v := range r.body {
						body[k] = v
					}
					if got := alice.Do(r.method, clientV3+r.path, body); got.Status != 401 || got.String("session") == "" {
						t.Errorf("%s: answer %d %s, want 401", why, got.Status, got.Body)
					}
				}
			})
		}
		other.Get(clientV3 + "/account/whoami").OK() // nothing was done
		s.Login("alice", "")
	})
}

// confirmed makes a request that takes interactive authentication.
func confirmed(c *homeservertest.Client, method, path string, body object) *homeservertest.Response {
	session := c.Do(method, clientV3+path, body).String("session")
	body["auth"] = byPassword(c, session, homeservertest.Password)
	return c.Do(method, clientV3+path, body)
}

func TestDevicesAreDeletedWithWhatBelongsToThem(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		one, two, three := s.Login("alice", "ONE"), s.Login("alice", "TWO"), s.Login("alice", "THREE")
		confirmed(alice, "DELETE", "/devices/ONE", object{}).OK()
		one.Get(clientV3+"/account/whoami").Refused(401, "M_UNKNOWN_TOKEN")
		alice.Get(clientV3+"/devices/ONE").Refused(404, "M_NOT_FOUND")
		confirmed(alice, "POST", "/delete_devices", object{"devices": []string{"TWO", "ABSENT"}}).OK()
		two.Get(clientV3+"/account/whoami").Refused(401, "M_UNKNOWN_TOKEN")
		three.Get(clientV3 + "/account/whoami").OK()

		// What was confirmed for one device deletes no other.
		session := alice.Do("DELETE", clientV3+"/devices/ONE", object{}).String("session")
		stolen := object{"auth": byPassword(alice, session, homeservertest.Password)}
		if got := alice.Do("DELETE", clientV3+"/devices/THREE", stolen); got.Status != 401 {
			t.Errorf("answer %d %s, want 401", got.Status, got.Body)
		}
		three.Get(clientV3 + "/account/whoami").OK()
		alice.Post(clientV3+"/delete_devices", object{}).Refused(400, "M_MISSING_PARAM")
		s.Client().Do("DELETE", clientV3+"/devices/THREE", nil).Refused(401, "M_MISSING_TOKEN")
	})
}

func TestANewPasswordSignsTheOtherDevicesOut(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		other := s.Login("alice", "OTHER")
		alice.Post(clientV3+"/account/password", object{"new_password": "short"}).Refused(400, "M_WEAK_PASSWORD")
		const password = "another good password"
		confirmed(alice, "POST", "/account/password", object{"new_password": password, "logout_devices": false}).OK()
		other.Get(clientV3 + "/account/whoami").OK()
		s.Client().Post(clientV3+"/login", passwordLogin("alice", homeservertest.Password)).Refused(403, "M_FORBIDDEN")
		s.Client().Post(clientV3+"/login", passwordLogin("alice", password)).OK()

		session := alice.Post(clientV3+"/account/password", object{}).String("session")
		alice.Post(clientV3+"/account/password", object{
			"new_password": homeservertest.Password, "auth": byPassword(alice, session, password),
		}).OK()
		other.Get(clientV3+"/account/whoami").Refused(401, "M_UNKNOWN_TOKEN")
		alice.Get(clientV3 + "/account/whoami").OK()
	})
}

func TestH14ADeactivatedUserIsGoneFromEverywhereAndNobodyElseIs(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(bob, object{"preset": "public_chat"})
		alice.Post(clientV3+"/join/"+url.PathEscape(room), object{}).OK()
		invited := createRoom(bob, object{"invite": []string{alice.UserID}})
		alice.Put(clientV3+"/profile/{user}/displayname", object{"displayname": "Alice"}).OK()
		confirmed(alice, "POST", "/account/deactivate", object{"erase": true}).OK()

		alice.Get(clientV3+"/account/whoami").Refused(401, "M_UNKNOWN_TOKEN")
		s.Client().Post(clientV3+"/login", passwordLogin("alice", homeservertest.Password)).Refused(403, "M_USER_DEACTIVATED")
		s.Client().Post(clientV3+"/register", registration("alice", homeservertest.Password)).Refused(400, "M_USER_IN_USE")
		s.Restart() // the task goes on where it was
		deadline := time.Now().Add(30 * time.Second)
		for _, r := range []string{room, invited} {
			for bob.Get(in(r, "state", "m.room.member", alice.UserID)).OK().String("membership") != "leave" {
				if time.Now().After(deadline) {
					t.Fatal("the user is still in " + r)
				}
			}
		}
		for bob.Get(clientV3+"/profile/"+url.PathEscape(alice.UserID)+"/displayname").Status == 200 {
			if time.Now().After(deadline) {
				t.Fatal("the profile is still there")
			}
		}
		bob.Get(clientV3 + "/account/whoami").OK()
		if got := bob.Get(in(room, "state", "m.room.member", bob.UserID)).OK().String("membership"); got != "join" {
			t.Errorf("bob is %s", got)
		}
	})
}
