// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"testing"
)

// FuzzRequestBody checks that a body is refused or read as encoding/json
// reads it: there is no body that we understand otherwise than others do.
func FuzzRequestBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"x"}`, `{"name":"x","size":3,"on":true,"inner":{"kind":"k"},"list":["a"],"raw":[1],"any":{"b":null},"nested":{"a":{"b":1}}}`,
		`{"name":"x","name":"y"}`, `{"Name":"x"}`, `{"name":"\ud800"}`, `{"name":1e3}`, `[`, `{"name":"x","size":1.5}`, `{"name":"x","list":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if CheckJSON(body) != nil {
			return
		}
		var ours sample
		if DecodeJSON(body, &ours) != nil {
			return
		}
		// Into a map, because encoding/json gives struct fields keys in other cases too.
		var theirs map[string]any
		if err := json.Unmarshal(body, &theirs); err != nil {
			t.Fatalf("taken, but refused by encoding/json: %v", err)
		}
		if ours.Name != theirs["name"] {
			t.Fatalf("name is %q, encoding/json reads %q", ours.Name, theirs["name"])
		}
		if size, ok := theirs["size"].(float64); ok && float64(ours.Size) != size {
			t.Fatalf("size is %d, encoding/json reads %v", ours.Size, size)
		}
	})
}
