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

const (
	waiters    = 200
	wakeRounds = 5
)

// waiter is a user that hangs in /sync.
type waiter struct {
	user
	since string
}

// sync waits for news and moves on to what it got.
func (w *waiter) sync(ctx context.Context, s *server, timeout time.Duration) error {
	query := url.Values{"timeout": {fmt.Sprint(timeout.Milliseconds())}}
	if w.since != "" {
		query.Set("since", w.since)
	}
	var answer struct {
		NextBatch string `json:"next_batch"`
	}
	err := s.call(ctx, w.token, http.MethodGet, "/v3/sync?"+query.Encode(), nil, &answer)
	w.since = answer.NextBatch
	return err
}

// wake has many users of one room wait in /sync for a message, and returns how
// long after its sending began the last of them had it: the median of some rounds.
func (s *scene) wake(ctx context.Context) (time.Duration, error) {
	users, err := s.register(ctx, "waiter", waiters)
	if err != nil {
		return 0, err
	}
	room, err := s.createRoom(ctx, s.users[0])
	if err != nil {
		return 0, err
	}
	all := make([]*waiter, waiters)
	for i, u := range users {
		if err := s.join(ctx, u, room); err != nil {
			return 0, err
		}
		all[i] = &waiter{user: u}
	}
	for _, w := range all {
		if err := w.sync(ctx, s.server, 0); err != nil {
			return 0, err
		}
	}
	var took []time.Duration
	for i := range wakeRounds {
		last, err := s.wakeOnce(ctx, all, room, fmt.Sprintf("wake-%d", i))
		if err != nil {
			return 0, err
		}
		took = append(took, last)
	}
	slices.Sort(took)
	return took[wakeRounds/2], nil
}

func (s *scene) wakeOnce(ctx context.Context, all []*waiter, room, txn string) (time.Duration, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var last time.Time
	var failed error
	for _, w := range all {
		wg.Go(func() {
			err := w.sync(ctx, s.server, time.Minute)
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			}
			if now.After(last) {
				last = now
			}
		})
	}
	// All of them wait as soon as the server has nothing left to do.
	if err := rest(ctx, s.pid()); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := s.send(ctx, s.users[0], room, txn); err != nil {
		return 0, err
	}
	wg.Wait()
	return last.Sub(start), failed
}
