// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const whoami = "/_matrix/client/v3/account/whoami"

// eventually fails the test unless ok becomes true within a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// mountedConfig writes a configuration as a mounted Secret has it: the file is
// a link into a directory that is a link, which is swapped for each version.
func mountedConfig(t *testing.T) (path string, write func(text string)) {
	t.Helper()
	dir := t.TempDir()
	version := 0
	write = func(text string) {
		t.Helper()
		version++
		data := filepath.Join(dir, "..v"+string(rune('0'+version)))
		link := filepath.Join(dir, "..tmp")
		for _, err := range []error{
			os.Mkdir(data, 0o700),
			os.WriteFile(filepath.Join(data, "config.yaml"), []byte(text), 0o600),
			os.Symlink(filepath.Base(data), link),
			os.Rename(link, filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	path = filepath.Join(dir, "config.yaml")
	write("{}")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), path); err != nil {
		t.Fatal(err)
	}
	return path, write
}

func TestRateLimitsReload(t *testing.T) {
	path, write := mountedConfig(t)
	s := homeservertest.New(t, homeservertest.Options{ConfigFile: path, Configure: func(c *config.Config) {
		c.RateLimits.Disabled = false
		c.RateLimits.Login = config.RateLimit{PerSecond: 0.0001, Burst: 1}
	}})
	login := func() int {
		return s.Client().Post("/_matrix/client/v3/login", `{"type":"x"}`).Status
	}
	login()
	if got := login(); got != http.StatusTooManyRequests {
		t.Fatalf("status %d before the limit was lifted", got)
	}
	write("rateLimits: {login: {perSecond: -1}}")
	eventually(t, "the new limit", func() bool { return login() == http.StatusBadRequest })
	write("logLevel: warn\nrateLimits: {login: {perSecond: 0.0001, burst: 1}}")
	eventually(t, "the limit put back", func() bool { return login() == http.StatusTooManyRequests })
}

func TestAStopAnswersLongPolls(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	since := alice.Get("/_matrix/client/v3/sync").OK().String("next_batch")
	answer := make(chan *homeservertest.Response, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		r, err := alice.Try(t.Context(), "GET", "/_matrix/client/v3/sync?timeout=600000&since="+since, nil)
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	<-started
	eventually(t, "the long poll", func() bool {
		return strings.Contains(string(s.Client().Get("/metrics").Body), `foyer_http_requests_in_flight{listener="client"} 2`)
	})
	s.Stop()
	if r := <-answer; r != nil {
		if got := r.OK().String("next_batch"); got != since {
			t.Errorf("next_batch %q, want %q", got, since)
		}
	}
	s.Start()
	alice.Get(whoami).OK()
}

func TestHealthAndMetricsHaveTheirOwnListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	internal := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) { c.Listen.Internal = internal }})
	alice := s.Register("alice")
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		s.Client().Get(path).Refused(http.StatusNotFound, "M_UNRECOGNIZED")
		res, err := http.Get("http://" + internal + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", path, res.StatusCode)
		}
	}
	alice.Get(whoami).OK()
}

func TestMetricsCountByRouteAndHoldNoSecret(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	alice.Get("/_matrix/client/v3/profile/{user}").OK()
	s.Client().Do("BREW", "/x/"+alice.AccessToken, nil)
	text := string(s.Client().Get("/metrics").OK().Body)
	for _, want := range []string{
		`foyer_http_requests_total{listener="client",method="GET",route="/_matrix/client/v3/profile/{userId}",status="200"} 1`,
		`foyer_http_requests_total{listener="client",method="",route="",status="404"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, secret := range []string{alice.AccessToken, "@alice", "BREW"} {
		if strings.Contains(text, secret) {
			t.Errorf("metrics hold %q", secret)
		}
	}
}

func TestTheServerKeyIsPublishedAndKept(t *testing.T) {
	federation, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := federation.Addr().String()
	if err := federation.Close(); err != nil {
		t.Fatal(err)
	}
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) { c.Listen.Federation = address }})
	keys := func() (id, key string) {
		c := s.Client()
		s.URL = "http://" + address
		r := c.Get("/_matrix/key/v2/server").OK()
		verify, _ := r.Value("verify_keys").(map[string]any)
		for id, k := range verify {
			key, _ := k.(map[string]any)["key"].(string)
			public, err := base64.RawStdEncoding.DecodeString(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := event.VerifyJSON(r.Body, homeservertest.ServerName, id, ed25519.PublicKey(public)); err != nil {
				t.Error(err)
			}
			return id, key
		}
		t.Fatalf("no key in %s", r.Body)
		return "", ""
	}
	id, key := keys()
	s.Restart()
	if id2, key2 := keys(); id2 != id || key2 != key {
		t.Errorf("key %s %s became %s %s", id, key, id2, key2)
	}
}

// try starts a server that is expected not to start.
func try(t *testing.T, c config.Config) error {
	t.Helper()
	c.Complete()
	s, err := homeserver.New(t.Context(), homeserver.Options{Config: c})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	return s.Run(ctx)
}

func TestFailuresAtStartHaveAReason(t *testing.T) {
	running := homeservertest.New(t, homeservertest.Options{})
	stopped := homeservertest.New(t, homeservertest.Options{})
	stopped.Stop()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	zeros := "ed25519 a1 " + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	for _, test := range []struct {
		name   string
		change func(c *config.Config)
		reason string
	}{
		{"the directory is in use", func(c *config.Config) { *c = running.Config }, "Locked"},
		{"another server's data", func(c *config.Config) { *c = stopped.Config; c.ServerName = "other.example" }, "ServerNameMismatch"},
		{"no Postgres there", func(c *config.Config) { c.Database.URL = "postgres://127.0.0.1:1/x" }, "DatabaseUnreachable"},
		{"an address that is taken", func(c *config.Config) { c.Listen.Client = running.Config.Listen.Client }, "ConfigInvalid"},
		{"a token file that is missing", func(c *config.Config) {
			c.Registration = config.Registration{Mode: config.RegistrationToken, TokenFile: "/nowhere"}
		}, "ConfigInvalid"},
		{"an empty token file", func(c *config.Config) {
			c.Registration = config.Registration{Mode: config.RegistrationToken, TokenFile: file("\n")}
		}, "ConfigInvalid"},
		{"a shared secret that is missing", func(c *config.Config) { c.Registration.SharedSecretFile = "/nowhere" }, "ConfigInvalid"},
		{"an empty shared secret", func(c *config.Config) { c.Registration.SharedSecretFile = file(" \n") }, "ConfigInvalid"},
		{"no secret of the TURN servers", func(c *config.Config) {
			c.Turn = config.Turn{URIs: []string{"turn:a"}, SharedSecretFile: "/nowhere"}
		}, "ConfigInvalid"},
		{"an empty secret of the TURN servers", func(c *config.Config) {
			c.Turn = config.Turn{URIs: []string{"turn:a"}, SharedSecretFile: file("\n")}
		}, "ConfigInvalid"},
		{"no database URL file", func(c *config.Config) { c.Database.URLFile = "/nowhere" }, "ConfigInvalid"},
		{"an administrator without a password file", func(c *config.Config) {
			c.Admins = []config.Admin{{Localpart: "root", PasswordFile: "/nowhere"}}
		}, "ConfigInvalid"},
		{"a mounted key that is missing", func(c *config.Config) { c.SigningKeyFile = "/nowhere/key" }, "SigningKeyInvalid"},
		{"a key that is garbage", func(c *config.Config) { c.SigningKeyFile = file("garbage") }, "SigningKeyInvalid"},
		{"a key that is too short", func(c *config.Config) { c.SigningKeyFile = file("ed25519 a1 AAAA") }, "SigningKeyInvalid"},
		{"a key that everybody knows", func(c *config.Config) { c.SigningKeyFile = file(zeros) }, "SigningKeyInvalid"},
		{"a key of another kind", func(c *config.Config) { c.SigningKeyFile = file("rsa a1 AAAA") }, "SigningKeyInvalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Default()
			c.ServerName, c.DataDir, c.Listen.Client = homeservertest.ServerName, t.TempDir(), "127.0.0.1:0"
			test.change(&c)
			err := try(t, c)
			if err == nil {
				t.Fatal("the server started")
			}
			if reason, _ := homeserver.Reason(err); reason != test.reason {
				t.Errorf("reason %q, want %q: %v", reason, test.reason, err)
			}
		})
	}
}

func TestKeysDifferAndABadOneIsNotReplaced(t *testing.T) {
	first, second := homeservertest.New(t, homeservertest.Options{}), homeservertest.New(t, homeservertest.Options{})
	one, err := os.ReadFile(first.Config.SigningKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(second.Config.SigningKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(one) == string(two) {
		t.Error("two servers made the same key")
	}
	if info, err := os.Stat(first.Config.SigningKeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file mode %v (%v)", info.Mode(), err)
	}
	first.Stop()
	if err := os.WriteFile(first.Config.SigningKeyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(t, first.Config); err == nil {
		t.Error("the server started with a broken key")
	}
	if text, err := os.ReadFile(first.Config.SigningKeyFile); err != nil || string(text) != "broken" {
		t.Errorf("the broken key was replaced by %q (%v)", text, err)
	}
}

func TestWellKnown(t *testing.T) {
	off := homeservertest.New(t, homeservertest.Options{})
	off.Client().Get("/.well-known/matrix/client").Refused(http.StatusNotFound, "M_UNRECOGNIZED")
	on := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.WellKnown = config.WellKnown{Enabled: true, Server: "matrix.test.example:443"}
	}})
	on.Client().Get("/.well-known/matrix/client").OK().Equal(`{"m.homeserver":{"base_url":"` + on.URL + `"}}`)
	on.Client().Get("/.well-known/matrix/server").OK().Equal(`{"m.server":"matrix.test.example:443"}`)
}
