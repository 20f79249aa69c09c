// SPDX-License-Identifier: Apache-2.0

// Package outbound is the one HTTP client for every address that somebody
// else chose: push gateways, previewed pages, other servers. It looks at the
// address that is really dialled, so neither a name that resolves into our
// own network nor a redirect reaches what is not public, and it bounds time,
// redirects and bytes.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// The errors that callers tell apart, with errors.Is.
var (
	// ErrBlocked: the address is not public, and not allowed by the configuration.
	ErrBlocked = errors.New("address is not allowed")
	// ErrRedirect: too many redirects, or one to something other than https.
	ErrRedirect = errors.New("redirect is not followed")
	// ErrTooLarge: the answer is larger than the limit.
	ErrTooLarge = errors.New("answer is too large")
)

// Options configure a Client; the zero value reaches public addresses only.
type Options struct {
	// AllowedNetworks may be dialled although they are not public.
	AllowedNetworks []netip.Prefix
	// RootCAs are the trusted authorities; the system's if nil.
	RootCAs *x509.CertPool
}

// Limits bound one request. Zero values mean the defaults.
type Limits struct {
	// Time is for everything, the body of the answer included. Default DefaultTime.
	Time time.Duration
	// Body is the largest answer in bytes. Default DefaultBody.
	Body int64
	// Redirects is how many are followed, each to https only, at most MaxRedirects. Default none.
	Redirects int
}

const (
	// DefaultTime is how long a request may take.
	DefaultTime = 30 * time.Second
	// DefaultBody is how large an answer may be, in bytes.
	DefaultBody = 1 << 20
	// MaxRedirects is the most that are followed.
	MaxRedirects = 5

	dialTime   = 10 * time.Second
	idleTime   = 90 * time.Second
	maxHeaders = 64 << 10
)

// Client makes requests. It is safe for concurrent use.
type Client struct {
	transport *http.Transport
	dialer    *net.Dialer
	guard     *guard
}

// New returns a Client.
func New(o Options) *Client {
	g := newGuard(o.AllowedNetworks)
	dialer := &net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %s", ErrBlocked, address)
		}
		return g.check(target.Addr())
	}}
	return &Client{dialer: dialer, guard: g, transport: &http.Transport{
		// No proxy: what a proxy dials cannot be checked here.
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTime,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeaders,
	}}
}

// CheckAddress returns ErrBlocked for an address that would not be dialled. It
// spares a failure later; what counts is the check of what is dialled.
func (c *Client) CheckAddress(a netip.Addr) error { return c.guard.check(a) }

// DialContext connects to an address after the same check, for protocols with
// transports of their own.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialer.DialContext(ctx, network, address)
}

// HTTP returns a client for answers that are too large for memory. It bounds
// time and redirects; its caller has to bound what it reads.
func (c *Client) HTTP(l Limits) *http.Client {
	if l.Time <= 0 {
		l.Time = DefaultTime
	}
	redirects := min(l.Redirects, MaxRedirects)
	return &http.Client{
		Transport: c.transport,
		Timeout:   l.Time,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			switch {
			case redirects <= 0:
				return http.ErrUseLastResponse
			case len(via) > redirects:
				return fmt.Errorf("%w: more than %d", ErrRedirect, redirects)
			case next.URL.Scheme != "https":
				return fmt.Errorf("%w: to %s", ErrRedirect, next.URL.Scheme)
			default:
				return nil
			}
		},
	}
}

// Response is an answer with its whole body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the whole answer. A redirect that the limits
// do not allow to follow at all is returned as an answer.
//
// Errors: ErrBlocked, ErrRedirect, ErrTooLarge, and those of net/http.
func (c *Client) Do(r *http.Request, l Limits) (*Response, error) {
	if l.Body <= 0 {
		l.Body = DefaultBody
	}
	res, err := c.HTTP(l).Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, l.Body+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(body)) > l.Body {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, l.Body)
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
