// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
)

// clock is a clock that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestLimiter(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	l := NewLimiter(config.RateLimits{Login: config.RateLimit{PerSecond: 2, Burst: 3}}, c.now)
	take := func(key string, allowed bool) time.Duration {
		t.Helper()
		wait := l.Take(LimitLogin, key)
		if (wait == 0) != allowed {
			t.Fatalf("%s at %v: wait %v, want allowed %v", key, c.t, wait, allowed)
		}
		return wait
	}
	for range 3 {
		take("a", true)
	}
	if wait := take("a", false); wait != 500*time.Millisecond {
		t.Errorf("wait %v, want half a second", wait)
	}
	take("b", true)
	c.t = c.t.Add(500 * time.Millisecond)
	take("a", true)
	take("a", false)
	c.t = c.t.Add(-time.Hour) // a clock that jumps back neither fills nor empties
	take("a", false)
	c.t = c.t.Add(2 * time.Hour)
	for range 3 {
		take("a", true)
	}
	take("a", false)
	l.Configure(config.RateLimits{Login: config.RateLimit{PerSecond: -1}})
	take("a", true)
	l.Configure(config.RateLimits{Login: config.RateLimit{PerSecond: 2, Burst: 3}, Disabled: true})
	take("a", true)
}

func TestLimiterForgetsFullBuckets(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	l := NewLimiter(config.RateLimits{Login: config.RateLimit{PerSecond: 1, Burst: 1}}, c.now)
	for i := range 10 * firstSweep {
		l.Take(LimitLogin, itoa(i))
		c.t = c.t.Add(time.Second)
	}
	if n := len(l.buckets); n > firstSweep {
		t.Errorf("%d buckets are kept", n)
	}
}
