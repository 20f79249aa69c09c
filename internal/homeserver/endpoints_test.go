// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"cmp"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/adminapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/clientapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

var update = flag.Bool("update", false, "write docs/homeserver-endpoints.md anew")

const endpointsFile = "../../docs/homeserver-endpoints.md"

// TestEndpointReference compares docs/homeserver-endpoints.md with the routes.
func TestEndpointReference(t *testing.T) {
	s, tests := documentedServer(), endpointTests(t)
	if *update {
		record(t, s.clientRoutes(), tests)
		writeEndpointTests(t, tests)
	}
	var b strings.Builder
	b.WriteString("# Endpoints of the homeserver\n" +
		"Generated from the route tables by `go test ./internal/homeserver -run TestEndpointReference -update`; do not edit.\n\n" +
		"*auth*: public, or the access token of a user or an administrator. *limit*: the rate limit of `rateLimits` that a request counts\n" +
		"against. *body*: the largest request body, where one is read. *test*: one that shows it work. *refusals*: what tests saw it\n" +
		"answer besides; every endpoint that wants a token is also called without one and with one that ended, by TestNoRouteAnswersWithoutAValidToken,\n" +
		"and every one that names a room by those who are not in it, by TestWhoMayDoWhatWithARoom.\n")
	endpointTable(&b, "Client listener", s.clientRoutes(), tests)
	unservedTable(t, &b)
	endpointTable(&b, "Federation listener", s.federationRoutes(), nil)
	endpointTable(&b, "Internal listener", s.internalRoutes(), nil)
	deviations(t, &b, "clientapi", "adminapi")
	if *update {
		if err := os.WriteFile(endpointsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(endpointsFile)
	if err != nil || string(have) != b.String() {
		t.Errorf("docs/homeserver-endpoints.md is out of date (%v): run this test with -update", err)
	}
}

// documentedServer has every route that a configuration can bring.
func documentedServer() *Server {
	c := config.Default()
	c.WellKnown.Enabled = true
	c.Registration.SharedSecretFile = "secret"
	s := &Server{config: c, metrics: newRegistry()}
	s.services = &services{api: clientapi.New(clientapi.Options{Config: &s.config}), admin: adminapi.New(nil)}
	return s
}

// endpointTable lists routes; tests is nil where they are not recorded.
func endpointTable(b *strings.Builder, title string, routes []httpapi.Route, tests map[string]endpointTest) {
	routes = slices.Clone(routes)
	slices.SortFunc(routes, func(x, y httpapi.Route) int {
		return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Method, y.Method))
	})
	fmt.Fprintf(b, "\n## %s\n| method | path | auth | limit | body |", title)
	if tests != nil {
		b.WriteString(" test | refusals |\n|---|---")
	} else {
		b.WriteString("\n")
	}
	b.WriteString("|---|---|---|---|---|\n")
	for _, r := range routes {
		path := "`" + r.Path + "`"
		if link := specLink(r); link != "" {
			path = "[" + path + "](" + link + ")"
		}
		body := ""
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			body = bodySize(r)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |", r.Method, path, r.Auth, r.Limit, body)
		if tests != nil {
			e := tests[routeName(&r)]
			fmt.Fprintf(b, " %s | %s |", e.test, strings.Join(notOfTokens(e.refusals), ", "))
		}
		b.WriteString("\n")
	}
}

// notOfTokens leaves out what every route answers that wants a token.
func notOfTokens(refusals []string) []string {
	return slices.DeleteFunc(slices.Clone(refusals), func(s string) bool {
		return s == "401 M_MISSING_TOKEN" || s == "401 M_UNKNOWN_TOKEN" || s == "401 M_USER_LOCKED"
	})
}

// unservedTable lists the endpoints of the specification that are not served.
func unservedTable(t *testing.T, b *strings.Builder) {
	t.Helper()
	later := laterEndpoints(t)
	b.WriteString("\n## Not served\n| method | path | what it does | comes with |\n|---|---|---|---|\n")
	for _, e := range specEndpoints(t) {
		if part, planned := later[e.name()]; planned {
			fmt.Fprintf(b, "| %s | `%s` | %s | %s |\n", e.method, e.path, e.title, part)
		}
	}
}

var endpointLine = regexp.MustCompile(`(?m)^[A-Z]+ /.*$`)

// deviations lists what the comments of endpoints say after "Deviation:".
func deviations(t *testing.T, b *strings.Builder, folders ...string) {
	t.Helper()
	b.WriteString("\n## Deviations from the specification\n")
	for _, folder := range folders {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, group := range file.Comments {
				before, text, found := strings.Cut(group.Text(), "Deviation: ")
				if found {
					fmt.Fprintf(b, "- `%s`: %s\n", endpointLine.FindString(before), strings.Join(strings.Fields(text), " "))
				}
			}
		}
	}
}

func bodySize(r httpapi.Route) string {
	size := cmp.Or(r.MaxBody, httpapi.DefaultMaxBody)
	if size >= 1<<20 {
		return strconv.FormatInt(size>>20, 10) + " MiB"
	}
	return strconv.FormatInt(size>>10, 10) + " KiB"
}

// specLink is where the specification describes a route: its anchors are the
// method and the path without punctuation.
func specLink(r httpapi.Route) string {
	var api string
	switch {
	case strings.Contains(r.Path, "/unstable/"):
		return ""
	case strings.HasPrefix(r.Path, "/_matrix/key/"), strings.HasPrefix(r.Path, "/_matrix/federation/"), r.Path == "/.well-known/matrix/server":
		api = "server-server-api"
	case strings.HasPrefix(r.Path, "/_matrix/"), strings.HasPrefix(r.Path, "/.well-known/"):
		api = "client-server-api"
	default:
		return ""
	}
	anchor := strings.NewReplacer("/", "", "{", "", "}", "", "?", "", ".", "").Replace(r.Method + r.Path)
	return "https://spec.matrix.org/v1.19/" + api + "/#" + strings.ToLower(anchor)
}
