// SPDX-License-Identifier: Apache-2.0

package push

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// mailbox is what a user's pushers are to tell.
type mailbox struct {
	courier *courier
	user    event.UserID

	mu      sync.Mutex
	running bool
	// rooms are those where something happened; all: everything may have changed, the pushers too.
	rooms map[int64]struct{}
	all   bool
	// again: somebody has asked to look after the user since.
	again bool

	// The rest is that goroutine's which is running.
	pushers []store.Pusher
	wishes  *wishes
	// content is what is unread by room, of those rooms that were looked at.
	content map[int64]letters
	// invites are events by which the user is invited, by room.
	invites map[int64]unread
	// whole: all rooms were looked at, so that content can be counted.
	whole bool
}

// letters are what is unread in a room.
type letters struct {
	n int
	// unsent are those that not every pusher has sent, oldest first.
	unsent []unread
}

func (b *mailbox) touch(room int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rooms == nil {
		b.rooms = map[int64]struct{}{}
	}
	b.rooms[room] = struct{}{}
}

func (b *mailbox) touchAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = true
}

// start looks after the user unless that goes on already.
func (b *mailbox) start(ctx context.Context, sending *errgroup.Group) {
	b.mu.Lock()
	b.again = true
	running := b.running
	b.running = true
	b.mu.Unlock()
	if running {
		return
	}
	sending.Go(func() error {
		for b.next() {
			if err := b.tend(ctx); err != nil {
				b.give(ctx, err)
				return nil
			}
		}
		return nil
	})
}

// next reports whether to look after the user once more.
func (b *mailbox) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = b.again
	b.again = false
	return b.running
}

// give up until later: everything is read anew then.
func (b *mailbox) give(ctx context.Context, err error) {
	b.mu.Lock()
	b.running, b.all = false, true
	b.mu.Unlock()
	if ctx.Err() == nil {
		b.courier.failed(b.user, err)
	}
}

// tend sends what is to be sent now.
func (b *mailbox) tend(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := b.refresh(ctx); err != nil {
			return err
		}
		job, err := b.job(ctx)
		if err != nil {
			return err
		}
		if job == nil {
			b.schedule()
			return nil
		}
		leads, err := b.courier.leads(ctx)
		if err != nil || !leads {
			b.courier.wake()
			return err
		}
		if err := b.do(ctx, job); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// schedule sees to it that pushers that failed are tried again.
func (b *mailbox) schedule() {
	now := b.courier.service.now()
	for i := range b.pushers {
		if at := retryAt(&b.pushers[i]); at.After(now) {
			b.courier.later(b.user, at)
		}
	}
}

// refresh takes in what happened.
func (b *mailbox) refresh(ctx context.Context) error {
	s := b.courier.service
	b.mu.Lock()
	dirty, all := b.rooms, b.all
	b.rooms, b.all = nil, false
	b.mu.Unlock()
	if all {
		if err := b.readPushers(ctx); err != nil {
			return err
		}
	}
	if len(b.pushers) == 0 {
		b.wishes, b.content, b.invites = nil, nil, nil
		return nil
	}
	w, err := s.wishesOf(ctx, b.user)
	if err != nil {
		return err
	}
	if all || w != b.wishes {
		b.wishes, b.whole = w, false
		b.content, b.invites = map[int64]letters{}, map[int64]unread{}
		if dirty, err = b.missed(ctx); err != nil {
			return err
		}
	}
	for room := range dirty {
		if err := b.look(ctx, room); err != nil {
			return err
		}
	}
	return nil
}

// from is the position that all pushers have come to.
func (b *mailbox) from() int64 {
	return slices.MinFunc(b.pushers, func(a, b store.Pusher) int { return cmp.Compare(a.SentPos, b.SentPos) }).SentPos
}

// missed returns the rooms where something happened that a pusher has not come to.
func (b *mailbox) missed(ctx context.Context) (map[int64]struct{}, error) {
	s := b.courier.service
	from := b.from()
	s.mu.Lock()
	pos := s.pos
	s.mu.Unlock()
	newest, err := s.store.NewestInJoinedRooms(ctx, string(b.user), pos)
	if err != nil {
		return nil, err
	}
	found := map[int64]struct{}{}
	for _, n := range newest {
		if n.Pos > from {
			found[n.RoomNID] = struct{}{}
		}
	}
	members, err := s.rooms.MembershipsOf(ctx, b.user)
	for _, m := range members {
		if m.Membership == rooms.Invite && m.StreamPos > from {
			found[m.RoomNID] = struct{}{}
		}
	}
	return found, err
}

// look finds out what is unread in a room.
func (b *mailbox) look(ctx context.Context, room int64) error {
	s := b.courier.service
	delete(b.content, room)
	delete(b.invites, room)
	m, _, err := s.rooms.MembershipIn(ctx, b.user, room)
	if err != nil {
		return err
	}
	switch m.Membership {
	case rooms.Invite:
		b.invites[room] = unread{pos: m.StreamPos, nid: m.EventNID}
	case rooms.Join:
		u, err := s.catchUp(ctx, b.user, room)
		if err != nil {
			return err
		}
		from := b.from()
		i := slices.IndexFunc(u.unread, func(e unread) bool { return e.pos > from })
		l := letters{n: len(u.unread)}
		if i >= 0 {
			l.unsent = slices.Clone(u.unread[i:])
		}
		b.content[room] = l
		u.mu.Unlock()
	}
	return nil
}

// count returns how much is unread in all rooms.
func (b *mailbox) count(ctx context.Context) (int64, error) {
	if !b.whole {
		members, err := b.courier.service.rooms.MembershipsOf(ctx, b.user)
		if err != nil {
			return 0, err
		}
		for _, m := range members {
			if _, known := b.content[m.RoomNID]; known || m.Membership != rooms.Join {
				continue
			}
			if err := b.look(ctx, m.RoomNID); err != nil {
				return 0, err
			}
		}
		b.whole = true
	}
	n := 0
	for _, l := range b.content {
		n += l.n
	}
	return int64(n), nil
}
