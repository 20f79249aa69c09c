// SPDX-License-Identifier: Apache-2.0

package adminapi_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
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

type object = homeservertest.Object

const (
	secret       = "s3cr3t"
	registerPath = "/_synapse/admin/v1/register"
	whoamiPath   = "/_matrix/client/v3/account/whoami"
	tokensPath   = "/_synapse/admin/v1/registration_tokens"
)

// options are those of a server that is closed but for the shared secret.
func options(t *testing.T, mode config.RegistrationMode) homeservertest.Options {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": secret + "\n", "tokens": "configured"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return homeservertest.Options{Configure: func(c *config.Config) {
		c.Registration = config.Registration{Mode: mode, SharedSecretFile: filepath.Join(dir, "secret"), TokenFile: filepath.Join(dir, "tokens")}
	}}
}

func sign(body object, key string) object {
	role := "notadmin"
	if body["admin"] == true {
		role = "admin"
	}
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", body["nonce"], body["username"], body["password"], role))
	body["mac"] = hex.EncodeToString(mac.Sum(nil))
	return body
}

func request(s *homeservertest.Server, name string) object {
	return object{
		"nonce": s.Client().Get(registerPath).OK().String("nonce"), "username": name, "password": homeservertest.Password,
	}
}

// admin registers an administrator by the shared secret.
func admin(s *homeservertest.Server) *homeservertest.Client {
	body := request(s, "root")
	body["admin"] = true
	c := s.Client()
	c.AccessToken = s.Client().Post(registerPath, sign(body, secret)).OK().String("access_token")
	return c
}

func TestRegistrationBySharedSecret(t *testing.T) {
	homeservertest.Each(t, options(t, config.RegistrationClosed), func(t *testing.T, s *homeservertest.Server) {
		admin(s).Get(tokensPath).OK()
		body := request(s, "Bob")
		body["displayname"] = "Robert"
		r := s.Client().Post(registerPath, sign(body, secret)).OK()
		if r.String("user_id") != "@bob:test.example" || r.String("home_server") != "test.example" || r.String("device_id") == "" {
			t.Errorf("answer %s", r.Body)
		}
		bob := s.Client()
		bob.AccessToken = r.String("access_token")
		bob.Get(whoamiPath).OK()
		bob.Get(tokensPath).Refused(403, "M_FORBIDDEN")
		s.Client().Get("/_matrix/client/v3/profile/@bob:test.example/displayname").OK().Equal(`{"displayname":"Robert"}`)
		s.Login("bob", "")

		quiet := request(s, "quiet")
		quiet["inhibit_login"] = true
		s.Client().Post(registerPath, sign(quiet, secret)).OK().Equal(`{"user_id":"@quiet:test.example","home_server":"test.example"}`)
	})
}

func TestH22AndH23RegistrationsBySharedSecretThatAreRefused(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	o := options(t, config.RegistrationClosed)
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		s.Client().Post(registerPath, sign(request(s, "first"), secret)).OK()
		change := func(name string, value any) object {
			body := request(s, "second")
			body[name] = value
			return body
		}
		old := sign(request(s, "second"), secret)
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
		used := sign(request(s, "third"), secret)
		s.Client().Post(registerPath, used).OK()
		again := sign(change("nonce", used["nonce"]), secret)
		flipped := sign(request(s, "second"), secret)
		flipped["admin"] = true
		for _, test := range []struct {
			name   string
			body   object
			status int
			code   string
		}{
			{"H22 a nonce that was used", again, 400, "M_UNKNOWN"},
			{"H22 a nonce of a minute ago", old, 400, "M_UNKNOWN"},
			{"H22 a nonce that is none", sign(change("nonce", "abc"), secret), 400, "M_UNKNOWN"},
			{"H22 NUL in the name", sign(change("username", "a\x00b"), secret), 400, "M_UNKNOWN"},
			{"H22 NUL in the password", sign(change("password", "longenough\x00admin"), secret), 400, "M_UNKNOWN"},
			{"a name that is too long", sign(change("username", strings.Repeat("a", 513)), secret), 400, "M_UNKNOWN"},
			{"H23 the administrator flag flipped", flipped, 403, "M_FORBIDDEN"},
			{"H23 a wrong secret", sign(request(s, "second"), "other"), 403, "M_FORBIDDEN"},
			{"H23 no HMAC at all", change("mac", ""), 403, "M_FORBIDDEN"},
			{"H23 what is no HMAC", change("mac", "zz"), 403, "M_FORBIDDEN"},
			{"a display name that is too long", sign(change("displayname", strings.Repeat("a", 1001)), secret), 400, "M_INVALID_PARAM"},
			{"a type of user", sign(change("user_type", "bot"), secret), 400, "M_UNKNOWN"},
			{"a name that is taken", sign(request(s, "first"), secret), 400, "M_USER_IN_USE"},
			{"a name that cannot be", sign(request(s, "a!"), secret), 400, "M_INVALID_USERNAME"},
			{"a weak password", sign(change("password", "short"), secret), 400, "M_WEAK_PASSWORD"},
			{"nothing", object{}, 400, "M_MISSING_PARAM"},
		} {
			t.Run(test.name, func(t *testing.T) {
				s.Client().With(t).Post(registerPath, test.body).Refused(test.status, test.code)
			})
		}
		s.Client().Post("/_matrix/client/v3/login", object{
			"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "second"}, "password": homeservertest.Password,
		}).Refused(403, "M_FORBIDDEN")
	})
}

func TestH22ANonceMakesOneAccountHoweverManyShowItAtOnce(t *testing.T) {
	homeservertest.Each(t, options(t, config.RegistrationClosed), func(t *testing.T, s *homeservertest.Server) {
		nonce := s.Client().Get(registerPath).OK().String("nonce")
		var wait sync.WaitGroup
		answers := make([]*homeservertest.Response, 10)
		for i := range answers {
			body := object{"nonce": nonce, "username": fmt.Sprint("user", i), "password": homeservertest.Password}
			wait.Go(func() { answers[i] = s.Client().Post(registerPath, sign(body, secret)) })
		}
		wait.Wait()
		made := 0
		for _, a := range answers {
			if a.Status == http.StatusOK {
				made++
				continue
			}
			a.Refused(400, "M_UNKNOWN")
		}
		if made != 1 {
			t.Errorf("%d accounts, want one", made)
		}
	})
}

func TestRegistrationBySharedSecretIsNotServedWithoutOne(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Client().Get(registerPath).Refused(404, "M_UNRECOGNIZED")
	s.Client().Post(registerPath, object{}).Refused(404, "M_UNRECOGNIZED")

	o := options(t, config.RegistrationClosed)
	configure := o.Configure
	o.Configure = func(c *config.Config) { configure(c); c.Listen.Internal = "127.0.0.1:0" }
	s = homeservertest.New(t, o)
	s.Client().Get(registerPath).Refused(404, "M_UNRECOGNIZED") // clients do not see what is internal
}

func registration(name, token string) object {
	return object{
		"username": name, "password": homeservertest.Password,
		"auth": object{"type": "m.login.registration_token", "token": token},
	}
}

func TestH20ARegistrationTokenForOneMakesOneAccount(t *testing.T) {
	homeservertest.Each(t, options(t, config.RegistrationToken), func(t *testing.T, s *homeservertest.Server) {
		root := admin(s)
		root.Post(tokensPath+"/new", object{"token": "one", "uses_allowed": 1}).OK().
			Equal(`{"token":"one","uses_allowed":1,"pending":0,"completed":0,"expiry_time":null}`)
		const clients = 50
		servers := []*homeservertest.Server{s}
		if s.Config.Database.URL != "" {
			servers = append(servers, s.Replica())
		}
		var wait sync.WaitGroup
		answers := make([]*homeservertest.Response, clients)
		for i := range clients {
			wait.Go(func() {
				answers[i] = servers[i%len(servers)].Client().Post("/_matrix/client/v3/register", registration(fmt.Sprint("user", i), "one"))
			})
		}
		wait.Wait()
		made := 0
		for i, a := range answers {
			name := fmt.Sprintf("@user%d:test.example", i)
			profile := s.Client().Get("/_matrix/client/v3/profile/" + name).Status
			if a.Status == http.StatusOK {
				made++
				continue
			}
			if a.Refused(401, "M_FORBIDDEN"); profile != 404 {
				t.Errorf("%s was refused and has a profile", name)
			}
		}
		if made != 1 {
			t.Errorf("%d accounts, want one", made)
		}
		root.Get(tokensPath + "/one").OK().Equal(`{"token":"one","uses_allowed":1,"pending":0,"completed":1,"expiry_time":null}`)
	})
}

func TestRegistrationTokensAreKept(t *testing.T) {
	homeservertest.Each(t, options(t, config.RegistrationToken), func(t *testing.T, s *homeservertest.Server) {
		root := admin(s)
		end := time.Now().Add(time.Hour).UnixMilli()
		root.Post(tokensPath+"/new", object{"token": "a.b_c~d-E", "expiry_time": end}).OK()
		if made := root.Post(tokensPath+"/new", object{}).OK().String("token"); len(made) != 16 {
			t.Errorf("token %q", made)
		} else {
			root.Do("DELETE", tokensPath+"/"+made, nil).OK().Equal(`{}`)
		}
		if made := root.Post(tokensPath+"/new", object{"length": 64, "uses_allowed": 0}).OK().String("token"); len(made) != 64 {
			t.Errorf("token %q", made)
		}
		count := func(query string) int {
			list, _ := root.Get(tokensPath + query).OK().Value("registration_tokens").([]any)
			return len(list)
		}
		if all, valid, invalid := count(""), count("?valid=true"), count("?valid=false"); all != 2 || valid != 1 || invalid != 1 {
			t.Errorf("%d tokens, %d valid, %d not", all, valid, invalid)
		}
		root.Put(tokensPath+"/a.b_c~d-E", object{"uses_allowed": 5}).OK().
			Equal(fmt.Sprintf(`{"token":"a.b_c~d-E","uses_allowed":5,"pending":0,"completed":0,"expiry_time":%d}`, end))
		root.Put(tokensPath+"/a.b_c~d-E", object{"uses_allowed": nil, "expiry_time": nil}).OK().
			Equal(`{"token":"a.b_c~d-E","uses_allowed":null,"pending":0,"completed":0,"expiry_time":null}`)
		for _, test := range []struct {
			name, method, path string
			body               object
			status             int
			code               string
		}{
			{"a token that exists", "POST", "/new", object{"token": "a.b_c~d-E"}, 400, "M_INVALID_PARAM"},
			{"a token with a space", "POST", "/new", object{"token": "a b"}, 400, "M_INVALID_PARAM"},
			{"an empty token", "POST", "/new", object{"token": ""}, 400, "M_INVALID_PARAM"},
			{"a token that is too long", "POST", "/new", object{"token": strings.Repeat("a", 65)}, 400, "M_INVALID_PARAM"},
			{"a length of nothing", "POST", "/new", object{"length": 0}, 400, "M_INVALID_PARAM"},
			{"a length that is too long", "POST", "/new", object{"length": 65}, 400, "M_INVALID_PARAM"},
			{"fewer uses than none", "POST", "/new", object{"uses_allowed": -1}, 400, "M_INVALID_PARAM"},
			{"an end in the past", "POST", "/new", object{"expiry_time": 1000}, 400, "M_INVALID_PARAM"},
			{"uses in words", "PUT", "/a.b_c~d-E", object{"uses_allowed": "many"}, 400, "M_INVALID_PARAM"},
			{"a change to nothing", "PUT", "/absent", object{}, 404, "M_NOT_FOUND"},
			{"a deletion of nothing", "DELETE", "/absent", nil, 404, "M_NOT_FOUND"},
			{"a look at nothing", "GET", "/absent", nil, 404, "M_NOT_FOUND"},
		} {
			t.Run(test.name, func(t *testing.T) {
				root.With(t).Do(test.method, tokensPath+test.path, test.body).Refused(test.status, test.code)
			})
		}
		s.Client().Get(tokensPath).Refused(401, "M_MISSING_TOKEN")
	})
}

func TestWhichRegistrationTokensAreValid(t *testing.T) {
	const validity = "/_matrix/client/v1/register/m.login.registration_token/validity"
	var mu sync.Mutex
	now := time.Now()
	o := options(t, config.RegistrationToken)
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s := homeservertest.New(t, o)
	root := admin(s)
	root.Post(tokensPath+"/new", object{"token": "timed", "expiry_time": now.Add(time.Hour).UnixMilli()}).OK()
	root.Post(tokensPath+"/new", object{"token": "none", "uses_allowed": 0}).OK()
	valid := func(token string) bool { return s.Client().Get(validity+"?token="+token).OK().Value("valid") == true }
	for token, want := range map[string]bool{"timed": true, "none": false, "absent": false, "a%20b": false, "configured": true, "": false} {
		if token != "" && valid(token) != want {
			t.Errorf("token %s is valid: %v, want %v", token, !want, want)
		}
	}
	s.Client().Get(validity).Refused(400, "M_MISSING_PARAM")
	s.Client().Post("/_matrix/client/v3/register", registration("alice", "configured")).OK()
	s.Client().Post("/_matrix/client/v3/register", registration("bob", "timed")).OK()
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	if valid("timed") {
		t.Error("a token is valid after its end")
	}
	s.Client().Post("/_matrix/client/v3/register", registration("carol", "timed")).Refused(401, "M_FORBIDDEN")

	o = options(t, config.RegistrationToken)
	configure := o.Configure
	o.Configure = func(c *config.Config) { configure(c); c.Registration.TokenFile = "" }
	s = homeservertest.New(t, o)
	admin(s).Post(tokensPath+"/new", object{"token": "made"}).OK()
	s.Client().Post("/_matrix/client/v3/register", registration("alice", "configured")).Refused(401, "M_FORBIDDEN")
	s.Client().Post("/_matrix/client/v3/register", registration("alice", "made")).OK()

	closed := homeservertest.New(t, options(t, config.RegistrationClosed))
	closed.Client().Get(validity+"?token=configured").Refused(403, "M_FORBIDDEN")
}

func TestH32OnlyAdministratorsAdminister(t *testing.T) {
	s := homeservertest.New(t, options(t, config.RegistrationToken))
	admin(s).Post(tokensPath+"/new", object{"token": "one"}).OK()
	user := s.Client()
	user.AccessToken = s.Client().Post("/_matrix/client/v3/register", registration("alice", "one")).OK().String("access_token")
	for _, r := range []struct {
		method, path string
		body         any
	}{
		{"GET", tokensPath, nil},
		{"POST", tokensPath + "/new", object{}},
		{"GET", tokensPath + "/one", nil},
		{"GET", tokensPath + "/absent", nil},
		{"PUT", tokensPath + "/one", object{"uses_allowed": 0}},
		{"DELETE", tokensPath + "/one", nil},
		{"GET", "/_foyer/admin/v1/deactivations", nil},
	} {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			user.With(t).Do(r.method, r.path, r.body).Refused(403, "M_FORBIDDEN")
			s.Client().With(t).Do(r.method, r.path, r.body).Refused(401, "M_MISSING_TOKEN")
		})
	}
	s.Client().Post("/_matrix/client/v3/register", registration("bob", "one")).OK() // nothing was changed
}

func TestTheStateOfDeactivationsIsShown(t *testing.T) {
	s := homeservertest.New(t, options(t, config.RegistrationClosed))
	admin(s).Get("/_foyer/admin/v1/deactivations").OK().Equal(`{"deactivations":[]}`)
}
