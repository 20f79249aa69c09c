// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// statements counts what a store runs.
type statements struct {
	mu      sync.Mutex
	byVerb  map[string]int
	commits atomic.Int64
	all     atomic.Int64
}

func (c *statements) count(query string) error {
	c.all.Add(1)
	if query == "COMMIT" {
		c.commits.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byVerb[verb(query)]++
	return nil
}

// verb is the beginning of a statement, up to the table.
func verb(query string) string {
	words := strings.Fields(query)
	switch {
	case len(words) > 2 && words[0] == "INSERT":
		return "INSERT " + words[2]
	case len(words) > 1 && words[0] == "UPDATE":
		return "UPDATE " + words[1]
	default:
		return words[0]
	}
}

func (c *statements) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byVerb = map[string]int{}
	c.commits.Store(0)
	c.all.Store(0)
}

func counting(t testing.TB, o store.Options) (*server, *statements) {
	t.Helper()
	c := &statements{byVerb: map[string]int{}}
	o.ServerName, o.Wrap = storetest.ServerName, storetest.Tap(c.count)
	st, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return newServer(context.Background(), t, st), c
}

func TestAMessageCostsOneCommitAndNoStateRow(t *testing.T) {
	for name, o := range map[string]store.Options{"sqlite": {Dir: t.TempDir()}, "postgres": {PostgresURL: storetest.PostgresURL(t)}} {
		t.Run(name, func(t *testing.T) {
			s, c := counting(t, o)
			room := s.publicRoom()
			s.send(room, alice, "warm")
			c.reset()
			const messages = 10
			for i := range messages {
				s.send(room, alice, fmt.Sprint(i))
			}
			delete(c.byVerb, "NOTIFY") // to other replicas, at its own pace
			delete(c.byVerb, "SELECT")
			want := map[string]int{
				"BEGIN": messages, "UPDATE rooms": messages, "UPDATE stream_head": messages,
				"INSERT changes": messages, "INSERT events": messages, "COMMIT": messages,
			}
			for verb, n := range c.byVerb {
				if want[verb] != n {
					t.Errorf("%d times %s, want %d", n, verb, want[verb])
				}
			}
			if len(c.byVerb) != len(want) {
				t.Errorf("statements %v", c.byVerb)
			}
		})
	}
}

// BenchmarkSend measures 16 senders in 4 rooms, without HTTP. It prints how
// many sends share a commit, how many statements and CPU-milliseconds a send
// costs, and for SQLite the disk's own sync rate.
func BenchmarkSend(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		rate := syncRate(b, dir)
		benchmarkSend(b, store.Options{Dir: dir})
		b.ReportMetric(rate, "fsyncs/s")
	})
	b.Run("postgres", func(b *testing.B) { benchmarkSend(b, store.Options{PostgresURL: storetest.PostgresURL(b)}) })
}

func benchmarkSend(b *testing.B, o store.Options) {
	s, c := counting(b, o)
	const senders, roomCount = 16, 4
	var ids []event.RoomID
	for range roomCount {
		ids = append(ids, s.create(rooms.CreateRequest{Preset: rooms.PresetPublic}))
	}
	for i := range senders {
		s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: ids[i%roomCount], Sender: sender(i)}))
	}
	c.reset()
	b.ReportAllocs()
	cpu := cpuTime(b)
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				r := message(ids[i%roomCount], sender(i), "a message of the length that people write on the whole")
				id := fmt.Sprint(n)
				r.Txn = &rooms.Txn{DeviceID: "DEVICE", Request: "send " + id, ID: id}
				if _, err := s.Send(s.ctx, r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "sends/s")
	b.ReportMetric(n/float64(c.commits.Load()), "sends/commit")
	b.ReportMetric(float64(c.all.Load())/n, "statements/send")
	b.ReportMetric((cpuTime(b)-cpu).Seconds()*1000/n, "cpu-ms/send")
}

func sender(i int) event.UserID { return event.UserID(fmt.Sprintf("@sender%d:test.example", i)) }

// cpuTime is what this process used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// syncRate is how many times a second the disk confirms a small write.
func syncRate(b *testing.B, dir string) float64 {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const probes = 100
	start := time.Now()
	for range probes {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return probes / time.Since(start).Seconds()
}
