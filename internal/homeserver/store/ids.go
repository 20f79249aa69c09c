// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
)

// idBlock is how many ids a replica takes at once.
const idBlock = 1000

// idCounter hands out the ids of one name.
type idCounter struct {
	mu        sync.Mutex
	next, end int64
}

const (
	startIDs = `INSERT INTO id_alloc (name, next) VALUES ($1, 1) ON CONFLICT (name) DO NOTHING`
	takeIDs  = `UPDATE id_alloc SET next = next + $1 WHERE name = $2 RETURNING next`
)

// NewIDs returns the first of n consecutive ids of name ("event", "room",
// "state", …), which nobody else gets. Ids are unique, not ordered in time.
// It may wait for a commit: do not call it inside Write.Apply.
func (s *Store) NewIDs(ctx context.Context, name string, n int64) (int64, error) {
	c := s.counter(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end-c.next < n {
		if err := s.takeBlock(ctx, c, name, max(n, idBlock)); err != nil {
			return 0, err
		}
	}
	first := c.next
	c.next += n
	return first, nil
}

func (s *Store) counter(name string) *idCounter {
	s.countersMu.Lock()
	defer s.countersMu.Unlock()
	c := s.counters[name]
	if c == nil {
		c = &idCounter{}
		s.counters[name] = c
	}
	return c
}

func (s *Store) takeBlock(ctx context.Context, c *idCounter, name string, n int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, startIDs, name); err != nil {
			return err
		}
		end, err := queryOne(ctx, tx, scanInt64, takeIDs, n, name)
		if err != nil {
			return err
		}
		tx.wrote = true
		c.next, c.end = end-n, end
		return nil
	})
}
