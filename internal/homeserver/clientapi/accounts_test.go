// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestRegisterLoginWhoamiLogout(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		if alice.UserID != "@alice:test.example" {
			t.Fatalf("user id %q", alice.UserID)
		}
		again := s.Login("alice", "PHONE")
		again.Get(whoamiPath).OK().Equal(`{"user_id":"@alice:test.example","device_id":"PHONE","is_guest":false}`)
		again.Post("/_matrix/client/v3/logout", nil).OK().Equal(`{}`)
		again.Get(whoamiPath).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
		alice.Get(whoamiPath).OK()
		s.Restart()
		alice.Get(whoamiPath).OK()
	})
}

func passwordLogin(user, password string) object {
	return object{"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": user}, "password": password}
}

func registration(name, password string) object {
	return object{"username": name, "password": password, "auth": object{"type": "m.login.dummy"}}
}

func TestH13AWrongPasswordAndAnUnknownUserLookTheSame(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice")
	c := s.Client()
	wrong := c.Post(loginPath, passwordLogin("alice", "wrong password")).Refused(http.StatusForbidden, "M_FORBIDDEN")
	for _, user := range []string{"nobody", "@nobody:test.example", "@alice:other.example", "", "@", "a:b", strings.Repeat("a", 300)} {
		unknown := c.Post(loginPath, passwordLogin(user, "wrong password")).Refused(http.StatusForbidden, "M_FORBIDDEN")
		if string(unknown.Body) != string(wrong.Body) {
			t.Errorf("%q: %s differs from %s", user, unknown.Body, wrong.Body)
		}
	}
}

func TestLoginIdentifiers(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice")
	for _, test := range []struct {
		name   string
		login  object
		status int
		code   string
	}{
		{"a local part", passwordLogin("alice", homeservertest.Password), 200, ""},
		{"a local part as people write it", passwordLogin("Alice", homeservertest.Password), 200, ""},
		{"a user id", passwordLogin("@alice:test.example", homeservertest.Password), 200, ""},
		{"the deprecated form", object{"type": "m.login.password", "user": "alice", "password": homeservertest.Password}, 200, ""},
		{"H15 an unknown type", object{"type": "m.login.magic"}, http.StatusBadRequest, "M_UNKNOWN"},
		{"H15 a type that is not offered", object{"type": "m.login.sso"}, http.StatusBadRequest, "M_UNKNOWN"},
		{"no type", object{}, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"no password", object{"type": "m.login.password", "user": "alice"}, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"no user", object{"type": "m.login.password", "password": "x"}, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"a phone number", object{"type": "m.login.password", "identifier": object{"type": "m.id.phone"}, "password": "x"}, http.StatusBadRequest, "M_UNKNOWN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.Client().With(t).Post(loginPath, test.login)
			if test.code == "" {
				r.OK()
				return
			}
			r.Refused(test.status, test.code)
		})
	}
}

func TestADeviceIsUsedAgainAndItsOldTokenEnds(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	first := s.Register("alice")
	second := s.Login("alice", first.DeviceID)
	if second.DeviceID != first.DeviceID {
		t.Errorf("device %q, want %q", second.DeviceID, first.DeviceID)
	}
	first.Get(whoamiPath).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	list, _ := second.Get("/_matrix/client/v3/devices").OK().Value("devices").([]any)
	if len(list) != 1 {
		t.Errorf("%d devices, want 1", len(list))
	}
}

func TestDevices(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		s.Register("alice")
		s.Register("bob")
		c := s.Login("alice", "PHONE")
		c.Put("/_matrix/client/v3/devices/PHONE", object{"display_name": "Telefon"}).OK()
		device := c.Get("/_matrix/client/v3/devices/PHONE").OK()
		if device.String("display_name") != "Telefon" || device.String("last_seen_ip") != "127.0.0.1" {
			t.Errorf("device %s", device.Body)
		}
		c.Get("/_matrix/client/v3/devices/NONE").Refused(http.StatusNotFound, "M_NOT_FOUND")
		c.Put("/_matrix/client/v3/devices/NONE", object{"display_name": "x"}).Refused(http.StatusNotFound, "M_NOT_FOUND")
		c.Put("/_matrix/client/v3/devices/PHONE", object{"display_name": strings.Repeat("x", 200)}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
		s.Login("bob", "").Get("/_matrix/client/v3/devices/PHONE").Refused(http.StatusNotFound, "M_NOT_FOUND")
		c.Post("/_matrix/client/v3/logout/all", nil).OK()
		c.Get(whoamiPath).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
		if list, _ := s.Login("alice", "").Get("/_matrix/client/v3/devices").OK().Value("devices").([]any); len(list) != 1 {
			t.Errorf("%d devices after logging all out and in again, want 1", len(list))
		}
	})
}

func TestH16OneNameIsRegisteredOnce(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		var wg sync.WaitGroup
		answers := make(chan *homeservertest.Response, 50)
		c := s.Client()
		for range cap(answers) {
			wg.Go(func() {
				r, err := c.Try(t.Context(), "POST", registerPath, registration("alice", homeservertest.Password))
				if err != nil {
					t.Error(err)
					return
				}
				answers <- r
			})
		}
		wg.Wait()
		close(answers)
		created := 0
		for r := range answers {
			if r.Status == http.StatusOK {
				created++
				continue
			}
			r.Refused(http.StatusBadRequest, "M_USER_IN_USE")
		}
		if created != 1 {
			t.Errorf("%d accounts were created, want 1", created)
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice")
	for _, test := range []struct {
		name   string
		body   object
		status int
		code   string
	}{
		{"H17 an exclamation mark", registration("Bob!", homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"H17 upper case", registration("Bob", homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"H17 an empty name", registration("", homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"H17 a colon", registration("a:b", homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"H17 NUL", registration("a\x00b", homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"H17 more than 255 bytes", registration(strings.Repeat("a", 250), homeservertest.Password), http.StatusBadRequest, "M_INVALID_USERNAME"},
		{"a name that is taken", registration("alice", homeservertest.Password), http.StatusBadRequest, "M_USER_IN_USE"},
		{"H21 a weak password", registration("bob", "1234567"), http.StatusBadRequest, "M_WEAK_PASSWORD"},
		{"H21 no password", registration("bob", ""), http.StatusBadRequest, "M_WEAK_PASSWORD"},
		{"H21 a password of a kilobyte", registration("bob", strings.Repeat("x", 1024)), http.StatusBadRequest, "M_WEAK_PASSWORD"},
		{"H21 a password of a megabyte", registration("bob", strings.Repeat("x", 1<<20)), http.StatusRequestEntityTooLarge, "M_TOO_LARGE"},
		{"a stage that is not offered", object{"username": "bob", "password": homeservertest.Password, "auth": object{"type": "m.login.password"}}, http.StatusUnauthorized, "M_UNRECOGNIZED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.Client().With(t).Post(registerPath, test.body).Refused(test.status, test.code)
		})
	}
	s.Client().Post(registerPath+"?kind=robot", object{}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
	s.Client().Get(registerPath + "/available?username=bob").OK().Equal(`{"available":true}`)
	s.Client().Get(registerPath+"/available?username=alice").Refused(http.StatusBadRequest, "M_USER_IN_USE")
	s.Client().Get(registerPath+"/available?username=Bob!").Refused(http.StatusBadRequest, "M_INVALID_USERNAME")
}

func TestRegisterInTwoSteps(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	c := s.Client()
	first := c.Post(registerPath, object{"username": "alice", "password": homeservertest.Password})
	if first.Status != http.StatusUnauthorized || first.Value("errcode") != nil {
		t.Fatalf("first answer %d %s", first.Status, first.Body)
	}
	session := first.String("session")
	first.Equal(`{"flows":[{"stages":["m.login.dummy"]}],"params":{},"completed":[],"session":"` + session + `"}`)
	body := registration("alice", homeservertest.Password)
	body["auth"] = object{"type": "m.login.dummy", "session": session + "x"}
	if r := c.Post(registerPath, body); r.Status != http.StatusUnauthorized || r.String("session") == session {
		t.Errorf("a forged session: %d %s", r.Status, r.Body)
	}
	body["auth"] = object{"type": "m.login.dummy", "session": session}
	body["inhibit_login"] = true
	c.Post(registerPath, body).OK().Equal(`{"user_id":"@alice:test.example","home_server":"test.example"}`)
	s.Login("alice", "")
}

func TestH31ASessionEnds(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	s := homeservertest.New(t, homeservertest.Options{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	body := registration("alice", homeservertest.Password)
	session := s.Client().Post(registerPath, object{"username": "alice", "password": homeservertest.Password}).String("session")
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	body["auth"] = object{"type": "m.login.dummy", "session": session}
	if r := s.Client().Post(registerPath, body); r.Status != http.StatusUnauthorized || r.String("session") == session {
		t.Errorf("a session from an hour ago: %d %s", r.Status, r.Body)
	}
}

func TestH19ClosedRegistration(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.Registration.Mode = config.RegistrationClosed
	}})
	s.Client().Post(registerPath, registration("alice", homeservertest.Password)).Refused(http.StatusForbidden, "M_FORBIDDEN")
	s.Client().Post(registerPath, object{}).Refused(http.StatusForbidden, "M_FORBIDDEN")
	s.Client().Get(registerPath+"/available?username=alice").Refused(http.StatusForbidden, "M_FORBIDDEN")
	s.Client().Post(loginPath, passwordLogin("alice", homeservertest.Password)).Refused(http.StatusForbidden, "M_FORBIDDEN")
}

func TestH19ThereAreNoGuests(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Client().Post(registerPath+"?kind=guest", object{}).Refused(http.StatusForbidden, "M_FORBIDDEN")
	if who := s.Register("alice").Get(whoamiPath).OK(); who.Value("is_guest") != false {
		t.Errorf("answer %s", who.Body)
	}
	s.Client().Get("/_matrix/client/v3/sync").Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
}

func TestRegistrationWithAToken(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("first\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.Registration = config.Registration{Mode: config.RegistrationToken, TokenFile: tokens}
	}})
	body := registration("alice", homeservertest.Password)
	s.Client().Post(registerPath, body).Refused(http.StatusUnauthorized, "M_UNRECOGNIZED")
	for _, wrong := range []string{"", "third", "First", "first\nsecond"} {
		body["auth"] = object{"type": "m.login.registration_token", "token": wrong}
		s.Client().Post(registerPath, body).Refused(http.StatusUnauthorized, "M_FORBIDDEN")
	}
	body["auth"] = object{"type": "m.login.registration_token", "token": "second"}
	s.Client().Post(registerPath, body).OK()
}

func TestH25ATokenEndsWithLogoutAndSoDoesAHangingSync(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		s.Register("alice")
		phone := s.Login("alice", "PHONE")
		since := phone.Get("/_matrix/client/v3/sync").OK().String("next_batch")
		hanging := make(chan *homeservertest.Response, 1)
		go func() {
			r, err := phone.Try(t.Context(), "GET", "/_matrix/client/v3/sync?timeout=60000&since="+since, nil)
			if err != nil {
				t.Error(err)
			}
			hanging <- r
		}()
		phone.Post("/_matrix/client/v3/logout", nil).OK()
		if r := <-hanging; r != nil {
			r.Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
		}
		phone.Get("/_matrix/client/v3/sync").Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	})
}

func TestALogoutReachesTheOtherReplica(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Postgres: true})
	other := s.Replica()
	alice := s.Register("alice")
	there := other.Client()
	there.AccessToken = alice.AccessToken
	there.Get(whoamiPath).OK() // cached there now
	alice.Post("/_matrix/client/v3/logout", nil).OK()
	for deadline := time.Now().Add(time.Minute); there.Get(whoamiPath).Status == http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("the other replica still takes the token")
		}
	}
	there.Get(whoamiPath).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
}

func TestAdminsAreCreatedAtStart(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(homeservertest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.Registration.Mode = config.RegistrationClosed
		c.Admins = []config.Admin{{Localpart: "root", PasswordFile: password}}
	}})
	c := s.Login("root", "PHONE")
	if err := os.WriteFile(password, []byte("changed afterwards"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	c.Get(whoamiPath).OK()
	s.Login("root", "") // with the old password: the file is read only once
}

func TestAnAccountIsGuessedAtSlowlyFromManyAddresses(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.RateLimits.Disabled = false
		c.RateLimits.Login = config.RateLimit{PerSecond: 0.001, Burst: 3}
		c.Listen.TrustedProxies = []string{"127.0.0.0/8"}
	}})
	for i := range 6 {
		c := s.Client()
		c.Header = http.Header{"X-Forwarded-For": {fmt.Sprintf("198.51.100.%d", i)}}
		r := c.Post(loginPath, passwordLogin("alice", "guessguess"))
		if i < 3 {
			r.Refused(http.StatusForbidden, "M_FORBIDDEN")
		} else {
			r.Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
		}
	}
}

func TestAPasswordIsGuessedAtSlowlyByInteractiveAuthentication(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.RateLimits.Disabled = false
		c.RateLimits.Login = config.RateLimit{PerSecond: 0.001, Burst: 3}
	}})
	alice := s.Register("alice")
	devices := "/_matrix/client/v3/devices/"
	for i := range 6 {
		session := alice.Do("DELETE", devices+"OTHER", object{}).String("session") // asking what to do costs nothing
		r := alice.Do("DELETE", devices+"OTHER", object{"auth": byPassword(alice, session, "guessguess")})
		if i < 3 {
			r.Refused(http.StatusUnauthorized, "M_FORBIDDEN")
		} else {
			r.Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
		}
	}
}

func TestRegistrationsAreLimited(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.RateLimits.Disabled = false
		c.RateLimits.Registration = config.RateLimit{PerSecond: 0.001, Burst: 1}
	}})
	s.Client().Post(registerPath, registration("alice", "short")).Refused(http.StatusBadRequest, "M_WEAK_PASSWORD")
	s.Client().Post(registerPath, registration("alice", homeservertest.Password)).OK()
	s.Client().Post(registerPath, registration("bob", homeservertest.Password)).Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
}
