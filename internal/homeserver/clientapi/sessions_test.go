// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const (
	refreshPath  = clientV3 + "/refresh"
	getTokenPath = "/_matrix/client/v1/login/get_token"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

// Now returns the time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// holding returns a client with an access token.
func holding(s *homeservertest.Server, token string) *homeservertest.Client {
	c := s.Client()
	c.AccessToken = token
	return c
}

// refreshableLogin signs alice in and returns both tokens.
func refreshableLogin(s *homeservertest.Server, device string) (access, refresh string) {
	body := passwordLogin("alice", homeservertest.Password)
	body["refresh_token"], body["device_id"] = true, device
	r := s.Client().Post(loginPath, body).OK()
	return r.String("access_token"), r.String("refresh_token")
}

func refreshed(s *homeservertest.Server, token string) (access, refresh string) {
	r := s.Client().Post(refreshPath, object{"refresh_token": token}).OK()
	return r.String("access_token"), r.String("refresh_token")
}

func TestH24ARefreshTokenThatIsUsedAgainEndsItsSession(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		access, refresh := refreshableLogin(s, "PHONE")
		next, nextRefresh := refreshed(s, refresh)
		holding(s, next).Get(whoamiPath).OK()
		holding(s, access).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")

		again := s.Client().Post(refreshPath, object{"refresh_token": refresh}).Refused(401, "M_UNKNOWN_TOKEN")
		if again.Value("soft_logout") != true {
			t.Errorf("answer %s, want soft_logout", again.Body)
		}
		holding(s, next).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")
		s.Client().Post(refreshPath, object{"refresh_token": nextRefresh}).Refused(401, "M_UNKNOWN_TOKEN")

		alice.Get(clientV3 + "/devices/PHONE").OK() // with its keys, for the next sign-in
		access, _ = refreshableLogin(s, "PHONE")
		holding(s, access).Get(whoamiPath).OK()
	})
}

func TestALostAnswerToARefreshCostsNothing(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		s.Register("alice")
		access, refresh := refreshableLogin(s, "PHONE")
		lost, _ := refreshed(s, refresh)
		holding(s, access).Get(whoamiPath).OK() // the old one goes on meanwhile
		next, nextRefresh := refreshed(s, refresh)
		holding(s, lost).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")
		holding(s, next).Get(whoamiPath).OK()
		s.Restart()
		// A refresh token counts as used when its successor is, not only its access token.
		third, thirdRefresh := refreshed(s, nextRefresh)
		fourth, _ := refreshed(s, thirdRefresh)
		holding(s, third).Get(whoamiPath).OK() // a request that was under way
		holding(s, fourth).Get(whoamiPath).OK()
		holding(s, third).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")
	})
}

func TestRefreshTokensThatAreNone(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice")
	access, refresh := refreshableLogin(s, "PHONE")
	holding(s, access).Post(clientV3+"/logout", nil).OK()
	for name, test := range map[string]struct {
		body   object
		status int
		code   string
	}{
		"one of a session that was signed out": {object{"refresh_token": refresh}, 401, "M_UNKNOWN_TOKEN"},
		"one that never was":                   {object{"refresh_token": "foyer_x"}, 401, "M_UNKNOWN_TOKEN"},
		"an access token":                      {object{"refresh_token": access}, 401, "M_UNKNOWN_TOKEN"},
		"none":                                 {object{}, 400, "M_MISSING_PARAM"},
		"a number":                             {object{"refresh_token": 5}, 400, "M_BAD_JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Client().With(t).Post(refreshPath, test.body).Refused(test.status, test.code)
		})
	}
}

func TestAccessTokensEndOnlyForThoseWhoCanRefreshThem(t *testing.T) {
	clock := newClock()
	s := homeservertest.New(t, homeservertest.Options{Now: clock.Now})
	plain := s.Register("alice")
	body := registration("bob", homeservertest.Password)
	body["refresh_token"] = true
	r := s.Client().Post(registerPath, body).OK()
	if got := r.Value("expires_in_ms"); got != float64(30*60*1000) {
		t.Errorf("expires_in_ms %v, want half an hour", got)
	}
	bob := holding(s, r.String("access_token"))
	bob.Get(whoamiPath).OK()
	clock.advance(30 * time.Minute)
	if got := bob.Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN"); got.Value("soft_logout") != true {
		t.Errorf("answer %s, want soft_logout", got.Body)
	}
	next, _ := refreshed(s, r.String("refresh_token"))
	holding(s, next).Get(whoamiPath).OK()
	clock.advance(365 * 24 * time.Hour)
	plain.Get(whoamiPath).OK()
}

func TestRefreshesAtOnceLeaveOneSession(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		s.Register("alice")
		_, refresh := refreshableLogin(s, "PHONE")
		var wait sync.WaitGroup
		tokens := make([]string, 10)
		for i := range tokens {
			wait.Go(func() {
				tokens[i] = s.Client().Post(refreshPath, object{"refresh_token": refresh}).OK().String("access_token")
			})
		}
		wait.Wait()
		alive := 0
		for _, token := range tokens {
			if holding(s, token).Get(whoamiPath).Status == http.StatusOK {
				alive++
			}
		}
		if alive != 1 {
			t.Errorf("%d of the access tokens work, want the last one only", alive)
		}
	})
}

func TestALoginTokenSignsInOnce(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		s.Client().Get(loginPath).OK().Equal(`{"flows":[{"type":"m.login.password"},{"type":"m.login.token","get_login_token":true}]}`)
		s.Client().Post(getTokenPath, object{}).Refused(401, "M_MISSING_TOKEN")
		first := alice.Post(getTokenPath, object{})
		session := first.String("session")
		if first.Status != 401 || session == "" || first.Value("flows") == nil {
			t.Fatalf("answer %d %s, want 401 with flows", first.Status, first.Body)
		}
		alice.Post(getTokenPath, object{"auth": byPassword(bob, session, homeservertest.Password)}).Refused(401, "M_FORBIDDEN")
		r := alice.Post(getTokenPath, object{"auth": byPassword(alice, session, homeservertest.Password)}).OK()
		if r.Value("expires_in_ms") != float64(120_000) {
			t.Errorf("answer %s", r.Body)
		}
		login := object{"type": "m.login.token", "token": r.String("login_token"), "device_id": "NEW"}
		servers := []*homeservertest.Server{s}
		if s.Config.Database.URL != "" {
			servers = append(servers, s.Replica())
		}
		var wait sync.WaitGroup
		answers := make([]*homeservertest.Response, 10)
		for i := range answers {
			wait.Go(func() { answers[i] = servers[i%len(servers)].Client().Post(loginPath, login) })
		}
		wait.Wait()
		signedIn := 0
		for _, a := range answers {
			if a.Status == http.StatusOK && a.String("user_id") == alice.UserID {
				signedIn++
				continue
			}
			a.Refused(403, "M_FORBIDDEN")
		}
		if signedIn != 1 {
			t.Errorf("signed in %d times", signedIn)
		}
		s.Client().Post(loginPath, object{"type": "m.login.token"}).Refused(400, "M_MISSING_PARAM")
	})
}

func newLoginToken(c *homeservertest.Client) object {
	session := c.Post(getTokenPath, object{}).String("session")
	r := c.Post(getTokenPath, object{"auth": byPassword(c, session, homeservertest.Password)}).OK()
	return object{"type": "m.login.token", "token": r.String("login_token")}
}

func TestLoginTokensEnd(t *testing.T) {
	clock := newClock()
	s := homeservertest.New(t, homeservertest.Options{Now: clock.Now})
	alice := s.Register("alice")
	late := newLoginToken(alice)
	clock.advance(2 * time.Minute)
	s.Client().Post(loginPath, late).Refused(403, "M_FORBIDDEN")
	s.Client().Post(loginPath, newLoginToken(alice)).OK()

	old := newLoginToken(alice)
	confirmed(alice, "POST", "/account/password", object{"new_password": homeservertest.Password + "!", "logout_devices": false}).OK()
	s.Client().Post(loginPath, old).Refused(403, "M_FORBIDDEN")
}

func TestH14ALoginTokenOfADeactivatedUser(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		access, refresh := refreshableLogin(s, "PHONE")
		token := newLoginToken(alice)
		confirmed(alice, "POST", "/account/deactivate", object{}).OK()
		s.Client().Post(loginPath, token).Refused(403, "M_USER_DEACTIVATED")
		s.Client().Post(refreshPath, object{"refresh_token": refresh}).Refused(401, "M_UNKNOWN_TOKEN")
		holding(s, access).Get(whoamiPath).Refused(401, "M_UNKNOWN_TOKEN")
	})
}
