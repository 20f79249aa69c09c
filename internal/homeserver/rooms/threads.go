// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// ThreadsQuery asks for the threads of a room.
type ThreadsQuery struct {
	// From is where to begin, backwards; nil for the newest.
	From  *int64
	Limit int
	// Participated: only threads that the user began or spoke in.
	Participated bool
}

// Threads returns the first events of threads, those with the latest replies
// first, as far as a may see them. Page.Start is not set.
//
// A page looks at maxScan threads at most: those in which the user took part
// may be few among many.
func (s *Service) Threads(ctx context.Context, a *Access, q ThreadsQuery) (*Page, error) {
	next := store.ThreadQuery{RoomNID: a.NID, User: string(a.User), Before: math.MaxInt64, Limit: max(q.Limit+1, minStep)}
	if q.From != nil {
		next.Before = *q.From
	}
	page := &Page{}
	for scanned := 0; scanned < maxScan; scanned += next.Limit {
		threads, err := s.store.Threads(ctx, next)
		if err != nil {
			return nil, fmt.Errorf("read threads: %w", err)
		}
		roots, err := s.threadRoots(ctx, a, threads)
		if err != nil {
			return nil, err
		}
		for _, t := range threads {
			if len(page.Events) == q.Limit {
				page.End = &next.Before
				return page, nil
			}
			root := roots[t.RootNID]
			if root != nil && (!q.Participated || t.Spoke || root.Sender() == a.User) {
				page.Events = append(page.Events, root)
			}
			next.Before = t.LastPos - 1
		}
		if len(threads) < next.Limit {
			return page, nil
		}
	}
	page.End = &next.Before
	return page, nil
}

// threadRoots returns those of the threads' first events that a may see, by
// nid. What an ignored user sent looks redacted, as a client would show it
// that puts threads together itself.
func (s *Service) threadRoots(ctx context.Context, a *Access, threads []store.Thread) (map[int64]*StoredEvent, error) {
	nids := make([]int64, len(threads))
	for i, t := range threads {
		nids[i] = t.RootNID
	}
	events, err := s.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	visible, err := s.Visible(ctx, a.User, events)
	if err != nil {
		return nil, err
	}
	ignored, err := s.IgnoredBy(ctx, a.User)
	if err != nil {
		return nil, err
	}
	roots := make(map[int64]*StoredEvent, len(visible))
	for _, ev := range visible {
		if _, related := relationIn(ev.Content()); related {
			continue
		}
		if isIgnored(ignored, ev) {
			stripped := *ev
			stripped.Event = ev.Redacted()
			ev = &stripped
		}
		roots[ev.NID] = ev
	}
	return roots, nil
}
