// SPDX-License-Identifier: Apache-2.0

package media_test

import (
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/media"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// FuzzDownloadHeaders checks that no content type and no file name of an
// upload ends a header, becomes a page of this origin, or leaves the folder
// that a browser saves to.
func FuzzDownloadHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"image/png", "a.png"},
		{"Text/HTML;charset=utf-8", "../x"},
		{"text/plain; a=\"b\r\nX: y\"", "a\r\nb"},
		{"image/svg+xml", "\x00"},
		{"a/b;c", "\"quoted\"; filename=other"},
		{"text/plain;charset=\"\\\"", "żółć.txt"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, contentType, fileName string) {
		h := http.Header{}
		media.SetHeaders(h, store.Media{ContentType: contentType, FileName: fileName, SHA256: []byte{1}}, "")
		for name, values := range h {
			if strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%s: %q has control characters", name, values[0])
			}
		}
		disposition, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
		if err != nil {
			t.Fatalf("Content-Disposition %q: %v", h.Get("Content-Disposition"), err)
		}
		if strings.ContainsAny(params["filename"], "/\\") {
			t.Fatalf("the file name is %q", params["filename"])
		}
		kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
		if err != nil {
			t.Fatalf("Content-Type %q: %v", h.Get("Content-Type"), err)
		}
		if disposition == "inline" && (strings.Contains(kind, "html") || strings.Contains(kind, "xml") || strings.Contains(kind, "script")) {
			t.Fatalf("%s is shown inline", kind)
		}
	})
}
