// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// crashChild is the environment variable that makes this test binary a
// homeserver: it holds a childConfig.
const crashChild = "FOYER_TEST_CRASH_CHILD"

// childConfig is a homeserver that kills itself, as kill -9 does, when it
// passes Failpoint for the Hits-th time.
type childConfig struct {
	Listen, Dir, PostgresURL, Failpoint string
	Hits                                int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(crashChild); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runChild(text string) error {
	var child childConfig
	if err := json.Unmarshal([]byte(text), &child); err != nil {
		return err
	}
	var mu sync.Mutex
	left := child.Hits
	ctx := fault.With(context.Background(), func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if name == child.Failpoint {
			if left--; left == 0 {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		return nil
	})
	c := config.Default()
	c.ServerName, c.DataDir, c.Database.URL = storetest.ServerName, child.Dir, child.PostgresURL
	c.Listen.Client = child.Listen
	c.Registration.Mode = config.RegistrationOpen
	c.RateLimits.Disabled = true
	c.Complete()
	if err := c.Validate(); err != nil {
		return err
	}
	server, err := homeserver.New(ctx, homeserver.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

// crasher runs children on one database, one after the other.
type crasher struct {
	t     *testing.T
	child childConfig
	cmd   *exec.Cmd
	done  chan struct{} // closed when cmd has ended
}

func newCrasher(t *testing.T, postgresURL string) *crasher {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &crasher{t: t, child: childConfig{Listen: listener.Addr().String(), Dir: t.TempDir(), PostgresURL: postgresURL}}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// start runs a child that dies at the failpoint, or never if that is empty.
func (c *crasher) start(failpoint string, hits int) {
	c.t.Helper()
	child := c.child
	child.Failpoint, child.Hits = failpoint, hits
	text, err := json.Marshal(child)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), crashChild+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	c.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // it is meant to be killed
		close(done)
	}(c.cmd)
}

func (c *crasher) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// call makes a request again and again until it is answered.
func (c *crasher) call(token, method, path string, body, into any) error {
	_, err := insist(c.t, "http://"+c.child.Listen, token, method, path, body, into)
	return err
}

// sendAll sends count messages by 8 senders and returns the event ids that
// were acknowledged, by body.
func (c *crasher) sendAll(token, room, prefix string, count int) map[string]string {
	c.t.Helper()
	const senders = 8
	var mu sync.Mutex
	acknowledged := map[string]string{}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := s; i < count; i += senders {
				body := fmt.Sprintf("%s %d", prefix, i)
				var sent struct {
					EventID string `json:"event_id"`
				}
				path := "/rooms/" + url.PathEscape(room) + "/send/m.room.message/" + url.PathEscape(body)
				if err := c.call(token, http.MethodPut, path, map[string]string{"msgtype": "m.text", "body": body}, &sent); err != nil {
					c.t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[body] = sent.EventID
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acknowledged
}

// timeline returns the event ids of a room's messages, by body.
func (c *crasher) timeline(token, room string) map[string][]string {
	c.t.Helper()
	found := map[string][]string{}
	from := ""
	for {
		var page struct {
			Chunk []struct {
				EventID string `json:"event_id"`
				Type    string `json:"type"`
				Content struct {
					Body string `json:"body"`
				} `json:"content"`
			} `json:"chunk"`
			End string `json:"end"`
		}
		path := "/rooms/" + url.PathEscape(room) + "/messages?dir=b&limit=100"
		if from != "" {
			path += "&from=" + url.QueryEscape(from)
		}
		if err := c.call(token, http.MethodGet, path, nil, &page); err != nil {
			c.t.Fatal(err)
		}
		for _, e := range page.Chunk {
			if e.Type == "m.room.message" {
				found[e.Content.Body] = append(found[e.Content.Body], e.EventID)
			}
		}
		if page.End == "" {
			return found
		}
		from = page.End
	}
}

// failpoints are those that a send, the creation or the upgrade of a room passes.
var failpoints = []string{
	"rooms.create.built", "rooms.create.committed", "rooms.send.built", "rooms.send.committed",
	"rooms.upgrade.built", "rooms.upgrade.committed",
	"store.commit.after", "store.commit.before", "store.flush.before",
}

func TestKilledAtEveryFailpointNothingAcknowledgedIsLostOrDoubled(t *testing.T) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			postgresURL := ""
			if postgres {
				postgresURL = storetest.PostgresURL(t)
			}
			c := newCrasher(t, postgresURL)
			c.start("", 0)
			var account struct {
				AccessToken string `json:"access_token"`
			}
			err := c.call("", http.MethodPost, "/register", map[string]any{
				"username": "alice", "password": "correct horse battery", "auth": map[string]any{"type": "m.login.dummy"},
			}, &account)
			if err != nil {
				t.Fatal(err)
			}
			c.kill()
			for _, failpoint := range failpoints {
				for _, hits := range []int{1, 7} {
					if !strings.HasPrefix(failpoint, "rooms.send") && !strings.HasPrefix(failpoint, "store.") && hits > 1 {
						continue // one room is created, and upgraded once
					}
					t.Run(fmt.Sprintf("%s hit %d", failpoint, hits), func(t *testing.T) {
						killAt(t, c, account.AccessToken, failpoint, hits)
					})
				}
			}
		})
	}
}

// killAt creates a room and sends to it while the server dies at the
// failpoint and comes back.
func killAt(t *testing.T, c *crasher, token, failpoint string, hits int) {
	c.t = t
	c.start(failpoint, hits)
	died, done := make(chan struct{}), c.done
	go func() {
		<-done
		c.checkClean(t)
		c.start("", 0)
		close(died)
	}()
	var room struct {
		RoomID string `json:"room_id"`
	}
	if err := c.call(token, http.MethodPost, "/createRoom", map[string]any{}, &room); err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("%s %d", failpoint, hits)
	acknowledged := c.sendAll(token, room.RoomID, prefix, 60)
	c.upgrade(token, room.RoomID)
	select {
	case <-died:
	case <-time.After(30 * time.Second):
		t.Fatalf("the server never passed %s %d times", failpoint, hits)
	}
	seen := c.timeline(token, room.RoomID)
	for body, id := range acknowledged {
		if got := seen[body]; len(got) != 1 || got[0] != id {
			t.Errorf("%q was acknowledged as %s; the room has %v", body, id, got)
		}
	}
	for body := range seen {
		if acknowledged[body] == "" {
			t.Errorf("%q is in the room and was never acknowledged", body)
		}
	}
	c.kill()
}

// checkClean checks the database as the kill left it.
func (c *crasher) checkClean(t *testing.T) {
	o := check.Options{
		Store:    store.Options{Dir: c.child.Dir, PostgresURL: c.child.PostgresURL, ServerName: storetest.ServerName},
		MediaDir: filepath.Join(c.child.Dir, "media"), Full: true,
	}
	_, err := check.Run(t.Context(), o, func(f check.Finding) error {
		t.Errorf("after a kill: %s", f)
		return nil
	})
	if err != nil {
		t.Errorf("check: %v", err)
	}
}

// upgrade upgrades a room and checks that the old one leads to the new one
// that was acknowledged, and the new one back.
func (c *crasher) upgrade(token, room string) {
	c.t.Helper()
	var answer struct {
		Replacement string `json:"replacement_room"`
	}
	if err := c.call(token, http.MethodPost, "/rooms/"+url.PathEscape(room)+"/upgrade", map[string]string{"new_version": "12"}, &answer); err != nil {
		c.t.Fatal(err)
	}
	var tombstone struct {
		Replacement string `json:"replacement_room"`
	}
	if err := c.call(token, http.MethodGet, "/rooms/"+url.PathEscape(room)+"/state/m.room.tombstone/", nil, &tombstone); err != nil {
		c.t.Fatal(err)
	}
	var create struct {
		Predecessor struct {
			RoomID string `json:"room_id"`
		} `json:"predecessor"`
	}
	if err := c.call(token, http.MethodGet, "/rooms/"+url.PathEscape(answer.Replacement)+"/state/m.room.create/", nil, &create); err != nil {
		c.t.Fatal(err)
	}
	if tombstone.Replacement != answer.Replacement || create.Predecessor.RoomID != room {
		c.t.Errorf("%s was upgraded to %s; its tombstone says %s, whose predecessor is %s", room, answer.Replacement, tombstone.Replacement, create.Predecessor.RoomID)
	}
}

// TestEveryFailpointIsKilledAt fails when a failpoint is added to the code
// and not to the test above.
func TestEveryFailpointIsKilledAt(t *testing.T) {
	hit := regexp.MustCompile(`fault\.Hit\(\w+, "([^"]+)"\)`)
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range hit.FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(found, failpoints) {
		t.Errorf("the code has the failpoints %q, the test kills at %q", found, failpoints)
	}
}
