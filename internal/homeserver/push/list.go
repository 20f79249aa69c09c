// SPDX-License-Identifier: Apache-2.0

package push

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

const (
	// maxLookedAt is how many events are looked at for one page of notifications.
	maxLookedAt = 1000
	// listChunk is how many events of a room are read at once.
	listChunk = 20
)

// ListQuery asks for notifications, newest first.
type ListQuery struct {
	User event.UserID
	// To is the newest position; nil is the present.
	To    *int64
	Limit int
	// Highlights leaves out what is not highlighted.
	Highlights bool
}

// Listed is an event that a user is or was notified of.
type Listed struct {
	Event   *rooms.StoredEvent
	Actions []json.RawMessage
	Read    bool
}

// List returns what a user is notified of in the rooms that the user is joined
// to, by the rules as they are now. next is where the rest begins, nil if there
// is none; a page may be short, and even empty, although there is more.
func (s *Service) List(ctx context.Context, q ListQuery) (found []Listed, next *int64, err error) {
	w, err := s.wishesOf(ctx, q.User)
	if err != nil {
		return nil, nil, err
	}
	l := &lister{service: s, query: q, wishes: w}
	if err := l.begin(ctx); err != nil {
		return nil, nil, fmt.Errorf("find rooms: %w", err)
	}
	for range maxLookedAt {
		if len(l.walks) == 0 {
			return l.found, nil, nil
		}
		at := l.walks[0].at
		if len(l.found) == q.Limit {
			return l.found, &at, nil
		}
		if err := l.step(ctx); err != nil {
			return nil, nil, fmt.Errorf("list notifications: %w", err)
		}
	}
	if len(l.walks) == 0 {
		return l.found, nil, nil
	}
	return l.found, &l.walks[0].at, nil
}

// lister goes back through all rooms of a user at once.
type lister struct {
	service *Service
	query   ListQuery
	wishes  *wishes
	walks   walks
	found   []Listed
}

// walk goes back through one room.
type walk struct {
	room int64
	// at is the position of the next event, from that at which the user joined.
	at, joined int64
	events     []*rooms.StoredEvent
}

// walks is a heap with the newest event first.
type walks []*walk

func (w walks) Len() int           { return len(w) }
func (w walks) Less(i, j int) bool { return w[i].at > w[j].at }
func (w walks) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push and Pop are for container/heap.
func (w *walks) Push(x any) { *w = append(*w, x.(*walk)) }

// Pop removes the last.
func (w *walks) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

func (l *lister) begin(ctx context.Context) error {
	to := l.service.store.Log().Head()
	if l.query.To != nil {
		to = min(to, *l.query.To)
	}
	newest, err := l.service.store.NewestInJoinedRooms(ctx, string(l.query.User), to)
	if err != nil {
		return err
	}
	for _, n := range newest {
		l.walks = append(l.walks, &walk{room: n.RoomNID, at: n.Pos})
	}
	heap.Init(&l.walks)
	return nil
}

// step looks at the newest event that is left.
func (l *lister) step(ctx context.Context) error {
	w := l.walks[0]
	if err := l.fill(ctx, w); err != nil {
		return err
	}
	if len(w.events) == 0 {
		heap.Pop(&l.walks)
		return nil
	}
	ev := w.events[0]
	w.events = w.events[1:]
	if len(w.events) > 0 {
		w.at = w.events[0].StreamPos
	} else {
		w.at = ev.StreamPos - 1
	}
	heap.Fix(&l.walks, 0)
	return l.look(ctx, ev)
}

// fill reads the next events of a room, none where the walk has come to its end.
func (l *lister) fill(ctx context.Context, w *walk) error {
	if len(w.events) > 0 {
		return nil
	}
	if w.joined == 0 {
		m, _, err := l.service.rooms.MembershipIn(ctx, l.query.User, w.room)
		if err != nil || m.Membership != rooms.Join {
			return err
		}
		if w.joined, err = l.service.joinedAt(ctx, m); err != nil {
			return err
		}
	}
	var err error
	w.events, err = l.service.rooms.Timeline(ctx, rooms.TimelineQuery{
		RoomNID: w.room, From: w.joined, To: w.at, Limit: listChunk, Backwards: true,
	})
	return err
}

// look takes in an event if the user is notified of it.
func (l *lister) look(ctx context.Context, ev *rooms.StoredEvent) error {
	notify, highlight, err := l.service.judge(ctx, l.wishes, ev)
	if err != nil || !notify || l.query.Highlights && !highlight {
		return err
	}
	visible, err := l.service.rooms.Visible(ctx, l.query.User, []*rooms.StoredEvent{ev})
	if err != nil || len(visible) == 0 {
		return err
	}
	o, err := l.service.outcome(ctx, l.wishes, ev)
	if err != nil {
		return err
	}
	thread, _, err := l.service.threadOf(ctx, ev)
	if err != nil {
		return err
	}
	u, err := l.service.catchUp(ctx, l.query.User, ev.RoomNID)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	l.found = append(l.found, Listed{Event: visible[0], Actions: o.actions, Read: u.hasRead(thread, ev.StreamPos)})
	return nil
}
