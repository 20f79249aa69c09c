// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// trip makes the k-th statement fail, and counts them.
type trip struct {
	mu      sync.Mutex
	k, seen int64
	failure error
	hit     string
}

func (f *trip) ask(query string) error {
	if query == "NOTIFY foyer_changes" {
		return nil // only a hint, at its own pace
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen++; f.seen != f.k {
		return nil
	}
	f.hit = query
	return f.failure
}

// arm makes the k-th statement from now on fail; 0: none.
func (f *trip) arm(k int64, failure error) (hit string, seen int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hit, seen = f.hit, f.seen
	f.k, f.seen, f.failure, f.hit = k, 0, failure, ""
	return hit, seen
}

// TestAnyStatementOfAMixedLoadMayFail fails every FOYER_STATEMENTS-th
// statement of a mixed load (default 16; 1: each), one at a time.
func TestAnyStatementOfAMixedLoadMayFail(t *testing.T) {
	stride := homeservertest.Number(t, "FOYER_STATEMENTS", 16)
	const things = 12 // of each user: some 300 statements
	f := &trip{}
	o := homeservertest.Options{WrapDriver: storetest.Tap(f.ask), LogLevel: slog.LevelError + 1}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		f.arm(0, nil)
		m := newMixed(t, s.URL)
		failures := []error{errors.New("injected failure")}
		if s.Config.Database.URL != "" {
			failures = append(failures, driver.ErrBadConn) // a file has no connection to lose
		}
		for i, failure := range failures {
			for k := int64(1 + i); ; k += stride {
				f.arm(k, failure)
				m.begin(fmt.Sprintf("failure %d of %d", i, k))
				m.load(1, things, true)
				m.end()
				hit, seen := f.arm(0, nil)
				if t.Failed() {
					t.Fatalf("after statement %d failed (%v): %s", k, failure, hit)
				}
				if hit == "" {
					if seen < 300 {
						t.Errorf("the load has %d statements only", seen)
					}
					t.Logf("%d statements, every %d. failed with: %v", seen, stride, failure)
					break
				}
			}
		}
		s.Stop()
		c := check.Options{Store: store.Options{Dir: s.Config.DataDir, PostgresURL: s.Config.Database.URL}, Full: true}
		if _, err := check.Run(t.Context(), c, func(found check.Finding) error { t.Error(found); return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
