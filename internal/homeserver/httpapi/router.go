// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// Authenticator finds out who an access token belongs to.
type Authenticator interface {
	// Authenticate returns the caller, or a *matrixerr.Error for the client.
	Authenticate(ctx context.Context, token string) (Caller, error)
	// Seen is told of every authenticated request; it must not block.
	Seen(Caller)
}

// Options are a Router's collaborators.
type Options struct {
	Authenticator Authenticator
	Limiter       *Limiter
	Log           *slog.Logger
	Metrics       prometheus.Registerer
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// OnError, when set, is told of every error that clients do not see.
	OnError func(error)
}

// Router is an http.Handler that serves routes.
type Router struct {
	options Options
	tree    node
	routes  []Route
	metrics *metrics
}

// NewRouter returns a router of routes. It fails when two routes collide or
// one does not say who may call it.
func NewRouter(o Options, routes []Route) (*Router, error) {
	rt := &Router{options: o, routes: routes}
	for i := range routes {
		r := &routes[i]
		if r.Auth == 0 || r.Handler == nil {
			return nil, fmt.Errorf("route %s %s has no auth or no handler", r.Method, r.Path)
		}
		if err := rt.tree.add(r); err != nil {
			return nil, fmt.Errorf("route: %w", err)
		}
	}
	rt.metrics = newMetrics(o.Metrics)
	return rt, nil
}

// exchange is one request while it is being answered.
type exchange struct {
	recorder
	request *http.Request
	route   *Route
	caller  Caller
	address netip.Addr
	id      string
	start   time.Time
}

// ServeHTTP answers a request.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		recorder: recorder{ResponseWriter: w}, request: r, start: time.Now(),
		address: clientAddress(r, rt.options.TrustedProxies),
		id:      strconv.FormatUint(rand.Uint64(), 36), //nolint:gosec // only tells log lines apart
	}
	rt.metrics.inFlight.Inc()
	defer rt.metrics.inFlight.Dec()
	defer rt.finish(x)
	control := http.NewResponseController(w) // errors: a test's writer has no deadlines
	// What the last request of this connection set does not concern this one.
	_ = control.SetWriteDeadline(time.Time{})
	if r.ContentLength != 0 {
		// net/http reads what a handler leaves of a body before it answers, to
		// keep the connection; a client must not make it wait for ever.
		_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	}
	setCORS(w.Header())
	w.Header().Set("X-Request-Id", x.id)
	if r.Method == http.MethodOptions {
		x.WriteHeader(http.StatusNoContent)
		return
	}
	if err := rt.handle(x); err != nil {
		rt.fail(x, err)
	}
}

// setCORS lets web clients of any origin call; tokens are not cookies.
// https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients
func setCORS(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
}

// handle matches, authenticates, limits and calls the route's handler.
func (rt *Router) handle(x *exchange) error {
	route, params, allowed := rt.tree.match(x.request)
	if route == nil && allowed != nil {
		x.Header().Set("Allow", strings.Join(allowed, ", "))
		return matrixerr.New(http.StatusMethodNotAllowed, matrixerr.CodeUnrecognized, "wrong method for this path")
	}
	if route == nil {
		return matrixerr.Unrecognized()
	}
	x.route = route
	ctx := x.request.Context()
	if timeout := route.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := rt.authenticate(ctx, x); err != nil {
		return err
	}
	if err := rt.limit(x); err != nil {
		return err
	}
	return route.Handler(&x.recorder, &Request{
		Request: x.request.WithContext(ctx), Caller: x.caller, Route: route, params: params,
		again: func(ctx context.Context) error {
			caller, err := rt.options.Authenticator.Authenticate(ctx, accessToken(x.request))
			if err != nil {
				return err
			}
			return admit(route, caller)
		},
	})
}

func (r *Route) timeout() time.Duration {
	if r.Timeout == 0 {
		return DefaultTimeout
	}
	return r.Timeout
}

const maxUserAgent = 200

// authenticate sets x.caller.
func (rt *Router) authenticate(ctx context.Context, x *exchange) error {
	x.caller.Address = x.address
	x.caller.UserAgent = printable(x.request.UserAgent(), maxUserAgent)
	if x.route.Auth != User && x.route.Auth != Admin {
		return nil
	}
	token := accessToken(x.request)
	if token == "" {
		return matrixerr.MissingToken()
	}
	caller, err := rt.options.Authenticator.Authenticate(ctx, token)
	if err != nil {
		return err
	}
	caller.Address, caller.UserAgent = x.caller.Address, x.caller.UserAgent
	x.caller = caller
	if err := admit(x.route, caller); err != nil {
		return err
	}
	rt.options.Authenticator.Seen(caller)
	return nil
}

// admit says whether the caller may use the route at all.
// https://spec.matrix.org/v1.19/client-server-api/#account-locking
// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
func admit(route *Route, c Caller) error {
	switch {
	case c.Locked && !route.WhileLocked:
		return matrixerr.UserLocked()
	case c.Suspended && route.NotSuspended:
		return matrixerr.UserSuspended("this account is suspended and cannot do this")
	case route.Auth == Admin && !c.Admin:
		return matrixerr.Forbidden("only server administrators may do this")
	default:
		return nil
	}
}

// printable returns s without what could confuse a log or a database.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// accessToken returns the token of the Authorization header or, as old
// clients have it, of the query string.
func accessToken(r *http.Request) string {
	header := r.Header.Get("Authorization")
	if scheme, token, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if header != "" || !strings.Contains(r.URL.RawQuery, "access_token=") {
		return ""
	}
	return r.URL.Query().Get("access_token")
}

// limit counts the request against the route's rate limit.
func (rt *Router) limit(x *exchange) error {
	key := string(x.caller.UserID)
	if key == "" {
		key = AddressKey(x.address)
	}
	if wait := rt.options.Limiter.Take(x.route.Limit, key); wait > 0 {
		rt.metrics.limited.WithLabelValues(x.route.Path).Inc()
		return matrixerr.LimitExceeded(wait)
	}
	return nil
}

// fail writes err as the answer, if none was begun, and logs what the client
// does not get to see.
func (rt *Router) fail(x *exchange, err error) {
	if clientGone(x.request, err) {
		x.status = statusClientGone
		return
	}
	shown, logged := toClient(err)
	if logged {
		rt.options.Log.ErrorContext(x.request.Context(), "request failed",
			"request", x.id, "route", x.pattern(), "error", err)
		if rt.options.OnError != nil {
			rt.options.OnError(err)
		}
	}
	if x.status != 0 {
		return
	}
	if shown.RetryAfter > 0 {
		seconds := int(math.Ceil(shown.RetryAfter.Seconds()))
		x.Header().Set("Retry-After", strconv.Itoa(max(1, seconds)))
	}
	if werr := WriteJSON(&x.recorder, shown.Status, shown); werr != nil && !errors.Is(werr, ErrClientGone) {
		rt.options.Log.ErrorContext(x.request.Context(), "cannot write error", "request", x.id, "error", werr)
	}
}

// finish recovers from a bug in a handler, then logs and counts the request.
func (rt *Router) finish(x *exchange) {
	if p := recover(); p != nil {
		rt.metrics.panics.Inc()
		rt.fail(x, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
	took := time.Since(x.start)
	if x.status == 0 {
		x.status = http.StatusOK
	}
	method := x.request.Method
	if x.route == nil {
		method = "" // clients invent methods; they must not become labels
	}
	rt.metrics.observe(method, x.pattern(), x.status, took)
	level := slog.LevelInfo
	if x.request.Method == http.MethodOptions || x.route != nil && x.route.Quiet && x.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	if !rt.options.Log.Enabled(x.request.Context(), level) {
		return
	}
	// The query is left out: it may hold an access token.
	rt.options.Log.LogAttrs(x.request.Context(), level, "request",
		slog.String("request", x.id), slog.String("method", printable(x.request.Method, 16)),
		slog.String("path", printable(x.request.URL.EscapedPath(), 300)), slog.Int("status", x.status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes", x.written),
		slog.String("user", string(x.caller.UserID)), slog.String("address", x.address.String()))
}

func (x *exchange) pattern() string {
	if x.route == nil {
		return ""
	}
	return x.route.Path
}

// recorder notes what a handler answers.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

// WriteHeader notes the status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
