// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
)

// Limiter counts requests in token buckets, one for each kind and key. It is
// safe for concurrent use, and its numbers can be changed while it runs.
type Limiter struct {
	now    func() time.Time
	limits atomic.Pointer[[limitCount]config.RateLimit]

	mu      sync.Mutex
	buckets map[bucketKey]bucket
	sweepAt int // number of buckets at which full ones are thrown out
}

type bucketKey struct {
	limit Limit
	key   string
}

// bucket held tokens at the time of its last use; it fills up since.
type bucket struct {
	tokens float64
	at     time.Time
}

const firstSweep = 1024

// NewLimiter returns a Limiter with the numbers of limits, in which zeros
// stand for the documented defaults. now is the clock.
func NewLimiter(limits config.RateLimits, now func() time.Time) *Limiter {
	l := &Limiter{now: now, buckets: map[bucketKey]bucket{}, sweepAt: firstSweep}
	l.Configure(limits)
	return l
}

// Configure replaces the numbers; buckets keep what they hold.
func (l *Limiter) Configure(limits config.RateLimits) {
	limits = limits.WithDefaults()
	table := [limitCount]config.RateLimit{
		LimitMessage: limits.Message, LimitLogin: limits.Login, LimitRegistration: limits.Registration,
		LimitJoin: limits.Join, LimitInvite: limits.Invite, LimitMedia: limits.Media,
	}
	if limits.Disabled {
		for i := range table {
			table[i].PerSecond = -1
		}
	}
	l.limits.Store(&table)
}

// Take takes a token for key out of the bucket of limit. When there is none
// it returns how long until there is one.
func (l *Limiter) Take(limit Limit, key string) (wait time.Duration) {
	if limit == NoLimit {
		return 0
	}
	rate := l.limits.Load()[limit]
	if rate.PerSecond < 0 {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := bucketKey{limit, key}
	b, known := l.buckets[k]
	if !known {
		l.sweep(now)
		b = bucket{float64(rate.Burst), now}
	}
	b = b.filled(rate, now)
	if b.tokens < 1 {
		wait = time.Duration((1 - b.tokens) / rate.PerSecond * float64(time.Second))
	} else {
		b.tokens--
	}
	l.buckets[k] = b
	return wait
}

// filled is b at the time now.
func (b bucket) filled(rate config.RateLimit, now time.Time) bucket {
	b.tokens = min(float64(rate.Burst), b.tokens+max(0, now.Sub(b.at).Seconds())*rate.PerSecond)
	b.at = now
	return b
}

// sweep forgets buckets that are full again, when there are many: a full one
// is the same as none. The cost is shared by the requests that made them.
func (l *Limiter) sweep(now time.Time) {
	if len(l.buckets) < l.sweepAt {
		return
	}
	rates := l.limits.Load()
	for k, b := range l.buckets {
		rate := rates[k.limit]
		if rate.PerSecond < 0 || b.filled(rate, now).tokens >= float64(rate.Burst) {
			delete(l.buckets, k)
		}
	}
	l.sweepAt = max(firstSweep, 2*len(l.buckets))
}
