// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// cost is what one load costs a server.
type cost struct {
	load
	cpuMS, perSecond float64
	p50, p99         time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f CPU-ms, %.0f/s, p50 %.1f ms, p99 %.1f ms", c.cpuMS, c.perSecond, milliseconds(c.p50), milliseconds(c.p99))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure repeats the operation for a while and says what one costs.
func (l load) measure(ctx context.Context, s *scene, duration time.Duration) (cost, error) {
	if l.prepare != nil {
		if err := l.prepare(ctx, s); err != nil {
			return cost{}, err
		}
	}
	before, err := cpuTime(s.pid())
	if err != nil {
		return cost{}, err
	}
	start := time.Now()
	took, err := l.run(ctx, s, duration)
	if err != nil {
		return cost{}, err
	}
	elapsed := time.Since(start).Seconds()
	after, err := cpuTime(s.pid())
	if err != nil {
		return cost{}, err
	}
	if len(took) == 0 {
		return cost{}, fmt.Errorf("nothing was done in %s", duration)
	}
	slices.Sort(took)
	n := float64(len(took))
	return cost{load: l, cpuMS: (after - before).Seconds() * 1000 / n, perSecond: n / elapsed, p50: took[len(took)/2], p99: took[len(took)*99/100]}, nil
}

// run has every user repeat the operation, and returns how long each one took.
func (l load) run(ctx context.Context, s *scene, duration time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(duration)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for u := range s.users {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for i := 0; err == nil && (l.times > i || l.times == 0 && time.Now().Before(end)); i++ {
				start := time.Now()
				err = l.do(ctx, s, u, i)
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return all, failed
}

// remember notes the mxc URI of an upload's answer.
func (s *scene) remember(answer []byte) error {
	var uploaded struct {
		URI string `json:"content_uri"`
	}
	if err := json.Unmarshal(answer, &uploaded); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.media = append(s.media, strings.TrimPrefix(uploaded.URI, "mxc://"))
	return nil
}
