// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// load is an operation that all users repeat at the same time.
type load struct {
	name string
	// limit is the CPU time an operation may take; empty: none is set.
	limit string
	// prepare runs once before, unmeasured.
	prepare func(ctx context.Context, s *server, users []user) error
	// do is operation i of user u.
	do func(ctx context.Context, s *server, users []user, u, i int) error
}

func loads() []load {
	return []load{
		{name: "send, each sender in a room of its own", limit: "0.4 CPU-ms", do: func(ctx context.Context, s *server, users []user, u, i int) error {
			return s.send(ctx, users[u], users[u].room, fmt.Sprintf("own-%d", i))
		}},
		{name: "send, all senders in one room", limit: "0.4 CPU-ms", prepare: joinFirstRoom, do: func(ctx context.Context, s *server, users []user, u, i int) error {
			return s.send(ctx, users[u], users[0].room, fmt.Sprintf("one-%d", i))
		}},
		{name: "set state", do: func(ctx context.Context, s *server, users []user, u, i int) error {
			return s.call(ctx, users[u].token, http.MethodPut, "/rooms/"+url.PathEscape(users[u].room)+"/state/m.room.topic/", map[string]any{"topic": fmt.Sprint(i)}, nil)
		}},
		{name: "create a room", do: func(ctx context.Context, s *server, users []user, u, _ int) error {
			_, err := s.createRoom(ctx, users[u])
			return err
		}},
		{name: "initial sync", do: func(ctx context.Context, s *server, users []user, u, _ int) error {
			return s.call(ctx, users[u].token, http.MethodGet, "/sync", nil, nil)
		}},
		{name: "members of a room", do: func(ctx context.Context, s *server, users []user, u, _ int) error {
			return s.call(ctx, users[u].token, http.MethodGet, "/rooms/"+url.PathEscape(users[0].room)+"/members", nil, nil)
		}},
	}
}

func joinFirstRoom(ctx context.Context, s *server, users []user) error {
	for _, u := range users[1:] {
		if err := s.call(ctx, u.token, http.MethodPost, "/join/"+url.PathEscape(users[0].room), map[string]any{}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) send(ctx context.Context, u user, room, txn string) error {
	return s.call(ctx, u.token, http.MethodPut, "/rooms/"+url.PathEscape(room)+"/send/m.room.message/"+txn,
		map[string]any{"msgtype": "m.text", "body": "The quick brown fox jumps over the lazy dog."}, nil)
}

// measure repeats the operation for a while and says what one costs.
func (l load) measure(ctx context.Context, s *server, users []user, duration time.Duration, syncs float64) ([]figure, error) {
	if l.prepare != nil {
		if err := l.prepare(ctx, s, users); err != nil {
			return nil, err
		}
	}
	before, err := cpuTime(s.pid())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	took, err := l.run(ctx, s, users, duration)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(start).Seconds()
	after, err := cpuTime(s.pid())
	if err != nil {
		return nil, err
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("nothing was done in %s", duration)
	}
	slices.Sort(took)
	rate := float64(len(took)) / elapsed
	cost := (after - before).Seconds() * 1000 / float64(len(took))
	return []figure{{
		l.name, fmt.Sprintf("%.2f CPU-ms, %.0f/s (%.1f for each disk sync the machine could do), p50 %.1f ms, p99 %.1f ms", cost, rate, rate/syncs,
			milliseconds(took[len(took)/2]), milliseconds(took[len(took)*99/100])), l.limit,
	}}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// run has every user repeat the operation until time is up, and returns how
// long each one took.
func (l load) run(ctx context.Context, s *server, users []user, duration time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(duration)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for i := 0; time.Now().Before(end) && err == nil; i++ {
				start := time.Now()
				err = l.do(ctx, s, users, u, i)
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
