// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

func TestPostgresGoesAwayAndComesBack(t *testing.T) {
	cluster := storetest.NewCluster(t)
	s := homeservertest.New(t, homeservertest.Options{
		LogLevel:  slog.LevelError + 1,
		Configure: func(c *config.Config) { c.Database.URL = cluster.URL },
	})
	alice := s.Register("alice")
	room := "/_matrix/client/v3/rooms/" + url.PathEscape(alice.Post("/_matrix/client/v3/createRoom", anything{}).OK().String("room_id"))
	since := alice.Get("/_matrix/client/v3/sync?timeout=0").OK().String("next_batch")
	send := func(name string) *homeservertest.Response {
		return alice.Put(room+"/send/m.room.message/"+name, anything{"body": name})
	}
	send("before").OK()
	polled := make(chan *homeservertest.Response, 1)
	waiting := s.Login("alice", "OTHER")
	at := waiting.Get("/_matrix/client/v3/sync?timeout=0").OK().String("next_batch")
	go func() {
		r, err := waiting.Try(t.Context(), "GET", "/_matrix/client/v3/sync?timeout=60000&since="+at, nil)
		if err != nil {
			t.Error(err)
		}
		polled <- r
	}()
	const outages = 3
	for i := range outages {
		cluster.Stop()
		name := fmt.Sprintf("away%d", i)
		for range 3 {
			send(name).Refused(http.StatusServiceUnavailable, "M_UNKNOWN")
		}
		if ready := s.Client().Get("/readyz"); ready.Status == http.StatusOK {
			t.Error("the server is ready without its database")
		}
		if alive := s.Client().Get("/healthz"); alive.Status != http.StatusOK {
			t.Errorf("the server is not alive without its database: %d", alive.Status)
		}
		cluster.Start()
		eventually(t, "readiness", func() bool { return s.Client().Get("/readyz").Status == http.StatusOK })
		send(name).OK()
		alice.Get(room + "/messages?dir=b").OK()
	}
	if r := <-polled; r != nil && r.Status != http.StatusOK && r.Status != http.StatusServiceUnavailable {
		t.Errorf("the long poll ended in %d %s", r.Status, r.Body)
	}
	var answer struct {
		Rooms struct {
			Join map[string]struct {
				Timeline struct {
					Events []struct{ Content struct{ Body string } }
				}
			}
		}
	}
	alice.Get("/_matrix/client/v3/sync?timeout=0&since=" + since).OK().JSON(&answer)
	var got []string
	for _, r := range answer.Rooms.Join {
		for _, e := range r.Timeline.Events {
			got = append(got, e.Content.Body)
		}
	}
	if want := "[before away0 away1 away2]"; fmt.Sprint(got) != want {
		t.Errorf("/sync shows %v, want %s", got, want)
	}
	o := check.Options{Store: store.Options{PostgresURL: cluster.URL}, Full: true}
	if _, err := check.Run(t.Context(), o, func(f check.Finding) error { t.Error(f); return nil }); err != nil {
		t.Fatal(err)
	}
}
