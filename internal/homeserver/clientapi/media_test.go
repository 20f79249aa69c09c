// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const (
	uploadPath   = "/_matrix/media/v3/upload"
	downloadPath = "/_matrix/client/v1/media/download/"
)

// upload returns the server and id part of the URI.
func upload(t *testing.T, c *homeservertest.Client, contentType, name string, content []byte) string {
	t.Helper()
	c = c.With(t)
	c.Header = http.Header{"Content-Type": {contentType}}
	uri := c.Post(uploadPath+"?filename="+url.QueryEscape(name), content).OK().String("content_uri")
	id, ok := strings.CutPrefix(uri, "mxc://")
	if !ok {
		t.Fatalf("content_uri %q", uri)
	}
	return id
}

// files counts the files below the media directory.
func files(t *testing.T, s *homeservertest.Server) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(s.Config.Media.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUploadAndDownload(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		content := bytes.Repeat([]byte("0123456789"), 100_000)
		id := upload(t, alice, "image/png", "Bild ä.png", content)
		s.Restart()
		r := bob.Get(downloadPath + id).OK()
		if !bytes.Equal(r.Body, content) || r.Header.Get("Content-Type") != "image/png" {
			t.Errorf("%d bytes of %s", len(r.Body), r.Header.Get("Content-Type"))
		}
		if d := r.Header.Get("Content-Disposition"); d != "inline; filename*=utf-8''Bild%20%C3%A4.png" {
			t.Errorf("Content-Disposition %q", d)
		}
		r = bob.Get(downloadPath + id + "/other.png").OK()
		if d := r.Header.Get("Content-Disposition"); d != "inline; filename=other.png" {
			t.Errorf("Content-Disposition %q", d)
		}
		bob.Header = http.Header{"Range": {"bytes=5-9"}}
		if r := bob.Get(downloadPath + id); r.Status != http.StatusPartialContent || string(r.Body) != "56789" {
			t.Errorf("part: %d %q", r.Status, r.Body)
		}
		if upload(t, alice, "image/png", "", content) == id {
			t.Error("two uploads have one id")
		}
		if n := files(t, s); n != 1 {
			t.Errorf("%d files hold the same content, want 1", n)
		}
	})
}

func TestH70MediaIDsAreNotPaths(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	upload(t, alice, "text/plain", "", []byte("x"))
	for name, path := range map[string]string{
		"an unknown id":        "test.example/unknown",
		"encoded dots":         "test.example/%2e%2e",
		"a path":               "test.example/..%2fsigning.key",
		"a path with a slash":  "test.example/%2fetc%2fpasswd",
		"NUL":                  "test.example/%00",
		"another server":       "other.example/unknown",
		"a server like a path": "..%2f../unknown",
	} {
		t.Run(name, func(t *testing.T) {
			alice.With(t).Get(downloadPath+path).Refused(http.StatusNotFound, "M_NOT_FOUND")
		})
	}
	// As segments of the path, dots make a path that does not exist.
	alice.Get("/_matrix/client/v1/media/download/../x").Refused(http.StatusNotFound, "M_NOT_FOUND")
	alice.Get("/_matrix/client/v1/media/download/test.example/x/../..").Refused(http.StatusNotFound, "M_UNRECOGNIZED")
}

func TestH74DownloadsAreNotPages(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	for _, test := range []struct{ name, contentType, fileName, wantType, wantDisposition string }{
		{"HTML with odd case", "Text/HTML;x", "a.html", "application/octet-stream", "attachment; filename=a.html"},
		{"HTML", "text/html", "", "text/html", "attachment"},
		{"SVG", "image/svg+xml", "", "image/svg+xml", "attachment"},
		{"a script", "text/javascript", "", "text/javascript", "attachment"},
		{"an image", "IMAGE/PNG", "", "image/png", "inline"},
		{"text with a character set", "text/plain; charset=utf-8", "", "text/plain; charset=utf-8", "inline"},
		{"no type", "", "", "application/octet-stream", "attachment"},
		{"nonsense", "a b; c", "", "application/octet-stream", "attachment"},
		{"a name with a line break", "image/png", "a\r\nSet-Cookie: x.png", "image/png", `inline; filename="a__Set-Cookie: x.png"`},
		{"a name with quotes", "image/png", `a".html"; x="`, "image/png", `inline; filename="a\".html\"; x=\""`},
		{"a name that is a path", "image/png", "../../etc/passwd", "image/png", "inline; filename=.._.._etc_passwd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := alice.With(t).Get(downloadPath + upload(t, alice, test.contentType, test.fileName, []byte("<script>"))).OK()
			for name, want := range map[string]string{
				"Content-Type": test.wantType, "Content-Disposition": test.wantDisposition,
				"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin",
				"Access-Control-Allow-Origin": "*",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "sandbox;") {
				t.Errorf("Content-Security-Policy %q", csp)
			}
			if r.Header.Get("Set-Cookie") != "" {
				t.Error("the file name made a header")
			}
		})
	}
}

func TestH75MediaNeedsAToken(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	id := upload(t, alice, "image/png", "", []byte("x"))
	for _, c := range []*homeservertest.Client{s.Client(), alice} {
		c.Get("/_matrix/media/v3/download/"+id).Refused(http.StatusNotFound, "M_NOT_FOUND")
		c.Get("/_matrix/media/v3/download/"+id+"/a.png").Refused(http.StatusNotFound, "M_NOT_FOUND")
	}
	s.Client().Get(downloadPath+id).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
	s.Client().Post(uploadPath, "x").Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
}

func TestUploadsHaveALimit(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) { c.Media.MaxUploadBytes = 1000 }})
	alice := s.Register("alice")
	alice.Get("/_matrix/client/v1/media/config").OK().Equal(`{"m.upload.size":1000}`)
	alice.Get("/_matrix/media/v3/config").OK().Equal(`{"m.upload.size":1000}`)
	upload(t, alice, "text/plain", "", make([]byte, 1000))
	before := files(t, s)
	alice.Post(uploadPath, make([]byte, 1001)).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
	// Without a length, sent in chunks.
	chunks := io.MultiReader(bytes.NewReader(make([]byte, 600)), bytes.NewReader(make([]byte, 600)))
	alice.Post(uploadPath, chunks).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
	alice.Put(uploadPath+"/"+announceMedia(t, alice), make([]byte, 1001)).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
	if after := files(t, s); after != before {
		t.Errorf("%d files, want %d: what was refused was kept", after, before)
	}
}

func TestAnUploadThatBreaksOffIsForgotten(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	res := raw(t, s, "POST "+uploadPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+alice.AccessToken+
		"\r\nContent-Length: 1000\r\n\r\nonly the beginning")
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", res.StatusCode)
	}
	if n := files(t, s); n != 0 {
		t.Errorf("%d files are left", n)
	}
}
