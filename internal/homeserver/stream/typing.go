// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// MaxTyping is the longest that one notice counts; clients repeat it.
	MaxTyping = 2 * time.Minute
	// DefaultTyping is how long it counts where the client does not say.
	DefaultTyping = 30 * time.Second
	// keepSilent is how long a room that fell silent is remembered, so that everybody hears of it.
	keepSilent = 5 * time.Minute
)

// typing knows who types where. It is kept in memory only: after a restart
// nobody types until told again.
type typing struct {
	changed func(room, count int64)
	count   *counter

	mu    sync.Mutex
	start time.Time
	rooms map[int64]*typingRoom
	kick  chan struct{}
}

type typingRoom struct {
	count int64
	at    time.Time // of the last change
	until map[event.UserID]time.Time
}

func newTyping(changed func(room, count int64), c *counter) *typing {
	return &typing{
		changed: changed, count: c, start: time.Now(),
		rooms: map[int64]*typingRoom{}, kick: make(chan struct{}, 1),
	}
}

// set notes that a user types in a room for d; 0 or less is no longer.
func (t *typing) set(room int64, user event.UserID, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	r := t.rooms[room]
	_, typed := r.users()[user]
	if d <= 0 && !typed && now.Sub(t.start) > MaxTyping {
		return // shortly after a start others may believe it, from before
	}
	if r == nil {
		r = &typingRoom{until: map[event.UserID]time.Time{}}
		t.rooms[room] = r
	}
	if d > 0 {
		r.until[user] = now.Add(d)
		signal(t.kick)
	} else {
		delete(r.until, user)
	}
	if !typed || d <= 0 {
		t.change(room, r, now)
	}
}

// follow ends the typing of users whose membership changes: they may have left.
func (t *typing) follow(changes []store.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		r := t.rooms[c.RoomNID]
		if c.Kind != store.ChangeEvent || r == nil {
			continue
		}
		if _, typed := r.until[event.UserID(c.UserID)]; typed {
			delete(r.until, event.UserID(c.UserID))
			t.change(c.RoomNID, r, time.Now())
		}
	}
}

// users is nil-safe.
func (r *typingRoom) users() map[event.UserID]time.Time {
	if r == nil {
		return nil
	}
	return r.until
}

func (t *typing) change(room int64, r *typingRoom, now time.Time) {
	r.count, r.at = t.count.next(), now
	t.changed(room, r.count)
}

// since returns the rooms in which who types changed behind count, with those
// who do. A count of another start counts as none.
func (t *typing) since(count int64) map[int64][]event.UserID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if count > t.count.now() {
		count = 0
	}
	var found map[int64][]event.UserID
	for room, r := range t.rooms {
		if r.count <= count {
			continue
		}
		if found == nil {
			found = map[int64][]event.UserID{}
		}
		found[room] = r.sorted()
	}
	return found
}

func (r *typingRoom) sorted() []event.UserID {
	all := make([]event.UserID, 0, len(r.until))
	for user := range r.until {
		all = append(all, user)
	}
	slices.Sort(all)
	return all
}

// run lets notices expire until ctx ends.
func (t *typing) run(ctx context.Context) error {
	timer := time.NewTimer(MaxTyping)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.kick:
		case <-timer.C:
		}
		timer.Reset(t.expire())
	}
}

// expire drops what is over and returns how long the next lasts.
func (t *typing) expire() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	next := MaxTyping
	for room, r := range t.rooms {
		over := false
		for user, until := range r.until {
			if left := until.Sub(now); left > 0 {
				next = min(next, left)
				continue
			}
			delete(r.until, user)
			over = true
		}
		if over {
			t.change(room, r, now)
		}
		if len(r.until) == 0 && now.Sub(r.at) > keepSilent {
			delete(t.rooms, room)
		}
	}
	return next
}
