// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"bufio"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

const (
	specFile  = "testdata/client_endpoints.txt"
	laterFile = "testdata/later_endpoints.txt"
	testsFile = "testdata/endpoint_tests.txt"
	// recordVariable is homeservertest.RecordVariable, whose package imports this one.
	recordVariable = "FOYER_RECORD_CALLS"
)

// lines calls f with the lines of a file of testdata, without comments.
func lines(t *testing.T, name string, f func(line string)) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if !strings.HasPrefix(s.Text(), "#") {
			f(s.Text())
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// specEndpoint is an endpoint as the specification has it.
type specEndpoint struct {
	method, path, title string
	// errors are the statuses that it lists.
	errors []string
}

func (e specEndpoint) name() string { return e.method + " " + e.path }

func specEndpoints(t *testing.T) []specEndpoint {
	t.Helper()
	var all []specEndpoint
	lines(t, specFile, func(line string) {
		f := strings.SplitN(line, " ", 4)
		e := specEndpoint{method: f[0], path: f[1], title: f[3]}
		if f[2] != "-" {
			e.errors = strings.Split(f[2], ",")
		}
		all = append(all, e)
	})
	return all
}

// laterEndpoints returns the parts that bring what is not served, by "METHOD path".
func laterEndpoints(t *testing.T) map[string]string {
	t.Helper()
	later, part, heading := map[string]string{}, "", true
	lines(t, laterFile, func(line string) {
		switch {
		case line == "":
			heading = true
		case heading:
			part, heading = line, false
		default:
			later[line] = part
		}
	})
	return later
}

// routeName is the name of a route in the words of the specification.
func routeName(r *httpapi.Route) string {
	return r.Method + " " + strings.ReplaceAll(r.Path, "?}", "}")
}

// endpointTest is what the tests do with a route.
type endpointTest struct {
	// test is one that it answers with success, "package.Test".
	test string
	// refusals are the answers of other kinds that tests saw, "403 M_FORBIDDEN".
	refusals []string
}

// endpointTests returns what the tests are recorded to do, by routeName.
func endpointTests(t *testing.T) map[string]endpointTest {
	t.Helper()
	tests := map[string]endpointTest{}
	if _, err := os.Stat(testsFile); os.IsNotExist(err) && *update {
		return tests
	}
	lines(t, testsFile, func(line string) {
		f := strings.Split(line, " | ")
		e := endpointTest{test: f[1]}
		if f[2] != "-" {
			e.refusals = strings.Split(f[2], ", ")
		}
		tests[f[0]] = e
	})
	return tests
}

// matcher finds the route that serves a request.
type matcher struct {
	router *httpapi.Router
	found  *httpapi.Route
}

func newMatcher(t *testing.T, routes []httpapi.Route) *matcher {
	t.Helper()
	m := &matcher{}
	open := make([]httpapi.Route, len(routes))
	for i := range routes {
		open[i] = httpapi.Route{Method: routes[i].Method, Path: routes[i].Path, Auth: httpapi.Public}
		open[i].Handler = func(http.ResponseWriter, *httpapi.Request) error {
			m.found = &routes[i]
			return nil
		}
	}
	var err error
	m.router, err = httpapi.NewRouter(httpapi.Options{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Limiter: httpapi.NewLimiter(config.RateLimits{}, time.Now),
	}, open)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// match returns the route, nil if there is none.
func (m *matcher) match(method, path string) *httpapi.Route {
	m.found = nil
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil // a test of what is no request
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Method, r.URL = method, u
	m.router.ServeHTTP(httptest.NewRecorder(), r)
	return m.found
}

// calls are what a test called: how many different calls in all, how many of
// them to each endpoint, and which endpoints answered with success.
type calls struct {
	all       int
	to        map[string]int
	succeeded map[string]bool
}

// record merges what tests wrote into the folder that recordVariable names
// into what is known. A test that is known and still there stays; else it is
// the one that is most about the endpoint, by the number and the share of its calls.
func record(t *testing.T, routes []httpapi.Route, known map[string]endpointTest) {
	t.Helper()
	files, err := filepath.Glob(os.Getenv(recordVariable) + "/calls-*")
	if err != nil {
		t.Fatal(err)
	}
	m := newMatcher(t, routes)
	tests := map[string]*calls{}
	for _, file := range files {
		lines(t, file, func(line string) {
			f := strings.Split(line, "\t")
			r := m.match(f[2], f[3])
			if r == nil {
				return
			}
			name, test := routeName(r), f[0]+"."+f[1]
			c := tests[test]
			if c == nil {
				c = &calls{to: map[string]int{}, succeeded: map[string]bool{}}
				tests[test] = c
			}
			c.all++
			c.to[name]++
			status, _ := strconv.Atoi(f[4])
			if status < http.StatusBadRequest || slices.Contains(neverSucceed, name) {
				c.succeeded[name] = true
			}
			e := known[name]
			if refusal := f[4] + " " + f[5]; f[5] != "" && !slices.Contains(e.refusals, refusal) {
				e.refusals = append(slices.Clone(e.refusals), refusal)
				slices.Sort(e.refusals)
			}
			known[name] = e
		})
	}
	chooseTests(t, tests, known)
}

// chooseTests gives a test to each endpoint that has none any more.
func chooseTests(t *testing.T, tests map[string]*calls, known map[string]endpointTest) {
	t.Helper()
	exists := testFunctions(t)
	for name, e := range known {
		if exists[e.test] {
			continue
		}
		e.test = ""
		most := 0.0
		for _, test := range slices.Sorted(maps.Keys(tests)) {
			c := tests[test]
			if weight := float64(c.to[name]*c.to[name]) / float64(c.all); c.succeeded[name] && exists[test] && weight > most {
				e.test, most = test, weight
			}
		}
		known[name] = e
	}
}

func writeEndpointTests(t *testing.T, tests map[string]endpointTest) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Which test shows that an endpoint works, and the refusals that tests saw. Recorded while the tests ran; `make endpoint-tests`\n" +
		"# records anew. After a new endpoint, FOYER_RECORD_CALLS=/a/folder for its tests and for TestEndpointReference -update adds it.\n")
	for _, name := range slices.SortedFunc(maps.Keys(tests), func(a, b string) int {
		x, y, _ := strings.Cut(a, " ")
		p, q, _ := strings.Cut(b, " ")
		return strings.Compare(y+" "+x, q+" "+p)
	}) {
		e := tests[name]
		refusals := "-"
		if len(e.refusals) > 0 {
			refusals = strings.Join(e.refusals, ", ")
		}
		fmt.Fprintf(&b, "%s | %s | %s\n", name, e.test, refusals)
	}
	if err := os.WriteFile(testsFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`)

// testFunctions returns the tests of this package and those below, "package.Test".
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder := filepath.Base(filepath.Dir(file))
			if folder == "." {
				folder = "homeserver"
			}
			for _, m := range testFunction.FindAllSubmatch(text, -1) {
				found[folder+"."+string(m[1])] = true
			}
		}
	}
	return found
}

// TestEveryEndpointIsServedOrPlanned compares the routes with the endpoints of
// the specification.
func TestEveryEndpointIsServedOrPlanned(t *testing.T) {
	later, served, known := laterEndpoints(t), map[string]bool{}, map[string]bool{}
	for _, r := range documentedServer().clientRoutes() {
		served[routeName(&r)] = true
	}
	for _, e := range specEndpoints(t) {
		known[e.name()] = true
		_, planned := later[e.name()]
		if served[e.name()] == planned {
			t.Errorf("%s (%s): served %v, in %s %v; want one of the two", e.name(), e.title, served[e.name()], laterFile, planned)
		}
	}
	for name := range later {
		if !known[name] {
			t.Errorf("%s names %s, which the specification does not have", laterFile, name)
		}
	}
}

// unanswered are the errors of the specification that have no meaning here.
var unanswered = map[string]string{
	"GET /_matrix/client/v3/account/whoami 403":                   "application services are a later part",
	"GET /_matrix/client/v3/login 404":                            "this server has the old way to sign in",
	"GET /_matrix/client/v3/presence/{userId}/status 404":         "whoever is unknown shares no room, which is 403",
	"POST /_matrix/media/v1/create 403":                           "every user may announce an upload; the quota refuses it when it comes",
	"GET /_matrix/client/v3/profile/{userId} 403":                 "profiles are public",
	"GET /_matrix/client/v3/profile/{userId}/{keyName} 403":       "profiles are public",
	"PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId} 404": "a rule that is not there is made",
	"POST /_matrix/client/v3/rooms/{roomId}/report 404":           "whether there is a room is not told",
	"GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId} 400":  "no media is served without a token",
	"GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId} 413":  "no media is served without a token",
}

// neverSucceed are the endpoints that are there to refuse.
// https://spec.matrix.org/v1.19/client-server-api/#content-repository
var neverSucceed = []string{
	"GET /_matrix/media/v3/download/{serverName}/{mediaId}",
	"GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}",
	"GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}",
}

// errorMatters reports whether a status that the specification lists for an
// endpoint is one that this server gives.
func errorMatters(r *httpapi.Route, status string) bool {
	switch status {
	case "429":
		return r.Limit != httpapi.NoLimit // the limits are the server's to choose
	case "502", "504":
		return false // of other servers, whom this one does not ask
	default:
		return unanswered[routeName(r)+" "+status] == ""
	}
}

// TestEveryEndpointHasItsTests finds endpoints that no test calls with success,
// and errors of the specification that no test sees.
func TestEveryEndpointHasItsTests(t *testing.T) {
	tests, exists, served := endpointTests(t), testFunctions(t), map[string]*httpapi.Route{}
	for _, r := range documentedServer().clientRoutes() {
		name := routeName(&r)
		served[name] = &r
		if !exists[tests[name].test] {
			t.Errorf("%s: %s names no test of it that exists, but %q", name, testsFile, tests[name].test)
		}
	}
	for name := range tests {
		if served[name] == nil {
			t.Errorf("%s names %s, which is not served", testsFile, name)
		}
	}
	for _, e := range specEndpoints(t) {
		r := served[e.name()]
		if r == nil {
			continue
		}
		for _, status := range e.errors {
			seen := slices.ContainsFunc(tests[e.name()].refusals, func(s string) bool { return strings.HasPrefix(s, status) })
			if matters := errorMatters(r, status); seen != matters && matters {
				t.Errorf("%s: the specification has the error %s, which no test sees", e.name(), status)
			} else if seen && unanswered[e.name()+" "+status] != "" {
				t.Errorf("%s is in the list of errors that are not answered, but a test saw it", e.name()+" "+status)
			}
		}
	}
}
