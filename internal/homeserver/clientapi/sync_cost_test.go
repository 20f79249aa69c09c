// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// statementLog counts the statements that a database runs while it is on.
type statementLog struct {
	mu     sync.Mutex
	on     bool
	counts map[string]int
}

func (l *statementLog) tap(query string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		l.counts[query]++
	}
	return nil
}

func (l *statementLog) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.counts = true, map[string]int{}
}

func (l *statementLog) stop() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
	return l.counts
}

func TestAnInitialSyncAsksForManyRoomsAtOnce(t *testing.T) {
	l := &statementLog{}
	o := homeservertest.Options{WrapDriver: storetest.Tap(l.tap)}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		total := map[int]int{}
		for _, rooms := range []int{10, 200} {
			alice, bob := s.Register(fmt.Sprint("alice", rooms)), s.Register(fmt.Sprint("bob", rooms))
			for i := range rooms {
				body := object{"preset": "private_chat", "invite": []string{bob.UserID}}
				if i%2 == 0 {
					body["name"] = fmt.Sprint("room ", i)
				}
				r := url.PathEscape(createRoom(alice, body))
				bob.Post(client+"/join/"+r, object{}).OK()
				for n := range 3 {
					message(bob, r, fmt.Sprint(n))
				}
			}
			s.Restart() // nothing is in memory
			alice.Get(client + "/account/whoami").OK()
			l.start()
			got := alice.Get(client + "/sync").OK()
			for query, n := range l.stop() {
				// Only what is unread is worked out room by room; it stays in memory from then on.
				if isUnread := strings.Contains(query, "SELECT event_nid FROM events") || strings.Contains(query, "SELECT thread, "); isUnread {
					if n > rooms {
						t.Errorf("%d times for %d rooms: %s", n, rooms, query)
					}
					continue
				}
				total[rooms] += n
			}
			if joined := got.Value("rooms", "join").(map[string]any); len(joined) != rooms {
				t.Errorf("%d rooms in the answer, want %d", len(joined), rooms)
			}
		}
		// Twenty rooms are read at a time.
		if total[200]-total[10] > 200 {
			t.Errorf("%d statements for 200 rooms, %d for 10", total[200], total[10])
		}
		t.Logf("%d statements for 200 rooms, %d for 10", total[200], total[10])
	})
}
