// SPDX-License-Identifier: Apache-2.0

package media_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/media"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

const alice = event.UserID("@alice:" + storetest.ServerName)

// inBubble runs a test on a fake clock.
func inBubble(t *testing.T, test func(t *testing.T, s *media.Service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.SQLite(t)
		s, err := media.New(media.Options{
			Store: db, Changes: db.Log(), Dir: t.TempDir(), ServerName: storetest.ServerName, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		storetest.Start(context.Background(), t, db)
		test(t, s)
	})
}

// announce returns the id of an announced upload.
func announce(t *testing.T, s *media.Service) string {
	t.Helper()
	uri, _, err := s.Announce(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	return uri[strings.LastIndex(uri, "/")+1:]
}

// download is what came of Open, and how long it took.
type download struct {
	content string
	err     error
	took    time.Duration
}

// open starts a download; it waits for its upload when open returns.
func open(ctx context.Context, s *media.Service, id string, wait time.Duration) <-chan download {
	done := make(chan download, 1)
	start := time.Now()
	go func() {
		_, f, err := s.Open(ctx, media.Wanted{Server: storetest.ServerName, ID: id, Wait: wait})
		d := download{err: err, took: time.Since(start)}
		if err == nil {
			var content []byte
			content, d.err = io.ReadAll(f)
			d.content = string(content)
			_ = f.Close()
		}
		done <- d
	}()
	synctest.Wait()
	return done
}

func TestADownloadWaitsForItsUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, s *media.Service) {
		first, second := announce(t, s), announce(t, s)
		waiting, other := open(t.Context(), s, first, 20*time.Second), open(t.Context(), s, second, 20*time.Second)
		<-time.After(5 * time.Second)
		if err := s.UploadTo(t.Context(), storetest.ServerName, first, media.Upload{User: alice, Content: strings.NewReader("hello")}); err != nil {
			t.Fatal(err)
		}
		if d := <-waiting; d.err != nil || d.content != "hello" || d.took != 5*time.Second {
			t.Errorf("%+v", d)
		}
		if d := <-other; !matrixerr.Is(d.err, matrixerr.CodeNotYetUploaded) || d.took != 20*time.Second {
			t.Errorf("the upload of another id: %+v", d)
		}
	})
}

func TestADownloadDoesNotWaitForEver(t *testing.T) {
	for _, test := range []struct {
		name string
		wait time.Duration
		took time.Duration
	}{
		{"as long as was asked for", 3 * time.Second, 3 * time.Second},
		{"not at all", 0, 0},
		{"as long as anybody may", time.Hour, media.MaxWait},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *media.Service) {
				d := <-open(t.Context(), s, announce(t, s), test.wait)
				if !matrixerr.Is(d.err, matrixerr.CodeNotYetUploaded) || d.took != test.took {
					t.Errorf("%+v, want after %v", d, test.took)
				}
			})
		})
	}
	t.Run("until the server stops", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *media.Service) {
			waiting := open(t.Context(), s, announce(t, s), time.Minute)
			s.Drain()
			if d := <-waiting; !matrixerr.Is(d.err, matrixerr.CodeNotYetUploaded) || d.took != 0 {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("until the client goes", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *media.Service) {
			ctx, cancel := context.WithCancel(t.Context())
			waiting := open(ctx, s, announce(t, s), time.Minute)
			cancel()
			if d := <-waiting; d.err == nil || d.took != 0 {
				t.Errorf("%+v", d)
			}
		})
	})
}

func TestUploadsAtATimeShareTheQuota(t *testing.T) {
	inBubble(t, func(t *testing.T, s *media.Service) {
		s.MaxUserBytes = 10_000
		reader, writer := io.Pipe()
		first := make(chan error, 1)
		go func() {
			_, err := s.Upload(t.Context(), media.Upload{User: alice, Content: reader, Size: 8000})
			first <- err
		}()
		synctest.Wait()
		_, err := s.Upload(t.Context(), media.Upload{User: alice, Content: strings.NewReader("x"), Size: 1})
		if !matrixerr.Is(err, matrixerr.CodeForbidden) {
			t.Errorf("beside an upload that takes most of the quota: %v", err)
		}
		_, err = s.Upload(t.Context(), media.Upload{User: "@bob:" + storetest.ServerName, Content: strings.NewReader("x")})
		if err != nil {
			t.Errorf("another user: %v", err)
		}
		_ = writer.CloseWithError(http.ErrAbortHandler)
		if err := <-first; err == nil {
			t.Error("an upload that broke off succeeded")
		}
		_, err = s.Upload(t.Context(), media.Upload{User: alice, Content: strings.NewReader(strings.Repeat("x", 9000))})
		if err != nil {
			t.Errorf("after it broke off: %v", err)
		}
	})
}
