// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

// maxCachedFilters bounds the cache of parsed filters.
const maxCachedFilters = 5_000

// filters caches parsed filters by their id. What an id stands for never changes.
type filters struct {
	mu   sync.Mutex
	byID map[filterKey]*filter.Filter
}

type filterKey struct {
	user event.UserID
	id   string
}

func newFilters() *filters { return &filters{byID: map[filterKey]*filter.Filter{}} }

func (c *filters) get(ctx context.Context, s *Service, user event.UserID, id string) (*filter.Filter, error) {
	key := filterKey{user, id}
	c.mu.Lock()
	f := c.byID[key]
	c.mu.Unlock()
	if f != nil {
		return f, nil
	}
	raw, err := s.Filter(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if f, err = filter.Parse(raw); err != nil {
		return nil, fmt.Errorf("stored filter %s: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= maxCachedFilters {
		clear(c.byID)
	}
	c.byID[key] = f
	return f, nil
}
