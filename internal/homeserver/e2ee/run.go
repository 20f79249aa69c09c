// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"sync"
	"time"
)

const (
	// txnLifetime is for how long a request that was carried out is known
	// again. Clients repeat one that got no answer within minutes.
	txnLifetime = 24 * time.Hour
	// txnSweep is how often older ones are looked for.
	txnSweep = 10 * time.Minute
)

// Run does what goes on in the background until ctx ends: it finishes deletions
// of key backups, and forgets requests that nobody repeats any more.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.finishPurges(ctx) })
	wg.Go(func() { s.forgetTxns(ctx) })
	wg.Wait()
	return nil
}

func (s *Service) forgetTxns(ctx context.Context) {
	tick := time.NewTicker(txnSweep)
	defer tick.Stop()
	for {
		// An error is one of the database, which every request sees; what is
		// left over goes the next time.
		_ = s.store.DeleteTxnsBefore(ctx, s.now().Add(-txnLifetime).UnixMilli())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
