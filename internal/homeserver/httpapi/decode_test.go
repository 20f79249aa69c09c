// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func itoa(n int) string { return strconv.Itoa(n) }

type inner struct {
	Kind string `json:"kind"`
}

type sample struct {
	Name    string                    `json:"name" required:"true"`
	Size    int                       `json:"size"`
	On      *bool                     `json:"on"`
	User    event.UserID              `json:"user"`
	Inner   inner                     `json:"inner"`
	List    []string                  `json:"list"`
	Invited []event.UserID            `json:"invited"`
	ByUser  map[event.UserID]inner    `json:"by_user"`
	Raw     json.RawMessage           `json:"raw"`
	Any     any                       `json:"any"`
	Nested  map[string]map[string]int `json:"nested"`
}

func TestDecodeJSON(t *testing.T) {
	on := true
	for _, test := range []struct {
		name, body string
		want       sample
	}{
		{"exact keys", `{"name": "a", "Name": "b", "NAME": "c"}`, sample{Name: "a"}},
		{"a key that folds to another", `{"name": "a", "\u017fize": 5}`, sample{Name: "a"}},
		{"escaped keys", `{"n\u0061me": "a"}`, sample{Name: "a"}},
		{"nested keys are exact too", `{"name": "a", "inner": {"Kind": "b"}}`, sample{Name: "a"}},
		{"null is as if absent", `{"name": "a", "size": null, "on": null, "inner": null}`, sample{Name: "a"}},
		{"pointers", `{"name": "a", "on": true}`, sample{Name: "a", On: &on}},
		{"lists", `{"name": "a", "list": [ "x" , "y" ], "invited": ["@a:b"]}`, sample{Name: "a", List: []string{"x", "y"}, Invited: []event.UserID{"@a:b"}}},
		{
			"maps", `{"name": "a", "by_user": {"@a:b": {"kind": "k"}}, "nested": {"x": {"y": 1}}}`,
			sample{Name: "a", ByUser: map[event.UserID]inner{"@a:b": {"k"}}, Nested: map[string]map[string]int{"x": {"y": 1}}},
		},
		{"raw values stay as they are", `{"name": "a", "raw":  [1.0,  null] }`, sample{Name: "a", Raw: json.RawMessage(`[1.0,  null]`)}},
		{"raw null is null", `{"name": "a", "raw": null}`, sample{Name: "a", Raw: json.RawMessage(`null`)}},
		{"anything", `{"name": "a", "any": {"x": "y"}}`, sample{Name: "a", Any: map[string]any{"x": "y"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got sample
			if err := DecodeJSON([]byte(test.body), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	for _, test := range []struct{ name, body, code string }{
		{"an absent member that is required", `{}`, matrixerr.CodeMissingParam},
		{"null for one that is required", `{"name": null}`, matrixerr.CodeMissingParam},
		{"a member that differs in case", `{"Name": "a"}`, matrixerr.CodeMissingParam},
		{"a number for a string", `{"name": 5}`, matrixerr.CodeBadJSON},
		{"a string for a number", `{"name": "a", "size": "5"}`, matrixerr.CodeBadJSON},
		{"a fraction for an integer", `{"name": "a", "size": 1.5}`, matrixerr.CodeBadJSON},
		{"an array for an object", `{"name": "a", "inner": []}`, matrixerr.CodeBadJSON},
		{"an object for an array", `{"name": "a", "list": {}}`, matrixerr.CodeBadJSON},
		{"null inside an array", `{"name": "a", "list": [null]}`, matrixerr.CodeBadJSON},
		{"a bad user id", `{"name": "a", "user": "bob"}`, matrixerr.CodeInvalidParam},
		{"a bad user id in an array", `{"name": "a", "invited": [""]}`, matrixerr.CodeInvalidParam},
		{"a bad user id as a key", `{"name": "a", "by_user": {"x": {}}}`, matrixerr.CodeInvalidParam},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got sample
			if err := DecodeJSON([]byte(test.body), &got); !matrixerr.Is(err, test.code) {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}
