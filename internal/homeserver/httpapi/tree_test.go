// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testTree(t *testing.T, paths ...string) *node {
	t.Helper()
	tree := &node{}
	for _, p := range paths {
		if err := tree.add(&Route{Method: "GET", Path: p}); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestMatch(t *testing.T) {
	tree := testTree(t, "/rooms/{roomId}/state", "/rooms/{roomId}/state/{type}/{key?}", "/rooms/public/state",
		"/rooms/{roomId}/{other}", "/rules/", "/rooms/public/list/all")
	for _, test := range []struct {
		name, path, want string
		params           []param
	}{
		{"a parameter", "/rooms/!a:b/state", "/rooms/{roomId}/state", []param{{"roomId", "!a:b"}}},
		{"a literal before a parameter", "/rooms/public/state", "/rooms/public/state", nil},
		{"back from a literal that leads nowhere", "/rooms/public/x", "/rooms/{roomId}/{other}", []param{{"roomId", "public"}, {"other", "x"}}},
		{"an encoded slash stays in its segment", "/rooms/a%2Fb/state", "/rooms/{roomId}/state", []param{{"roomId", "a/b"}}},
		{"encoded dots stay in their segment", "/rooms/%2e%2e/state", "/rooms/{roomId}/state", []param{{"roomId", ".."}}},
		{"dots are a segment", "/rooms/../state", "/rooms/{roomId}/state", []param{{"roomId", ".."}}},
		{"an encoded letter is that letter", "/r%6foms/public/state", "/rooms/public/state", nil},
		{"an optional segment that is there", "/rooms/r/state/t/k", "/rooms/{roomId}/state/{type}/{key?}", []param{{"roomId", "r"}, {"type", "t"}, {"key", "k"}}},
		{"an optional segment that is empty", "/rooms/r/state/t/", "/rooms/{roomId}/state/{type}/{key?}", []param{{"roomId", "r"}, {"type", "t"}}},
		{"an optional segment that is left out", "/rooms/r/state/t", "/rooms/{roomId}/state/{type}/{key?}", []param{{"roomId", "r"}, {"type", "t"}}},
		{"a trailing slash that belongs", "/rules/", "/rules/", nil},
		{"a trailing slash that is missing", "/rules", "", nil},
		{"a trailing slash too many", "/rooms/r/state/", "", nil},
		{"a segment too many", "/rooms/r/state/t/k/x", "", nil},
		{"an empty parameter", "/rooms//state", "", nil},
		{"a double slash", "//rooms/r/state", "", nil},
		{"a very long path", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			u, err := url.Parse("http://x" + test.path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			route, params, _ := tree.match(r)
			got := ""
			if route != nil {
				got = route.Path
			}
			if got != test.want {
				t.Fatalf("matched %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.params, params, cmp.AllowUnexported(param{})); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoutesThatCollideAreRefused(t *testing.T) {
	tree := testTree(t, "/a/{b}")
	if err := tree.add(&Route{Method: "GET", Path: "/a/{c}"}); err == nil {
		t.Error("two routes with the same shape were accepted")
	}
	if err := tree.add(&Route{Method: "PUT", Path: "/a/{c}"}); err != nil {
		t.Errorf("another method is another route: %v", err)
	}
}
