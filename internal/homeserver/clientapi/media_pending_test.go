// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const createMediaPath = "/_matrix/media/v1/create"

// announceMedia returns the server and id part of a URI without content.
func announceMedia(t *testing.T, c *homeservertest.Client) string {
	t.Helper()
	id, ok := strings.CutPrefix(c.With(t).Post(createMediaPath, object{}).OK().String("content_uri"), "mxc://")
	if !ok {
		t.Fatal("no content_uri")
	}
	return id
}

func TestH71AnAnnouncedUpload(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		id := announceMedia(t, alice)
		for _, path := range []string{downloadPath + id + "?timeout_ms=0", downloadPath + id + "/a.txt?timeout_ms=1", thumbnailPath(id, "width=9&height=9&timeout_ms=0")} {
			bob.Get(path).Refused(http.StatusGatewayTimeout, "M_NOT_YET_UPLOADED")
		}
		bob.Put(uploadPath+"/"+id, "not mine").Refused(http.StatusForbidden, "M_FORBIDDEN")
		typed := *alice
		typed.Header = http.Header{"Content-Type": {"text/plain"}}
		typed.Put(uploadPath+"/"+id+"?filename=a.txt", "hello").OK().Equal(`{}`)
		s.Restart()
		r := bob.Get(downloadPath + id).OK()
		if string(r.Body) != "hello" || r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("Content-Disposition") != "inline; filename=a.txt" {
			t.Errorf("%q with %v", r.Body, r.Header)
		}
		alice.Put(uploadPath+"/"+id, "other").Refused(http.StatusConflict, "M_CANNOT_OVERWRITE_MEDIA")
		bob.Put(uploadPath+"/"+id, "other").Refused(http.StatusForbidden, "M_FORBIDDEN")
		alice.Put(uploadPath+"/"+upload(t, alice, "text/plain", "", []byte("x")), "other").Refused(http.StatusConflict, "M_CANNOT_OVERWRITE_MEDIA")
		if got := bob.Get(downloadPath + id).OK().Body; string(got) != "hello" {
			t.Errorf("the content became %q", got)
		}
		alice.Put(uploadPath+"/test.example/unknown", "x").Refused(http.StatusNotFound, "M_NOT_FOUND")
		alice.Put(uploadPath+"/other.example/"+strings.TrimPrefix(announceMedia(t, alice), "test.example/"), "x").
			Refused(http.StatusNotFound, "M_NOT_FOUND")
	})
}

func TestOneOfTwoUploadsToAnIDWins(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		id := announceMedia(t, alice)
		answers := make(chan *homeservertest.Response, 4)
		for i := range cap(answers) {
			go func() {
				r, err := alice.Try(t.Context(), "PUT", uploadPath+"/"+id, bytes.Repeat([]byte{byte('a' + i)}, 10_000))
				if err != nil {
					t.Error(err)
				}
				answers <- r
			}()
		}
		won := 0
		for range cap(answers) {
			if r := <-answers; r.Status == http.StatusOK {
				won++
			} else {
				r.Refused(http.StatusConflict, "M_CANNOT_OVERWRITE_MEDIA")
			}
		}
		if won != 1 {
			t.Errorf("%d uploads won", won)
		}
	})
}

func TestAnAnnouncedUploadExpires(t *testing.T) {
	var later atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	homeservertest.Each(t, homeservertest.Options{Now: clock}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		r := alice.Post(createMediaPath, nil).OK()
		id := strings.TrimPrefix(r.String("content_uri"), "mxc://")
		expires, _ := r.Value("unused_expires_at").(float64)
		if left := time.Until(time.UnixMilli(int64(expires))) - time.Duration(later.Load()); left < 23*time.Hour || left > 25*time.Hour {
			t.Errorf("it expires in %v", left)
		}
		for range 99 {
			announceMedia(t, alice)
		}
		refused := alice.Post(createMediaPath, nil).Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
		if refused.Header.Get("Retry-After") == "" || refused.Value("retry_after_ms") == nil {
			t.Errorf("it does not say when to try again: %s", refused.Body)
		}
		announceMedia(t, s.Register("bob"))
		later.Add(int64(25 * time.Hour))
		alice.Put(uploadPath+"/"+id, "late").Refused(http.StatusNotFound, "M_NOT_FOUND")
		alice.Get(downloadPath+id).Refused(http.StatusNotFound, "M_NOT_FOUND")
		id = announceMedia(t, alice)
		alice.Put(uploadPath+"/"+id, "in time").OK()
		alice.Get(downloadPath + id).OK()
	})
}

func TestADownloadFromAnotherReplicaWaits(t *testing.T) {
	one := homeservertest.New(t, homeservertest.Options{Postgres: true})
	alice := one.Register("alice")
	two := one.Replica()
	reader := two.Login("alice", "")
	id := announceMedia(t, alice)
	got := make(chan *homeservertest.Response, 1)
	go func() {
		r, err := reader.Try(t.Context(), "GET", downloadPath+id+"?timeout_ms=30000", nil)
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	for !strings.Contains(string(two.Client().Get("/metrics").OK().Body), `foyer_http_requests_in_flight{listener="client"} 2`) {
		if t.Context().Err() != nil {
			t.Fatal("the download does not wait")
		}
	}
	alice.Put(uploadPath+"/"+id, "hello").OK()
	if r := (<-got).OK(); string(r.Body) != "hello" {
		t.Errorf("got %q", r.Body)
	}
}

func TestAnnouncedUploadsNeedAToken(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	id := announceMedia(t, alice)
	s.Client().Post(createMediaPath, nil).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
	s.Client().Put(uploadPath+"/"+id, "x").Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
	for _, timeout := range []string{"-1", "x", "1.5"} {
		alice.Get(downloadPath+id+"?timeout_ms="+timeout).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
		alice.Get(thumbnailPath(id, "width=9&height=9&timeout_ms="+timeout)).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
	}
}

func TestUploadsHaveAQuota(t *testing.T) {
	o := homeservertest.Options{Configure: func(c *config.Config) { c.Media.MaxUserBytes = 30_000 }}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		first := bytes.Repeat([]byte("a"), 20_000)
		upload(t, alice, "text/plain", "", first)
		id := announceMedia(t, alice)
		before := files(t, s)
		alice.Post(uploadPath, first).Refused(http.StatusForbidden, "M_FORBIDDEN")
		alice.Post(uploadPath, struct{ *bytes.Reader }{bytes.NewReader(first)}).Refused(http.StatusForbidden, "M_FORBIDDEN")
		alice.Put(uploadPath+"/"+id, first).Refused(http.StatusForbidden, "M_FORBIDDEN")
		if after := files(t, s); after != before {
			t.Errorf("%d files, want %d: what was refused was kept", after, before)
		}
		upload(t, bob, "text/plain", "", first)
		// What is refused is not counted; the smallest files are.
		alice.Put(uploadPath+"/"+id, "small").OK()
		upload(t, alice, "text/plain", "", nil)
		alice.Post(uploadPath, "").Refused(http.StatusForbidden, "M_FORBIDDEN")
	})
}

func TestWhatACrashLeavesGoesWhenItIsOld(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Stop()
	tmp := filepath.Join(s.Config.Media.Dir, "tmp")
	old, fresh := filepath.Join(tmp, "upload-1"), filepath.Join(tmp, "upload-2")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	s.Start()
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old one is still there: %v", err)
	}
	// Another replica may be writing it.
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the fresh one is gone: %v", err)
	}
}

func TestPartsOfADownload(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	id := upload(t, alice, "video/mp4", "film.mp4", []byte("0123456789"))
	whole := alice.Get(downloadPath + id).OK()
	if whole.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("Accept-Ranges %q", whole.Header.Get("Accept-Ranges"))
	}
	for _, test := range []struct {
		name, asked, ifRange string
		status               int
		body, part           string
	}{
		{"the beginning", "bytes=0-3", "", http.StatusPartialContent, "0123", "bytes 0-3/10"},
		{"from the middle on", "bytes=7-", "", http.StatusPartialContent, "789", "bytes 7-9/10"},
		{"the end", "bytes=-2", "", http.StatusPartialContent, "89", "bytes 8-9/10"},
		{"beyond the end", "bytes=20-", "", http.StatusRequestedRangeNotSatisfiable, "", "bytes */10"},
		{"of the same version", "bytes=0-0", whole.Header.Get("Etag"), http.StatusPartialContent, "0", "bytes 0-0/10"},
		{"of another version", "bytes=0-0", `"other"`, http.StatusOK, "0123456789", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := alice.With(t)
			c.Header = http.Header{"Range": {test.asked}}
			if test.ifRange != "" {
				c.Header.Set("If-Range", test.ifRange)
			}
			r := c.Get(downloadPath + id)
			if r.Status != test.status || r.Header.Get("Content-Range") != test.part || test.body != "" && string(r.Body) != test.body {
				t.Errorf("%d %q %q", r.Status, r.Header.Get("Content-Range"), r.Body)
			}
			if !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "sandbox;") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", r.Header)
			}
			if kind := r.Header.Get("Content-Type"); r.Status < 300 && kind != "video/mp4" {
				t.Errorf("Content-Type %q", kind)
			}
		})
	}
}
