// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// visitFlush is how often visits are written.
	visitFlush = 30 * time.Second
	// visitEvery is how exact the recorded time of a device's last use is.
	visitEvery = 5 * time.Minute
	// maxVisits is when old notes of what was recorded are thrown away.
	maxVisits = 50_000
)

type deviceKey struct{ user, device string }

// visits notes which devices were used, in memory; a write each some minutes
// and device is enough for what it is for.
type visits struct {
	mu       sync.Mutex
	recorded map[deviceKey]int64 // unix milliseconds
	pending  map[deviceKey]store.Visit
}

func newVisits() *visits {
	return &visits{recorded: map[deviceKey]int64{}, pending: map[deviceKey]store.Visit{}}
}

// Seen notes that the caller's device is in use.
func (s *Service) Seen(c httpapi.Caller) {
	k, now := deviceKey{string(c.UserID), c.DeviceID}, s.nowTS()
	v := s.visits
	v.mu.Lock()
	defer v.mu.Unlock()
	if last, ok := v.recorded[k]; ok && now-last < visitEvery.Milliseconds() {
		return
	}
	if len(v.recorded) >= maxVisits {
		clear(v.recorded)
	}
	v.recorded[k] = now
	v.pending[k] = store.Visit{UserID: k.user, DeviceID: k.device, IP: addressText(c.Address), UserAgent: c.UserAgent, TS: now}
}

// FlushVisits writes what Seen noted.
func (s *Service) FlushVisits(ctx context.Context) {
	v := s.visits
	v.mu.Lock()
	var list []store.Visit
	for _, visit := range v.pending {
		list = append(list, visit)
	}
	clear(v.pending)
	v.mu.Unlock()
	if len(list) == 0 {
		return
	}
	if err := s.Store.RecordVisits(ctx, list); err != nil {
		s.Log.WarnContext(ctx, "cannot record when devices were last seen", "error", err)
	}
}
