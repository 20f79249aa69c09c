// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

const password = "correct horse battery"

// fixture is a service on SQLite with a clock that tests move.
type fixture struct {
	*accounts.Service
	store *store.Store
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{store: storetest.SQLite(t), now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return f.now }
	f.Service = accounts.New(accounts.Options{
		Store: f.store, Changes: f.store.Log(), ServerName: storetest.ServerName, Registration: config.RegistrationOpen,
		Limiter: httpapi.NewLimiter(config.RateLimits{Disabled: true}, clock),
		Secret:  []byte("secret"), Log: slog.New(slog.DiscardHandler), Now: clock,
	})
	storetest.Start(context.Background(), t, f.store)
	return f
}

func (f *fixture) register(t *testing.T, name string) *accounts.Session {
	t.Helper()
	s, err := f.Register(t.Context(), accounts.Registration{Localpart: &name, Password: password, Auth: &accounts.Auth{Type: "m.login.dummy"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hash is what the store keeps of a token.
func hash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

func TestConfirmIsBoundToUserAndOperation(t *testing.T) {
	f := newFixture(t)
	alice, bob := f.register(t, "alice").UserID, f.register(t, "bob").UserID
	sessionOf := func(err error) string {
		t.Helper()
		var e *matrixerr.Error
		if !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			t.Fatalf("error %v, want a challenge", err)
		}
		s, _ := e.Fields["session"].(string)
		return s
	}
	auth := func(session, user, password string) json.RawMessage {
		text, err := json.Marshal(map[string]any{
			"type": "m.login.password", "session": session, "password": password,
			"identifier": map[string]string{"type": "m.id.user", "user": user},
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	session := sessionOf(f.Confirm(t.Context(), alice, "reset", nil))
	for _, test := range []struct {
		name, code string
		err        error
		same       bool // the session goes on
	}{
		{"a wrong password", "M_FORBIDDEN", f.Confirm(t.Context(), alice, "reset", auth(session, "alice", "wrong password")), true},
		{"H29 another user's password", "M_FORBIDDEN", f.Confirm(t.Context(), alice, "reset", auth(session, "bob", password)), true},
		{"H29 a stage that is not offered", "M_UNRECOGNIZED", f.Confirm(t.Context(), alice, "reset", json.RawMessage(`{"type":"m.login.dummy","session":"`+session+`"}`)), true},
		{"H31 the session of another user", "", f.Confirm(t.Context(), bob, "reset", auth(session, "bob", password)), false},
		{"H31 the session of another operation", "", f.Confirm(t.Context(), alice, "delete", auth(session, "alice", password)), false},
		{"a session and no stage", "", f.Confirm(t.Context(), alice, "reset", json.RawMessage(`{"session":"`+session+`"}`)), true},
		{"an empty auth object", "", f.Confirm(t.Context(), alice, "reset", json.RawMessage(`{}`)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := sessionOf(test.err); (got == session) != test.same {
				t.Errorf("session %q after %q", got, session)
			}
			if !matrixerr.Is(test.err, test.code) {
				t.Errorf("error %v, want %s", test.err, test.code)
			}
		})
	}
	if err := f.Confirm(t.Context(), alice, "reset", auth(session, "@alice:test.example", password)); err != nil {
		t.Errorf("the right password: %v", err)
	}
	if err := f.Confirm(t.Context(), alice, "reset", json.RawMessage(`{"type": 5}`)); !matrixerr.Is(err, matrixerr.CodeBadJSON) {
		t.Errorf("an auth object with wrong types: %v", err)
	}
}

func TestWhoATokenBelongsTo(t *testing.T) {
	f := newFixture(t)
	create := func(name string, flags, expires int64) string {
		t.Helper()
		id := "@" + name + ":test.example"
		s := store.Session{Device: store.Device{UserID: id, DeviceID: "D"}, TokenHash: hash(name), ExpiresTS: expires}
		if err := f.store.CreateUser(t.Context(), store.NewUser{User: store.User{ID: id, Flags: flags}, Session: &s}); err != nil {
			t.Fatal(err)
		}
		return name
	}
	soon := f.now.Add(time.Minute).UnixMilli()
	create("plain", 0, 0)
	create("admin", store.UserAdmin, soon)
	create("locked", store.UserLocked, 0)
	create("suspended", store.UserSuspended, 0)
	create("gone", store.UserDeactivated, 0)
	check := func(token, code string) httpapi.Caller {
		t.Helper()
		c, err := f.Authenticate(t.Context(), token)
		if code == "" && err != nil || code != "" && !matrixerr.Is(err, code) {
			t.Errorf("%s: error %v, want %q", token, err, code)
		}
		return c
	}
	for range 2 { // from the database, then from memory
		if c := check("plain", ""); c.UserID != "@plain:test.example" || c.DeviceID != "D" || c.Admin {
			t.Errorf("caller %+v", c)
		}
		if c := check("admin", ""); !c.Admin {
			t.Errorf("caller %+v", c)
		}
		if c := check("locked", ""); !c.Locked || c.Suspended {
			t.Errorf("caller %+v", c)
		}
		if c := check("suspended", ""); !c.Suspended || c.Locked {
			t.Errorf("caller %+v", c)
		}
		check("gone", matrixerr.CodeUnknownToken)
		check("nobody", matrixerr.CodeUnknownToken)
	}
	f.now = f.now.Add(time.Minute)
	_, err := f.Authenticate(t.Context(), "admin")
	var e *matrixerr.Error
	if !errors.As(err, &e) || e.Code != matrixerr.CodeUnknownToken || e.Fields["soft_logout"] != true {
		t.Errorf("an expired token: %v", err)
	}
}

func TestH14ADeactivatedUserCannotSignIn(t *testing.T) {
	f := newFixture(t)
	encoded, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string]int64{"imported": 0, "gone": store.UserDeactivated} {
		u := store.User{ID: "@" + name + ":test.example", Password: string(encoded), Flags: flags}
		if err := f.store.CreateUser(t.Context(), store.NewUser{User: u}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Login(t.Context(), accounts.Login{User: "gone", Password: password}); !matrixerr.Is(err, matrixerr.CodeUserDeactivated) {
		t.Errorf("a deactivated user: %v", err)
	}
	if _, err := f.Login(t.Context(), accounts.Login{User: "imported", Password: password}); err != nil {
		t.Errorf("an imported bcrypt hash: %v", err)
	}
	if _, err := f.Login(t.Context(), accounts.Login{User: "imported", Password: password + "x"}); !matrixerr.Is(err, matrixerr.CodeForbidden) {
		t.Errorf("a wrong password against bcrypt: %v", err)
	}
}

func TestVisitsAreRecordedNowAndThen(t *testing.T) {
	f := newFixture(t)
	s := f.register(t, "alice")
	caller := httpapi.Caller{UserID: s.UserID, DeviceID: s.DeviceID}
	start := f.now
	for _, step := range []struct {
		after   time.Duration
		address string
		want    time.Duration // the recorded time
		wantIP  string
	}{
		{time.Minute, "192.0.2.1", time.Minute, "192.0.2.1"},
		{2 * time.Minute, "192.0.2.2", time.Minute, "192.0.2.1"},
		{7 * time.Minute, "192.0.2.3", 7 * time.Minute, "192.0.2.3"},
	} {
		f.now = start.Add(step.after)
		caller.Address = netip.MustParseAddr(step.address)
		f.Seen(caller)
		f.FlushVisits(t.Context())
		d, err := f.Device(t.Context(), s.UserID, s.DeviceID)
		if err != nil || d.LastSeenTS != start.Add(step.want).UnixMilli() || d.LastSeenIP != step.wantIP {
			t.Errorf("after %v: %+v (%v)", step.after, d, err)
		}
	}
}

func TestASignInBeyondTheLimitReplacesTheDeviceThatWasNotUsedForLongest(t *testing.T) {
	f := newFixture(t)
	first := f.register(t, "alice")
	user, err := f.store.User(t.Context(), string(first.UserID))
	if err != nil {
		t.Fatal(err)
	}
	const most = 1000
	var wait sync.WaitGroup
	for i := range most - 1 {
		d := store.Device{UserID: user.ID, DeviceID: fmt.Sprint("D", i), LastSeenTS: f.now.UnixMilli() + 1 + int64(i)}
		wait.Go(func() {
			if err := f.store.StartSession(t.Context(), store.Session{Device: d, TokenHash: hash(d.DeviceID), Password: user.Password}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	f.now = f.now.Add(time.Minute)
	login := accounts.Login{User: "alice", Password: password, Device: accounts.NewDevice{ID: "NEW"}}
	for _, want := range []string{first.DeviceID, ""} { // again: the same device, which replaces none
		if _, err := f.Login(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		devices, err := f.Devices(t.Context(), first.UserID)
		if err != nil || len(devices) != most {
			t.Errorf("%d devices (%v), want %d", len(devices), err, most)
		}
		if want != "" {
			_, err := f.Device(t.Context(), first.UserID, want)
			if !matrixerr.Is(err, matrixerr.CodeNotFound) {
				t.Errorf("the oldest device: %v, want that it is gone", err)
			}
		}
		if _, err := f.Device(t.Context(), first.UserID, "D0"); err != nil {
			t.Errorf("the second oldest device: %v", err)
		}
	}
}
