// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const openIDPath = "/_matrix/client/v3/user/{user}/openid/request_token"

// federated adds a federation listener to a server, and returns a function
// that makes a client talk to it.
func federated(t *testing.T, o *homeservertest.Options) func(*homeservertest.Server) *homeservertest.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	o.Configure = func(c *config.Config) { c.Listen.Federation = address }
	return func(s *homeservertest.Server) *homeservertest.Client {
		elsewhere := *s
		elsewhere.URL = "http://" + address
		return elsewhere.Client()
	}
}

func TestOpenIDTokensSayWhoTheirUserIs(t *testing.T) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64
			o := homeservertest.Options{Postgres: postgres, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
			dial := federated(t, &o)
			s := homeservertest.New(t, o)
			alice, service := s.Register("alice"), dial(s)
			request := func(c *homeservertest.Client) string {
				return c.Post(openIDPath, map[string]any{}).OK().String("access_token")
			}
			userInfo := func(token string) *homeservertest.Response {
				return service.Get("/_matrix/federation/v1/openid/userinfo?access_token=" + url.QueryEscape(token))
			}
			r := alice.Post(openIDPath, map[string]any{}).OK()
			if r.String("token_type") != "Bearer" || r.String("matrix_server_name") != homeservertest.ServerName || r.Value("expires_in") != 3600. {
				t.Errorf("answer %s", r.Body)
			}
			token := r.String("access_token")
			userInfo(token).OK().Equal(`{"sub":"@alice:test.example"}`)
			userInfo(token).OK()
			t.Run("it is good for nothing else", func(t *testing.T) {
				thief := s.Client().With(t)
				thief.AccessToken = token
				thief.Get(whoami).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
				userInfo(alice.AccessToken).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
			})
			t.Run("H97 unknown, missing and expired tokens", func(t *testing.T) {
				userInfo("unknown").Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
				userInfo("").Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
				later.Add(int64(time.Hour))
				userInfo(token).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
			})
			t.Run("it ends with its device", func(t *testing.T) {
				phone := s.Login("alice", "PHONE").With(t)
				first, second := request(phone), request(alice)
				phone.Post("/_matrix/client/v3/logout", nil).OK()
				userInfo(first).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
				userInfo(second).OK()
			})
			t.Run("only so many at a time", func(t *testing.T) {
				bob := s.Register("bob").With(t)
				for range 100 {
					request(bob)
				}
				bob.Post(openIDPath, map[string]any{}).Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
				later.Add(int64(time.Hour))
				request(bob)
			})
		})
	}
}

func TestOpenIDTokensCountForNothingWhileTheirUserIsLocked(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(homeservertest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	var o homeservertest.Options
	dial := federated(t, &o)
	listen := o.Configure
	o.Configure = func(c *config.Config) {
		listen(c)
		c.Admins = []config.Admin{{Localpart: "root", PasswordFile: password}}
	}
	s := homeservertest.New(t, o)
	root, alice, service := s.Login("root", ""), s.Register("alice"), dial(s)
	userInfo := "/_matrix/federation/v1/openid/userinfo?access_token=" +
		url.QueryEscape(alice.Post(openIDPath, map[string]any{}).OK().String("access_token"))
	lock := func(locked bool) {
		root.Put("/_matrix/client/v1/admin/lock/@alice:test.example", map[string]any{"locked": locked}).OK()
	}
	service.Get(userInfo).OK()
	lock(true)
	service.Get(userInfo).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	lock(false)
	service.Get(userInfo).OK()
	alice.Post("/_matrix/client/v3/account/deactivate", map[string]any{"auth": map[string]any{
		"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": "alice"}, "password": homeservertest.Password,
	}}).OK()
	service.Get(userInfo).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
}

func TestOpenIDTokensAreForOneself(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	other := "/_matrix/client/v3/user/@bob:test.example/openid/request_token"
	alice.Post(other, map[string]any{}).Refused(http.StatusForbidden, "M_FORBIDDEN")
	s.Client().Post(other, map[string]any{}).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
}

func TestOpenIDTokensAreNotStored(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	token := s.Register("alice").Post(openIDPath, map[string]any{}).OK().String("access_token")
	s.Stop()
	entries, err := os.ReadDir(s.Config.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.Config.DataDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(token)) {
			t.Errorf("%s holds the token", e.Name())
		}
		if bytes.Contains(content, []byte("openid_tokens")) {
			read++
		}
	}
	if read == 0 {
		t.Error("the database was not among the files")
	}
}
