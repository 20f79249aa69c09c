// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxUnread is how many events of a room are looked at, and counted, at most:
// what a user has not read for longer costs no more.
const maxUnread = 1000

// mainTimeline is the thread of receipts for events that are in no thread.
const mainTimeline = "main"

// Counts are numbers of unread events.
type Counts struct {
	Notifications, Highlights int
}

func (c *Counts) add(u *unread) {
	c.Notifications++
	if u.highlight {
		c.Highlights++
	}
}

// RoomCounts are the unread events of a room that a user is joined to.
type RoomCounts struct {
	// All is the sum of Main and Threads.
	All, Main Counts
	// Threads are by the root of the thread; those without unread events are left out.
	Threads map[event.EventID]Counts
	// Changed is the last position at which a count changed, as far as is remembered.
	Changed int64
}

// unread is an event that a user is notified of and has not read.
type unread struct {
	pos, nid int64
	// thread is the root of the event's thread, "" for the main timeline.
	thread    string
	highlight bool
}

// tracked is what is unread for one user in one room.
type tracked struct {
	user event.UserID
	room int64
	tail *tail

	// reread and held have Service.mu as their lock. reread: the receipts have
	// changed. held is the length of unread when it was last counted.
	reread bool
	held   int

	mu     sync.Mutex
	loaded bool
	// pos: everything up to it is accounted for.
	pos    int64
	wishes *wishes
	joined bool
	// floor: everything up to it is read, or from before the user joined.
	floor int64
	// threads is how far single threads are read; "" is the main timeline.
	threads map[string]int64
	unread  []unread
	changed int64
	// indirect: a thread was found by way of another event, whose redaction cuts that way off.
	indirect bool
}

// Unread returns how much is unread for a user in a room, as of now: that may
// be after what the caller knows of the change log, never before.
//
// https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
func (s *Service) Unread(ctx context.Context, user event.UserID, room int64) (*RoomCounts, error) {
	u, err := s.catchUp(ctx, user, room)
	if err != nil {
		return nil, fmt.Errorf("count unread events: %w", err)
	}
	defer u.mu.Unlock()
	c := &RoomCounts{Changed: u.changed}
	for i := range u.unread {
		e := &u.unread[i]
		c.All.add(e)
		if e.thread == "" {
			c.Main.add(e)
			continue
		}
		if c.Threads == nil {
			c.Threads = map[event.EventID]Counts{}
		}
		of := c.Threads[event.EventID(e.thread)]
		of.add(e)
		c.Threads[event.EventID(e.thread)] = of
	}
	return c, nil
}

// catchUp returns what is unread as of now, with its lock held.
func (s *Service) catchUp(ctx context.Context, user event.UserID, room int64) (*tracked, error) {
	w, err := s.wishesOf(ctx, user)
	if err != nil {
		return nil, err
	}
	u := s.track(user, room)
	u.mu.Lock()
	if err := s.bring(ctx, u, w); err != nil {
		u.loaded = false
		u.mu.Unlock()
		return nil, err
	}
	s.mu.Lock()
	s.size += len(u.unread) - u.held
	u.held = len(u.unread)
	s.mu.Unlock()
	return u, nil
}

// bring makes u as of now.
func (s *Service) bring(ctx context.Context, u *tracked, w *wishes) error {
	s.mu.Lock()
	changes, known := u.tail.behind(u.pos)
	pos, reread := s.pos, u.reread
	u.reread = false
	s.mu.Unlock()
	if !u.loaded || !known || u.wishes != w {
		return s.load(ctx, u, w, pos)
	}
	whole, err := s.advance(ctx, u, changes)
	if err != nil {
		return err
	}
	if whole {
		return s.load(ctx, u, w, pos)
	}
	u.pos = pos
	if reread {
		return s.readReceipts(ctx, u)
	}
	return nil
}

// load works out everything anew, as of pos.
func (s *Service) load(ctx context.Context, u *tracked, w *wishes, pos int64) error {
	before, loaded := u.unread, u.loaded
	u.loaded, u.wishes, u.pos = true, w, pos
	u.floor, u.threads, u.unread, u.indirect = pos, map[string]int64{}, nil, false
	err := s.collect(ctx, u)
	if loaded && !slices.Equal(before, u.unread) {
		u.changed = pos
	}
	return err
}

// collect finds what is unread.
func (s *Service) collect(ctx context.Context, u *tracked) error {
	m, _, err := s.rooms.MembershipIn(ctx, u.user, u.room)
	if u.joined = m.Membership == rooms.Join; err != nil || !u.joined {
		return err
	}
	if u.floor, err = s.joinedAt(ctx, m); err != nil {
		return err
	}
	if err := s.readReceipts(ctx, u); err != nil {
		return err
	}
	events, err := s.rooms.Timeline(ctx, rooms.TimelineQuery{
		RoomNID: u.room, From: u.floor, To: u.pos, Limit: maxUnread, Backwards: true,
	})
	if err != nil {
		return err
	}
	slices.Reverse(events)
	for _, ev := range events {
		if err := s.take(ctx, u, ev); err != nil {
			return err
		}
	}
	return nil
}

// maxRejoins bounds how many changes of a member's profile are passed over to find when they joined.
const maxRejoins = 200

// joinedAt returns the position at which a joined user joined.
func (s *Service) joinedAt(ctx context.Context, m rooms.Membership) (int64, error) {
	at := m.StreamPos
	nid := m.EventNID
	for range maxRejoins {
		found, err := s.rooms.EventsByNID(ctx, []int64{nid})
		if err != nil || len(found) == 0 {
			return at, err
		}
		if found[0].Membership() != rooms.Join {
			return at, nil
		}
		at, nid = found[0].StreamPos, found[0].ReplacesNID
		if nid == 0 {
			return at, nil
		}
	}
	return at, nil
}

// readReceipts reads how far the user has read, of which nothing goes back.
func (s *Service) readReceipts(ctx context.Context, u *tracked) error {
	receipts, err := s.store.OwnReceipts(ctx, u.room, string(u.user))
	if err != nil {
		return err
	}
	for thread, pos := range receipts {
		switch thread {
		case "":
			u.floor = max(u.floor, pos)
		case mainTimeline:
			u.threads[""] = max(u.threads[""], pos)
		default:
			u.threads[thread] = max(u.threads[thread], pos)
		}
	}
	u.prune(u.pos)
	return nil
}

// prune takes away what is read; at is when it was.
func (u *tracked) prune(at int64) {
	n := len(u.unread)
	u.unread = slices.DeleteFunc(u.unread, func(e unread) bool { return u.hasRead(e.thread, e.pos) })
	if len(u.unread) < n {
		u.changed = max(u.changed, at)
	}
}

func (u *tracked) hasRead(thread string, pos int64) bool {
	return pos <= u.floor || pos <= u.threads[thread]
}

// advance takes in changes. It reports whether everything has to be worked
// out anew because the user came or went.
func (s *Service) advance(ctx context.Context, u *tracked, changes []store.Change) (whole bool, err error) {
	var nids []int64
	for _, c := range changes {
		if c.Kind == store.ChangeEvent {
			nids = append(nids, c.Ref)
		}
	}
	events, err := s.rooms.EventsByNID(ctx, nids)
	if err != nil {
		return false, err
	}
	for _, c := range changes {
		if c.Kind == store.ChangeRedaction {
			if whole, err := s.redacted(ctx, u, c); whole || err != nil {
				return whole, err
			}
			continue
		}
		if len(events) == 0 || events[0].NID != c.Ref {
			continue // the event is gone
		}
		ev := events[0]
		events = events[1:]
		if u.comesOrGoes(ev) {
			return true, nil
		}
		if err := s.take(ctx, u, ev); err != nil {
			return false, err
		}
	}
	return false, nil
}

// redacted takes in a redaction. It reports whether what is read may be
// something else now: an event that is stripped does not tell its thread any more.
func (s *Service) redacted(ctx context.Context, u *tracked, c store.Change) (whole bool, err error) {
	n := len(u.unread)
	u.unread = slices.DeleteFunc(u.unread, func(e unread) bool { return e.nid == c.Ref })
	if len(u.unread) < n {
		u.changed = max(u.changed, c.Pos)
	}
	if u.indirect {
		return true, nil
	}
	found, err := s.rooms.EventsByNID(ctx, []int64{c.Ref})
	return err == nil && len(found) > 0 && found[0].Sender() == u.user, err
}

func (u *tracked) comesOrGoes(ev *rooms.StoredEvent) bool {
	if !ev.IsState(event.StateKey{Type: typeMember, Key: string(u.user)}) {
		return false
	}
	return ev.Membership() != rooms.Join || ev.Replaces == nil || ev.Replaces.Membership() != rooms.Join
}

// take takes in an event. By a message of their own users show that they have
// read what was before it in its thread.
//
// https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
func (s *Service) take(ctx context.Context, u *tracked, ev *rooms.StoredEvent) error {
	if !u.joined || ev.StreamPos <= u.floor {
		return nil
	}
	_, isState := ev.StateKey()
	own := ev.Sender() == u.user
	if own && (isState || ev.Type() == typeRedaction) {
		return nil
	}
	var notify, highlight bool
	var err error
	if !own {
		if notify, highlight, err = s.judge(ctx, u.wishes, ev); err != nil || !notify {
			return err
		}
	}
	thread, indirect, err := s.threadOf(ctx, ev)
	if err != nil {
		return err
	}
	u.indirect = u.indirect || indirect
	if own {
		u.threads[thread] = max(u.threads[thread], ev.StreamPos)
		u.prune(ev.StreamPos)
		return nil
	}
	if !u.hasRead(thread, ev.StreamPos) {
		u.append(unread{ev.StreamPos, ev.NID, thread, highlight})
	}
	return nil
}

// append adds an unread event. Where there are too many, the oldest that is
// not highlighted goes.
func (u *tracked) append(e unread) {
	u.unread = append(u.unread, e)
	u.changed = max(u.changed, e.pos)
	if len(u.unread) <= maxUnread {
		return
	}
	oldest := max(0, slices.IndexFunc(u.unread, func(e unread) bool { return !e.highlight }))
	u.unread = slices.Delete(u.unread, oldest, oldest+1)
}
