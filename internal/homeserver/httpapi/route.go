// SPDX-License-Identifier: Apache-2.0

// Package httpapi is everything between net/http and an endpoint: matching
// routes on escaped path segments, authentication, rate limits, size and time
// limits, strict JSON, one place that turns errors into answers, the access
// log and the metrics.
//
// An endpoint is a Route, data at the top of the file that implements it, and
// a function from a request struct to a response struct; see JSON.
package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Auth says who may call a route. The zero value is refused by NewRouter, so
// that nobody forgets it.
type Auth int

// The kinds of callers.
const (
	// Public needs no access token and ignores one.
	Public Auth = iota + 1
	// User needs a valid access token.
	User
	// Admin needs the access token of a server administrator.
	Admin
)

// Limit is the rate limit that a route counts against.
type Limit int

// The rate limits; config.RateLimits holds their numbers.
const (
	NoLimit Limit = iota
	LimitMessage
	LimitLogin
	LimitRegistration
	LimitJoin
	LimitInvite
	LimitMedia
	limitCount
)

// DefaultMaxBody is the largest request body in bytes where a route says nothing.
const DefaultMaxBody = 512 << 10

// DefaultTimeout is how long a request may take where its route says nothing.
const DefaultTimeout = time.Minute

// Route is one endpoint.
type Route struct {
	Method string
	// Path is a pattern of segments: literals, {name} for one non-empty
	// segment, and as the last one {name?}, which may also be empty or left
	// out with its slash. A trailing slash is significant.
	Path string
	Auth Auth
	// Limit is counted by user, or by address where there is none.
	Limit Limit
	// MaxBody is the largest request body in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Timeout bounds the whole request; 0 is DefaultTimeout, negative is no
	// limit, for long polls and transfers that watch their own progress.
	Timeout time.Duration
	// Quiet keeps a successful request out of the access log at level info.
	Quiet bool
	// WhileLocked lets users call it whose account is locked.
	WhileLocked bool
	// NotSuspended refuses users whose account is suspended.
	NotSuspended bool
	Handler      Handler
}

// Caller is who makes a request.
type Caller struct {
	// UserID is empty on public routes.
	UserID   event.UserID
	DeviceID string
	Admin    bool
	// Locked accounts may call nothing but routes that are WhileLocked,
	// Suspended ones nothing that is NotSuspended.
	Locked, Suspended bool
	// Address is the client's own, behind any trusted proxies.
	Address netip.Addr
	// UserAgent is as the client says, at most 200 bytes.
	UserAgent string
}

// Request is a matched and authenticated request.
type Request struct {
	*http.Request
	Caller Caller
	// Route is what matched.
	Route  *Route
	params []param
	again  func(context.Context) error
}

// StillAllowed authenticates the request anew, for one that waits for long:
// its access token may have ended meanwhile.
func (r *Request) StillAllowed(ctx context.Context) error { return r.again(ctx) }

type param struct{ name, value string }

// Param returns the decoded path segment {name}, or "".
func (r *Request) Param(name string) string {
	for _, p := range r.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// Handler answers a request. It either writes the whole answer or returns an
// error having written nothing.
type Handler func(w http.ResponseWriter, r *Request) error

// Empty is the request or response of endpoints that have none: {}.
type Empty struct{}

// String names the kind of caller for people.
func (a Auth) String() string {
	return [...]string{"nobody", "public", "user", "admin"}[a]
}

// String is the limit's key in config.RateLimits, "" for none.
func (l Limit) String() string {
	return [...]string{"", "message", "login", "registration", "join", "invite", "media"}[l]
}
