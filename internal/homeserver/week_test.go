// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// week is a server and its users during seven days of simulated time.
type week struct {
	*testing.T
	server  *homeservertest.Server
	devices []*weekDevice
	people  []*person
	hall    string                    // a room of all
	doors   [2]*homeservertest.Client // of those who come and go
	storm   int                       // how many answers to /sync in an hour are too many
	stop    chan struct{}
	polling sync.WaitGroup

	// statements are those that the database was asked to run, answers those
	// to /sync, renewals those to /refresh.
	statements, answers, renewals atomic.Int64
}

// TestAWeekLeavesNothingBehind lets FOYER_WEEK_USERS people (default 5), every
// other one with a second device whose tokens expire, live for seven days on
// one server: a real one, on SQLite, in a bubble of testing/synctest.
func TestAWeekLeavesNothingBehind(t *testing.T) {
	people := homeservertest.Number(t, "FOYER_WEEK_USERS", 5)
	var o check.Options
	synctest.Test(t, func(t *testing.T) {
		w := newWeek(t, int(people))
		o = check.Options{Store: store.Options{Dir: w.server.Config.DataDir, ServerName: storetest.ServerName}}
		o.MediaDir = filepath.Join(o.Store.Dir, "media")
		var first traces
		for day := range 7 {
			w.day(day)
			found := w.traces()
			t.Logf("after day %d: %+v", day+1, found)
			if day == 0 {
				first = found
			}
			w.compare(first, found)
			if t.Failed() {
				break
			}
		}
		w.end()
		if _, err := check.Run(t.Context(), o, func(f check.Finding) error { t.Error(f); return nil }); err != nil {
			t.Errorf("check: %v", err)
		}
	})
}

func newWeek(t *testing.T, people int) *week {
	w := &week{T: t, stop: make(chan struct{}), storm: 180 + 60*people}
	secret := secretFile(t)
	w.server = homeservertest.New(t, homeservertest.Options{
		Pipes: true,
		Configure: func(c *config.Config) {
			c.Registration.SharedSecretFile = secret
			c.RateLimits.Disabled = false
			c.Listen.TrustedProxies = []string{"127.0.0.0/8"}
		},
		WrapDriver: storetest.Tap(func(string) error { w.statements.Add(1); return nil }),
	})
	for i := range w.doors {
		w.doors[i] = w.server.Client()
	}
	for i := range people {
		w.people = append(w.people, w.arrive(i))
	}
	return w
}

// end stops everybody and then the server.
func (w *week) end() {
	close(w.stop)
	w.polling.Wait()
	w.server.Stop()
}

// day is from midnight to midnight. The small hours are quiet but for who
// polls, which tells what a server costs that nobody uses.
func (w *week) day(day int) {
	w.strangers(day)
	w.until(day, 3)
	w.quietHour()
	w.until(day, 5)
	w.oneMessage()
	for hour := 7; hour < 23; hour++ {
		w.until(day, hour)
		w.hour(day, hour)
	}
	w.until(day, 23)
	w.guests(day)
	w.until(day+1, 0)
}

// until sleeps until an hour of a day of the bubble, whose time begins at midnight.
func (w *week) until(day, hour int) {
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	at := begin.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
	if left := time.Until(at); left > 0 {
		pass(left)
	} else {
		w.Errorf("day %d: it is %v later than hour %d already", day, -left, hour)
	}
	synctest.Wait()
}

// quietHour counts what an hour costs in which nobody does anything. All
// polls begin and end together, since what came last came to all.
func (w *week) quietHour() {
	statements, answers, renewals := w.statements.Load(), w.answers.Load(), w.renewals.Load()
	pass(time.Hour)
	synctest.Wait()
	statements, answers, renewals = w.statements.Load()-statements, w.answers.Load()-answers, w.renewals.Load()-renewals
	devices := int64(len(w.devices))
	if want := devices * int64(time.Hour/pollTime); answers < want-devices || answers > want+devices {
		w.Errorf("in an hour without news there were %d answers to /sync, want %d", answers, want)
	}
	// One question a minute is of the task that finishes deactivations, one an
	// hour of push. Each device's last use is noted every five minutes, BEGIN
	// and COMMIT included. A renewal gives new tokens and ends the old ones.
	if limit := 61 + 3*12*devices + 23*renewals; statements > limit {
		w.Errorf("in an hour without news there were %d statements, want at most %d, of which 23 for each of %d renewals",
			statements, limit, renewals)
	}
	w.Logf("a quiet hour: %d statements, %d answers to /sync, %d renewals of tokens", statements, answers, renewals)
}

// oneMessage counts what a message in a room of all costs, and what follows.
func (w *week) oneMessage() {
	pass(pollTime / 3)
	synctest.Wait()
	statements, answers := w.statements.Load(), w.answers.Load()
	w.people[0].say(w.hall)
	synctest.Wait()
	devices := int64(len(w.devices))
	if woken := w.answers.Load() - answers; woken != devices {
		w.Errorf("a message to all %d devices made %d answers to /sync", devices, woken)
	}
	if asked := w.statements.Load() - statements; asked > maxOfMessage {
		w.Errorf("a message to all %d devices made %d statements, want at most %d, however many they are", devices, asked, maxOfMessage)
	}
	answers = w.answers.Load()
	pass(pollTime - moment)
	synctest.Wait()
	if more := w.answers.Load() - answers; more != 0 {
		w.Errorf("after a message there were %d more answers to /sync, without news", more)
	}
}

// maxOfMessage is how many statements it takes to send a message and to tell
// everybody who waits, in a room without unread messages.
const maxOfMessage = 20

// traces are what a day leaves.
type traces struct {
	goroutines, heap, objects, resident int64 // the memory in bytes
	changes                             int64 // ever made, each with a stream position
	rows                                map[string]int64
}

// temporary are the tables whose rows end.
func temporary() []string {
	return []string{"access_tokens", "devices", "login_tokens", "openid_tokens", "pending_media", "refresh_tokens", "to_device", "txns", "used_nonces"}
}

// traces waits until the evening's business is over, and counts.
func (w *week) traces() traces {
	pass(15 * time.Minute)
	synctest.Wait()
	runtime.GC()
	debug.FreeOSMemory() // collects once more: pools keep what they hold over one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	found := traces{
		goroutines: int64(runtime.NumGoroutine()), heap: int64(m.HeapAlloc), objects: int64(m.HeapObjects),
		resident: w.resident(), rows: map[string]int64{},
	}
	snapshot, err := store.OpenSnapshot(w.Context(), store.Options{Dir: w.server.Config.DataDir})
	if err != nil {
		w.Fatalf("open snapshot: %v", err)
	}
	number := func(query string) (n int64) {
		err := snapshot.Each(w.Context(), query, nil, func(rows *sql.Rows) error { return rows.Scan(&n) })
		if err != nil {
			w.Errorf("%s: %v", query, err)
		}
		return n
	}
	found.changes = number("SELECT pos FROM stream_head")
	for _, table := range temporary() {
		found.rows[table] = number("SELECT COUNT(*) FROM " + table)
	}
	if err := snapshot.Close(); err != nil {
		w.Errorf("close snapshot: %v", err)
	}
	return found
}

// resident is the memory of the process, that of SQLite included, which the
// heap does not show.
func (w *week) resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		w.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		w.Fatalf("statm %q: %v", text, err)
	}
	return pages * int64(os.Getpagesize())
}

// compare fails the test when a later day has more than the first. Memory may
// grow by what the caches keep of each change until they are full; four bytes for
// each answer to /sync would be more.
func (w *week) compare(first, later traces) {
	changes := later.changes - first.changes
	for _, c := range []struct {
		what                        string
		first, later, percent, more int64
	}{
		{"goroutines", first.goroutines, later.goroutines, 105, 0},
		{"bytes of heap", first.heap, later.heap, 110, 256 * changes},
		{"objects on the heap", first.objects, later.objects, 110, 3 * changes},
		{"bytes of memory", first.resident, later.resident, 125, 0},
		{"rows in access_tokens", first.rows["access_tokens"], later.rows["access_tokens"], 100, 0},
		{"rows in devices", first.rows["devices"], later.rows["devices"], 100, 0},
		{"rows in login_tokens", first.rows["login_tokens"], later.rows["login_tokens"], 100, 0},
		// A user's old ones end with the user's next; one more is the first person's of today.
		{"rows in openid_tokens", int64(len(w.people)), later.rows["openid_tokens"], 100, 1},
		{"rows in pending_media", int64(len(w.people)), later.rows["pending_media"], 100, 1},
		// A hundred spent ones of each device are remembered, to notice thieves.
		{"rows in refresh_tokens", 102 * int64(len(w.devices)/3), later.rows["refresh_tokens"], 100, 0},
		{"rows in to_device", 0, later.rows["to_device"], 100, 0},
		// What is a day old ends with the next of its kind.
		{"rows in txns", first.rows["txns"], later.rows["txns"], 100, 1},
		{"rows in used_nonces", first.rows["used_nonces"], later.rows["used_nonces"], 100, 0},
	} {
		if limit := c.first*c.percent/100 + c.more; c.later > limit {
			w.Errorf("%s: %d after the first day, %d later, want at most %d", c.what, c.first, c.later, limit)
		}
	}
}
