// SPDX-License-Identifier: Apache-2.0

package homeservertest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Password is the password of every user that Register makes.
const Password = "correct horse battery"

// Client calls a server with the access token of one device, or without one.
type Client struct {
	UserID, DeviceID, AccessToken string
	// Header is sent with every request.
	Header http.Header

	t      testing.TB
	base   func() string
	http   *http.Client
	record *recorder
}

// requestTime is how long a test waits for an answer before it fails.
const requestTime = 2 * time.Minute

// Client returns a client that is not signed in.
func (s *Server) Client() *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	if s.options.Pipes {
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return s.pipes.dial(ctx, network, address)
		}
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &Client{t: s.t, base: func() string { return s.URL }, record: s.record, http: &http.Client{
		Transport: transport, Timeout: requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Register makes an account with the user name and Password and signs it in.
func (s *Server) Register(name string) *Client {
	s.t.Helper()
	c := s.Client()
	c.session(c.Post("/_matrix/client/v3/register", Object{
		"username": name, "password": Password, "auth": Object{"type": "m.login.dummy"},
	}))
	return c
}

// Login signs the user in on a device; device may be empty.
func (s *Server) Login(name, device string) *Client {
	s.t.Helper()
	c := s.Client()
	c.session(c.Post("/_matrix/client/v3/login", Object{
		"type": "m.login.password", "identifier": Object{"type": "m.id.user", "user": name},
		"password": Password, "device_id": device,
	}))
	return c
}

// session takes over what a sign-in returns.
func (c *Client) session(r *Response) {
	c.t.Helper()
	r.OK()
	c.UserID, c.DeviceID, c.AccessToken = r.String("user_id"), r.String("device_id"), r.String("access_token")
}

// With returns a copy of c that reports to another test, a subtest for instance.
func (c *Client) With(t testing.TB) *Client {
	other := *c
	other.t = t
	return &other
}

// Object is a JSON object.
type Object = map[string]any

// Get calls a path, which is used as it stands: escape what needs it. In a
// path {user} and {device} stand for the client's own.
func (c *Client) Get(path string) *Response { c.t.Helper(); return c.Do("GET", path, nil) }

// Post sends body: a []byte or string as it is, anything else as JSON.
func (c *Client) Post(path string, body any) *Response { c.t.Helper(); return c.Do("POST", path, body) }

// Put sends body: a []byte or string as it is, anything else as JSON.
func (c *Client) Put(path string, body any) *Response { c.t.Helper(); return c.Do("PUT", path, body) }

// Do sends a request and reads the whole answer. The test fails if there is none.
func (c *Client) Do(method, path string, body any) *Response {
	c.t.Helper()
	r, err := c.Try(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// Try is Do for requests that may get no answer.
func (c *Client) Try(ctx context.Context, method, path string, body any) (*Response, error) {
	path = strings.NewReplacer("{user}", url.PathEscape(c.UserID), "{device}", url.PathEscape(c.DeviceID)).Replace(path)
	req, err := http.NewRequestWithContext(ctx, method, c.base()+path, reader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	if c.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.AccessToken)
	}
	if _, set := req.Header["Content-Type"]; body != nil && !set {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	answer := &Response{Status: res.StatusCode, Header: res.Header, Body: text, t: c.t, request: method + " " + path}
	c.record.note(c.t, method, path, answer)
	return answer, err
}

func reader(body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return nil
	case io.Reader:
		return b
	case []byte:
		return bytes.NewReader(b)
	case string:
		return strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			panic(err) // a test that cannot work
		}
		return bytes.NewReader(text)
	}
}

// Response is an answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	t       testing.TB
	request string
}

// OK fails the test unless the status is 200.
func (r *Response) OK() *Response {
	r.t.Helper()
	if r.Status != http.StatusOK {
		r.t.Fatalf("%s: status %d, want 200: %s", r.request, r.Status, r.Body)
	}
	return r
}

// Refused fails the test unless status and errcode are these, "M_" included.
func (r *Response) Refused(status int, errcode string) *Response {
	r.t.Helper()
	var e struct {
		Errcode string `json:"errcode"`
	}
	if err := json.Unmarshal(r.Body, &e); err != nil || r.Status != status || e.Errcode != errcode {
		r.t.Errorf("%s: answer %d %s, want %d %s", r.request, r.Status, r.Body, status, errcode)
	}
	return r
}

// JSON decodes the body.
func (r *Response) JSON(into any) *Response {
	r.t.Helper()
	if err := json.Unmarshal(r.Body, into); err != nil {
		r.t.Fatalf("%s: %v in %s", r.request, err, r.Body)
	}
	return r
}

// Value returns what stands under the keys, one inside the other; nil if absent.
func (r *Response) Value(keys ...string) any {
	r.t.Helper()
	var v any
	r.JSON(&v)
	for _, k := range keys {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[k]
	}
	return v
}

// String is Value for a string; "" if it is absent or something else.
func (r *Response) String(keys ...string) string {
	r.t.Helper()
	s, _ := r.Value(keys...).(string)
	return s
}

// Equal fails the test unless the body is this JSON.
func (r *Response) Equal(want string) *Response {
	r.t.Helper()
	var got, wanted any
	r.JSON(&got)
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		r.t.Fatalf("%s: %v", want, err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		r.t.Errorf("%s: answer differs (-want +got):\n%s", r.request, diff)
	}
	return r
}
