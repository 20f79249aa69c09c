// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"math"
)

// MessagesQuery asks for a page of a room's history.
type MessagesQuery struct {
	// From is where to begin, after that position or, backwards, at it; nil
	// for the beginning or, backwards, the end.
	From *int64
	// To is where to stop at the latest; nil for nowhere.
	To        *int64
	Backwards bool
	Limit     int
	// Matches says which events are wanted; nil for all.
	Matches func(*StoredEvent) bool
}

// Page is a part of a room's history.
type Page struct {
	Events []*StoredEvent
	// Start is where the page begins. End is where the next one does; nil if
	// there is nothing more.
	Start int64
	End   *int64
}

// maxScan bounds how many events one page looks through for those that are
// visible and match; what is beyond comes with the next page.
const maxScan = 1000

// Messages returns a page of what a may read.
func (s *Service) Messages(ctx context.Context, a *Access, q MessagesQuery) (*Page, error) {
	w := &walk{service: s, access: a, q: q}
	w.start()
	page := &Page{Start: w.pos}
	for scanned := 0; ; {
		events, more, err := w.next(ctx, q.Limit-len(page.Events))
		if err != nil {
			return nil, err
		}
		page.Events = append(page.Events, events...)
		scanned += w.scanned
		if !more {
			return page, nil
		}
		if len(page.Events) >= q.Limit || scanned >= maxScan {
			page.End = &w.pos
			return page, nil
		}
	}
}

// walk goes through a timeline.
type walk struct {
	service *Service
	access  *Access
	q       MessagesQuery
	// pos is where the walk stands, limit where it ends.
	pos, limit int64
	// scanned is how many events the last step looked at.
	scanned int
}

func (w *walk) start() {
	if w.q.Backwards {
		w.pos, w.limit = min(w.access.UpTo, w.service.store.Log().Head()), math.MinInt64
	} else {
		w.pos, w.limit = 0, w.access.UpTo
	}
	if w.q.From != nil {
		w.pos = *w.q.From
	}
	if w.q.To != nil {
		w.limit = *w.q.To
	}
}

// minStep is how many events a step looks at, at least: not every one is visible.
const minStep = 32

// next returns up to limit more events. more is false if the walk is at its end.
func (w *walk) next(ctx context.Context, limit int) (wanted []*StoredEvent, more bool, err error) {
	step := TimelineQuery{
		RoomNID: w.access.NID, From: w.pos, To: w.limit, Backwards: w.q.Backwards, Limit: max(limit+1, minStep),
	}
	if w.q.Backwards {
		step.From, step.To = w.limit, w.pos
	}
	events, err := w.service.Timeline(ctx, step)
	if err != nil {
		return nil, false, err
	}
	w.scanned = len(events)
	visible, err := w.service.Visible(ctx, w.access.User, events)
	if err != nil {
		return nil, false, err
	}
	if visible, err = w.service.wanted(ctx, w.access.User, visible); err != nil {
		return nil, false, err
	}
	for _, ev := range visible {
		if w.q.Matches != nil && !w.q.Matches(ev) {
			continue
		}
		if len(wanted) == limit {
			return wanted, true, nil // there is at least this one more
		}
		wanted = append(wanted, ev)
		w.pass(ev)
	}
	if len(events) < step.Limit {
		return wanted, false, nil
	}
	w.pass(events[len(events)-1])
	return wanted, true, nil
}

// pass moves the walk beyond ev.
func (w *walk) pass(ev *StoredEvent) {
	w.pos = ev.StreamPos
	if w.q.Backwards {
		w.pos--
	}
}
