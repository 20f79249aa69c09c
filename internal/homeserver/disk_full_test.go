// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
)

// smallDisk is a directory with a file system of its own, of size bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	if errors.Is(err, unix.EPERM) {
		t.Skip("mounting a small file system needs CAP_SYS_ADMIN")
	}
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if cerr := f.Close(); !errors.Is(err, unix.ENOSPC) || cerr != nil {
		t.Fatal(err, cerr)
	}
}

func TestAFullDiskStopsWritesOnly(t *testing.T) {
	dir := smallDisk(t, 16<<20)
	s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) {
		c.DataDir, c.Database.Synchronous = filepath.Join(dir, "data"), "FULL"
	}})
	alice := s.Register("alice")
	room := "/_matrix/client/v3/rooms/" + url.PathEscape(alice.Post("/_matrix/client/v3/createRoom", anything{}).OK().String("room_id"))
	acknowledged := map[string]string{}
	send := func(i int) *homeservertest.Response {
		name := fmt.Sprintf("%d", i)
		r := alice.Put(room+"/send/m.room.message/"+name, anything{"body": name, "padding": string(bytes.Repeat([]byte("x"), 8000))})
		if r.Status == http.StatusOK {
			acknowledged[name] = r.String("event_id")
		}
		return r
	}
	send(0).OK()
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	sent := 1
	for ; send(sent).Status == http.StatusOK; sent++ {
		continue // into what the log has room for still
	}
	for range 3 {
		send(sent).Refused(http.StatusInsufficientStorage, "M_RESOURCE_LIMIT_EXCEEDED")
		alice.Post("/_matrix/media/v3/upload", bytes.Repeat([]byte("x"), 1<<20)).Refused(http.StatusInsufficientStorage, "M_RESOURCE_LIMIT_EXCEEDED")
		alice.Get(room + "/messages?dir=b").OK()
		alice.Get("/_matrix/client/v3/sync?timeout=0").OK()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	send(sent).OK()
	alice.Post("/_matrix/media/v3/upload", bytes.Repeat([]byte("x"), 1<<20)).OK()
	s.Restart()
	found := map[string]int{}
	from := ""
	for {
		r := alice.Get(room + "/messages?dir=b&limit=100" + from).OK()
		var page struct {
			Chunk []struct {
				EventID string `json:"event_id"`
				Content struct{ Body string }
			}
			End string
		}
		r.JSON(&page)
		for _, e := range page.Chunk {
			if e.Content.Body != "" && acknowledged[e.Content.Body] == e.EventID {
				found[e.Content.Body]++
			}
		}
		if page.End == "" {
			break
		}
		from = "&from=" + url.QueryEscape(page.End)
	}
	for name := range acknowledged {
		if found[name] != 1 {
			t.Errorf("message %s was acknowledged and is there %d times", name, found[name])
		}
	}
	o := check.Options{Store: store.Options{Dir: s.Config.DataDir}, MediaDir: s.Config.Media.Dir, Full: true}
	if _, err := check.Run(t.Context(), o, func(f check.Finding) error { t.Error(f); return nil }); err != nil {
		t.Fatal(err)
	}
}
