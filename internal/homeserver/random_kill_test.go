// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// TestKilledAtRandomNothingAcknowledgedIsLostOrDoubled kills the server at
// any moment of a mixed load: FOYER_KILLS times (default 5), by the seed
// FOYER_SEED.
func TestKilledAtRandomNothingAcknowledgedIsLostOrDoubled(t *testing.T) {
	kills := homeservertest.Number(t, "FOYER_KILLS", 5)
	seed := homeservertest.Number(t, "FOYER_SEED", time.Now().UnixNano())
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Logf("FOYER_SEED=%d", seed)
			postgresURL := ""
			if postgres {
				postgresURL = storetest.PostgresURL(t)
			}
			c := newCrasher(t, postgresURL)
			c.start("", 0)
			m := newMixed(t, "http://"+c.child.Listen)
			random := rand.New(rand.NewPCG(uint64(seed), 0))
			for i := range kills {
				killRound(t, c, m, fmt.Sprintf("round %d", i), random)
				if t.Failed() {
					t.Fatalf("failed at kill %d", i)
				}
			}
		})
	}
}

// killRound kills the server when the users have begun a random number of
// things, and starts it again.
func killRound(t *testing.T, c *crasher, m *mixed, round string, random *rand.Rand) {
	const each = 20
	m.begin(round)
	var left atomic.Int64
	left.Store(1 + random.Int64N(each*int64(len(m.users))))
	reached := make(chan struct{})
	m.begun = func() {
		if left.Add(-1) == 0 {
			close(reached)
		}
	}
	again := make(chan struct{})
	go func() {
		defer close(again)
		<-reached
		c.kill()
		c.checkClean(t)
		c.start("", 0)
	}()
	m.load(random.Int64(), each, false)
	<-again
	m.begun = nil
	m.end()
}
