// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const (
	loginPath    = "/_matrix/client/v3/login"
	registerPath = "/_matrix/client/v3/register"
	whoamiPath   = "/_matrix/client/v3/account/whoami"
)

// TestBadBodies sends to an endpoint what it cannot read.
func TestBadBodies(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	for _, test := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"H1 an open brace", `{`, http.StatusBadRequest, "M_NOT_JSON"},
		{"H1 invalid UTF-8", "{\"type\": \"\xff\"}", http.StatusBadRequest, "M_NOT_JSON"},
		{"H2 an array where an object belongs", `[]`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H2 a string where an object belongs", `"x"`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H2 an object where a string belongs", `{"type": {}}`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H3 30000 nested arrays", strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000), http.StatusBadRequest, "M_BAD_JSON"},
		{"H3 30000 arrays that never end", strings.Repeat("[", 30_000), http.StatusBadRequest, "M_BAD_JSON"},
		{"H4 a key twice", `{"type": "m.login.password", "type": "x"}`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H4 a key twice inside", `{"type": "x", "identifier": {"user": "a", "\u0075ser": "b"}}`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H5 a body over the limit", `{"type": "` + strings.Repeat("x", 1<<20) + `"}`, http.StatusRequestEntityTooLarge, "M_TOO_LARGE"},
		{"a key in another case is another key", `{"Type": "m.login.password"}`, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"an empty body is an empty object", ``, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"H44 a lone surrogate", `{"type": "\ud800"}`, http.StatusBadRequest, "M_BAD_JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.Client().With(t).Post(loginPath, test.body).Refused(test.status, test.code)
		})
	}
}

// raw sends bytes as they are and returns the first answer.
func raw(t *testing.T, s *homeservertest.Server, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestH5LyingLengths(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	head := "POST " + loginPath + " HTTP/1.1\r\nHost: x\r\n"
	for _, test := range []struct {
		name, request string
		status        int
		code          string
	}{
		{"a length that is never reached", head + "Content-Length: 100\r\n\r\n{\"type\":", http.StatusBadRequest, "M_NOT_JSON"},
		{"a length that is too short", head + "Content-Length: 5\r\n\r\n{\"type\": \"x\"}", http.StatusBadRequest, "M_NOT_JSON"},
		{"a length over the limit with little behind it", head + "Content-Length: 1000000000\r\n\r\n{}", http.StatusRequestEntityTooLarge, "M_TOO_LARGE"},
		{
			"chunks over the limit without a length", head + "Transfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat(" ", 0x20000) + "\r\n0\r\n\r\n",
			http.StatusRequestEntityTooLarge, "M_TOO_LARGE",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := raw(t, s, test.request)
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status || !strings.Contains(string(body), `"`+test.code+`"`) {
				t.Errorf("answer %d %s, want %d %s", res.StatusCode, body, test.status, test.code)
			}
		})
	}
}

func TestH6FormsAreRefusedUnread(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	// Nothing of the announced body is sent: an answer proves that nobody waited for it.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST "+loginPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"+
		"Content-Type: Multipart/Form-Data; boundary=x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "M_NOT_JSON") {
		t.Errorf("answer %d %s (%v)", res.StatusCode, body, err)
	}
}

func TestH7Tokens(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	token := s.Register("alice").AccessToken
	for _, test := range []struct{ name, header, query, code string }{
		{"none", "", "", "M_MISSING_TOKEN"},
		{"an empty one", "Bearer ", "", "M_MISSING_TOKEN"},
		{"an empty one in the query", "", "?access_token=", "M_MISSING_TOKEN"},
		{"another scheme", "Basic " + token, "", "M_MISSING_TOKEN"},
		{"an unknown one", "Bearer x", "", "M_UNKNOWN_TOKEN"},
		{"an unknown one in the query", "", "?access_token=x", "M_UNKNOWN_TOKEN"},
		{"one with a letter more", "Bearer " + token + "x", "", "M_UNKNOWN_TOKEN"},
		{"one in upper case", "Bearer " + strings.ToUpper(token), "", "M_UNKNOWN_TOKEN"},
		{"a good one", "Bearer " + token, "", ""},
		{"a good one in the query", "", "?access_token=" + url.QueryEscape(token), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.Client().With(t)
			c.Header = http.Header{}
			if test.header != "" {
				c.Header.Set("Authorization", test.header)
			}
			r := c.Get(whoamiPath + test.query)
			if test.code == "" {
				r.OK()
				return
			}
			r.Refused(http.StatusUnauthorized, test.code)
		})
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	for _, test := range []struct {
		name, method, path string
		status             int
	}{
		{"H9 a segment too many", "GET", whoamiPath + "/x", http.StatusNotFound},
		{"H9 a trailing slash", "GET", whoamiPath + "/", http.StatusNotFound},
		{"H9 a slash twice", "GET", "//_matrix/client/v3/account/whoami", http.StatusNotFound},
		{"H9 a slash twice inside", "GET", "/_matrix/client/v3/account//whoami", http.StatusNotFound},
		{"H9 another prefix", "GET", "/_matrix/x/client/v3/login", http.StatusNotFound},
		{"H9 dots that lead to a path", "GET", "/_matrix/client/v3/x/../login", http.StatusNotFound},
		{"H9 encoded dots that lead to a path", "GET", "/_matrix/client/v3/x/%2e%2e/login", http.StatusNotFound},
		{"H9 an encoded slash that leads to a path", "GET", "/_matrix/client/v3%2Flogin", http.StatusNotFound},
		{"H9 the root", "GET", "/", http.StatusNotFound},
		{"H9 an unknown version", "GET", "/_matrix/client/v999/login", http.StatusNotFound},
		{"H10 a wrong method", "DELETE", loginPath, http.StatusMethodNotAllowed},
		{"H10 a wrong method without a token", "POST", whoamiPath, http.StatusMethodNotAllowed},
		{"H10 an invented method", "BREW", loginPath, http.StatusMethodNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.Client().With(t).Do(test.method, test.path, nil).Refused(test.status, "M_UNRECOGNIZED")
			if r.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("a web client cannot read the answer")
			}
			if test.status == http.StatusMethodNotAllowed && r.Header.Get("Allow") == "" {
				t.Error("the answer does not say which methods are allowed")
			}
		})
	}
}

func TestH11IdentifiersNeverLeadToAnotherRoute(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	alice.Put("/_matrix/client/v3/profile/{user}/displayname", homeservertest.Object{"displayname": "Alice"}).OK()
	for name, id := range map[string]string{
		"a slash":                    "@alice:test.example%2Fdisplayname",
		"NUL":                        "@alice%00:test.example",
		"dots":                       "..",
		"encoded dots":               "%2e%2e",
		"dots and slashes":           "..%2f..%2fversions",
		"bytes that are not UTF-8":   "@alice%ff:test.example",
		"no server":                  "@alice",
		"a line break in the server": "@alice:test%0d%0a.example",
		"256 bytes":                  "@" + strings.Repeat("a", 300) + ":test.example",
	} {
		t.Run(name, func(t *testing.T) {
			alice.With(t).Get("/_matrix/client/v3/profile/"+id).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
			alice.With(t).Get("/_matrix/client/v3/profile/"+id+"/displayname").Refused(http.StatusBadRequest, "M_INVALID_PARAM")
		})
	}
	for name, id := range map[string]string{"a slash": "!a%2Fb", "NUL": "!a%00:b", "dots": ".."} {
		t.Run(name+" in a room id", func(t *testing.T) {
			alice.With(t).Get("/_matrix/client/v3/rooms/"+id+"/joined_members").Refused(http.StatusBadRequest, "M_INVALID_PARAM")
		})
	}
}

func TestH12ForgedAddressesDoNotHelp(t *testing.T) {
	login := homeservertest.Object{
		"type": "m.login.password", "identifier": homeservertest.Object{"type": "m.id.user", "user": "nobody"}, "password": "guessguess",
	}
	for _, test := range []struct {
		name    string
		proxies []string
		forward func(i string) string
	}{
		{"no proxy is trusted", nil, func(i string) string { return "198.51.100." + i }},
		{"a trusted proxy appends the true address", []string{"127.0.0.0/8"}, func(i string) string { return "198.51.100." + i + ", 203.0.113.5" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
				c.RateLimits.Disabled = false
				c.RateLimits.Login = config.RateLimit{PerSecond: 0.001, Burst: 3}
				c.Listen.TrustedProxies = test.proxies
			}})
			for i := range 100 {
				c := s.Client().With(t)
				c.Header = http.Header{"X-Forwarded-For": {test.forward(string(rune('0' + i%10)))}}
				// Each guess is at another account, so only the address is counted.
				login["identifier"] = homeservertest.Object{"type": "m.id.user", "user": "nobody" + strings.Repeat("x", i)}
				r := c.Post(loginPath, login)
				if i < 3 {
					r.Refused(http.StatusForbidden, "M_FORBIDDEN")
					continue
				}
				r.Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
				if r.Header.Get("Retry-After") == "" || r.Value("retry_after_ms") == nil {
					t.Fatalf("the answer does not say when to try again: %s", r.Body)
				}
			}
		})
	}
}

func TestPreflightsNeedNoToken(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	for _, path := range []string{whoamiPath, "/nowhere"} {
		r := s.Client().Do("OPTIONS", path, nil)
		if r.Status != http.StatusNoContent || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("OPTIONS %s: %d %v", path, r.Status, r.Header)
		}
	}
}
