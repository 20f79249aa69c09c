// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// oneUser knows the tokens "user" and "admin".
type oneUser struct{ seen []Caller }

func (o *oneUser) Authenticate(_ context.Context, token string) (Caller, error) {
	if token != "user" && token != "admin" {
		return Caller{}, matrixerr.UnknownToken(false)
	}
	return Caller{UserID: event.UserID("@" + token + ":test.example"), DeviceID: "D", Admin: token == "admin"}, nil
}

func (o *oneUser) Seen(c Caller) { o.seen = append(o.seen, c) }

// harness is a router and what it logs.
type harness struct {
	router *Router
	log    *bytes.Buffer
	users  *oneUser
	hidden []error
}

func newHarness(t *testing.T, routes ...Route) *harness {
	t.Helper()
	h := &harness{log: &bytes.Buffer{}, users: &oneUser{}}
	var err error
	h.router, err = NewRouter(Options{
		Authenticator: h.users, Limiter: NewLimiter(config.RateLimits{}, time.Now),
		Log: slog.New(slog.NewJSONHandler(h.log, nil)), Metrics: prometheus.NewRegistry(),
		OnError: func(err error) { h.hidden = append(h.hidden, err) },
	}, routes)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) call(method, target, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.router.ServeHTTP(w, r)
	return w
}

func failing(err error) Handler {
	return func(http.ResponseWriter, *Request) error { return err }
}

func TestErrorsBecomeAnswers(t *testing.T) {
	secret := errors.New("secret detail")
	for _, test := range []struct {
		name   string
		err    error
		status int
		code   string
		hidden bool
	}{
		{"an error for clients", matrixerr.Forbidden("no"), 403, "M_FORBIDDEN", false},
		{"one that is wrapped", fmt.Errorf("send: %w", matrixerr.NotFound("no")), 404, "M_NOT_FOUND", false},
		{"any other error", secret, 500, "M_UNKNOWN", true},
		{"a database that is away", fmt.Errorf("%w: %w", store.ErrUnavailable, secret), 503, "M_UNKNOWN", true},
		{"a full disk", fmt.Errorf("%w: %w", store.ErrFull, secret), 507, "M_RESOURCE_LIMIT_EXCEEDED", true},
		{"a server that stops", store.ErrClosed, 503, "M_UNKNOWN", false},
		{"a request that took too long", fmt.Errorf("%w: %w", context.DeadlineExceeded, secret), 504, "M_UNKNOWN", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, Route{Method: "GET", Path: "/x", Auth: Public, Handler: failing(test.err)})
			w := h.call("GET", "/x", "")
			if w.Code != test.status || !strings.Contains(w.Body.String(), `"`+test.code+`"`) {
				t.Errorf("answer %d %s", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the client sees %s", w.Body)
			}
			if hidden := len(h.hidden) == 1; hidden != test.hidden {
				t.Errorf("hidden errors %v", h.hidden)
			}
			if n := strings.Count(h.log.String(), "request failed"); n != len(h.hidden) {
				t.Errorf("%d failures are logged: %s", n, h.log)
			}
		})
	}
}

func TestAPanicIsOneFailedRequest(t *testing.T) {
	h := newHarness(t,
		Route{Method: "GET", Path: "/early", Auth: Public, Handler: func(http.ResponseWriter, *Request) error { panic("bug") }},
		Route{Method: "GET", Path: "/late", Auth: Public, Handler: func(w http.ResponseWriter, _ *Request) error {
			if err := WriteJSON(w, http.StatusOK, Empty{}); err != nil {
				return err
			}
			panic("bug")
		}},
	)
	if w := h.call("GET", "/early", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "M_UNKNOWN") || strings.Contains(w.Body.String(), "bug") {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if w := h.call("GET", "/late", ""); w.Code != 200 || w.Body.String() != "{}" {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if n := strings.Count(h.log.String(), "panic: bug"); n != 2 {
		t.Errorf("%d panics are logged: %s", n, h.log)
	}
}

func TestAuthIsChecked(t *testing.T) {
	ok := JSON(func(_ context.Context, c Caller, _ *Empty) (*map[string]string, error) {
		return &map[string]string{"user": string(c.UserID)}, nil
	})
	h := newHarness(t,
		Route{Method: "GET", Path: "/public", Auth: Public, Handler: ok},
		Route{Method: "GET", Path: "/user", Auth: User, Handler: ok},
		Route{Method: "GET", Path: "/admin", Auth: Admin, Handler: ok},
	)
	for _, test := range []struct {
		path, token string
		status      int
		want        string
	}{
		{"/public", "", 200, `{"user":""}`},
		{"/public", "bad", 200, `{"user":""}`},
		{"/user", "", 401, "M_MISSING_TOKEN"},
		{"/user", "bad", 401, "M_UNKNOWN_TOKEN"},
		{"/user", "user", 200, `{"user":"@user:test.example"}`},
		{"/admin", "user", 403, "M_FORBIDDEN"},
		{"/admin", "admin", 200, `{"user":"@admin:test.example"}`},
	} {
		if w := h.call("GET", test.path, test.token); w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s with %q: %d %s", test.path, test.token, w.Code, w.Body)
		}
	}
	if len(h.users.seen) != 2 {
		t.Errorf("seen %v, want the two successful requests", h.users.seen)
	}
}

func TestTheAccessLogHoldsNoSecret(t *testing.T) {
	h := newHarness(t, Route{Method: "GET", Path: "/x", Auth: User, Handler: JSON(
		func(context.Context, Caller, *Empty) (*Empty, error) { return nil, nil })})
	h.call("GET", "/x?access_token=user&secret=1", "")
	var line struct {
		Path, User string
		Status     int
	}
	if err := json.Unmarshal(h.log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, h.log)
	}
	if line.Path != "/x" || line.User != "@user:test.example" || line.Status != 200 {
		t.Errorf("line %s", h.log)
	}
	if strings.Contains(h.log.String(), "secret") || strings.Contains(h.log.String(), "access_token") {
		t.Errorf("the log holds %s", h.log)
	}
}

func TestRequestsEndInTime(t *testing.T) {
	h := newHarness(t, Route{Method: "GET", Path: "/x", Auth: Public, Timeout: time.Nanosecond, Handler: func(_ http.ResponseWriter, r *Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}})
	if w := h.call("GET", "/x", ""); w.Code != http.StatusGatewayTimeout {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

func TestRoutesWithoutAuthAreRefused(t *testing.T) {
	_, err := NewRouter(Options{Metrics: prometheus.NewRegistry()}, []Route{{Method: "GET", Path: "/x", Handler: failing(nil)}})
	if err == nil {
		t.Error("a route that says nothing about auth was accepted")
	}
}

type paramsRequest struct {
	ID    event.RoomID `path:"id"`
	Limit *int         `query:"limit"`
	Full  bool         `query:"full"`
	Via   []string     `query:"via"`
	From  string       `query:"from" required:"true"`
}

func TestParameters(t *testing.T) {
	var got paramsRequest
	h := newHarness(t, Route{Method: "GET", Path: "/r/{id}", Auth: Public, Handler: JSON(
		func(_ context.Context, _ Caller, r *paramsRequest) (*Empty, error) { got = *r; return nil, nil })})
	for _, test := range []struct{ name, target, code string }{
		{"everything", "/r/!a:b?limit=5&full=true&via=x&via=y&from=s1", ""},
		{"only what is required", "/r/!a:b?from=", ""},
		{"a number beyond 64 bits is clamped", "/r/!a:b?from=x&limit=99999999999999999999", ""},
		{"something required is missing", "/r/!a:b", "M_MISSING_PARAM"},
		{"a word for a number", "/r/!a:b?from=x&limit=ten", "M_INVALID_PARAM"},
		{"nothing for a number", "/r/!a:b?from=x&limit=", "M_INVALID_PARAM"},
		{"a number for a truth", "/r/!a:b?from=x&full=1", "M_INVALID_PARAM"},
		{"bytes that are no text", "/r/!a:b?from=%ff", "M_INVALID_PARAM"},
		{"bytes that are no text in a list", "/r/!a:b?from=x&via=%ff", "M_INVALID_PARAM"},
		{"a query that cannot be read", "/r/!a:b?from=%zz", "M_INVALID_PARAM"},
		{"a bad identifier", "/r/a?from=x", "M_INVALID_PARAM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := h.call("GET", test.target, "")
			if test.code == "" && w.Code != 200 || test.code != "" && !strings.Contains(w.Body.String(), test.code) {
				t.Errorf("answer %d %s", w.Code, w.Body)
			}
		})
	}
	h.call("GET", "/r/!a:b?limit=5&full=true&via=x&via=y&from=s1", "")
	if got.ID != "!a:b" || *got.Limit != 5 || !got.Full || strings.Join(got.Via, "+") != "x+y" || got.From != "s1" {
		t.Errorf("read %+v", got)
	}
}
