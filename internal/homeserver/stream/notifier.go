// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// memberships is what the notifier needs of rooms.
type memberships interface {
	MembershipsOf(ctx context.Context, user event.UserID) ([]rooms.Membership, error)
}

// notifier knows which users wait for what, so that a change wakes those whom
// it concerns and nobody else. It indexes only users who sync now or did a
// moment ago: a change costs as much as the room has such members.
type notifier struct {
	members memberships
	now     func() time.Time

	mu    sync.Mutex
	users map[event.UserID]*watched
	rooms map[int64]map[*watched]struct{}
	// pos is the newest position that was looked at, counted the newest count
	// of typing and presence.
	pos, counted int64
	// lists are changes of device lists that the worker has not passed on yet.
	lists   []store.Change
	kick    chan struct{}
	sweepAt int
}

// watched is a user who syncs.
type watched struct {
	user  event.UserID
	rooms map[int64]struct{}
	// since: changes behind it that concern the user are in last and typing.
	since int64
	// stale says that a membership changed since rooms was read.
	stale bool
	// last is the newest position, typing the newest count of typing and presence, that concerns the user.
	last, typing int64
	// wake is closed at the next change; nil while nobody waits.
	wake chan struct{}
	refs int
	used time.Time
	// loading is held while rooms is read, so that nobody waits on half of it.
	loading sync.Mutex
}

const (
	// keepWatched is how long a user stays indexed after the last sync.
	keepWatched = 10 * time.Minute
	// minSweep is how many users are indexed before idle ones are looked for.
	minSweep = 1024
)

func newNotifier(members memberships, head int64, now func() time.Time) *notifier {
	return &notifier{
		members: members, now: now, pos: head, sweepAt: minSweep, kick: make(chan struct{}, 1),
		users: map[event.UserID]*watched{}, rooms: map[int64]map[*watched]struct{}{},
	}
}

// follow looks at new changes; store.Log calls it before its head moves.
func (n *notifier) follow(changes []store.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		n.pos = c.Pos
		n.look(c)
	}
}

func (n *notifier) look(c store.Change) {
	user := n.users[event.UserID(c.UserID)]
	switch c.Kind {
	case store.ChangeEvent:
		if user != nil {
			n.index(user, c.RoomNID)
			user.stale = true
			user.touch(c.Pos)
		}
		n.touchRoom(c.RoomNID, c.Pos)
	case store.ChangeReceipt:
		if c.Ref != store.ReceiptPrivate {
			n.touchRoom(c.RoomNID, c.Pos)
		} else if user != nil {
			user.touch(c.Pos)
		}
	case store.ChangeAccountData, store.ChangeToDevice, store.ChangeOneTimeKeys, store.ChangeSignature,
		store.ChangeSession: // which ends a sync whose token is gone
		if user != nil {
			user.touch(c.Pos)
		}
	case store.ChangeDeviceList:
		if user != nil {
			user.touch(c.Pos)
		}
		if len(n.users) > 0 {
			n.lists = append(n.lists, c)
			signal(n.kick)
		}
	case store.ChangeForget:
		if user != nil {
			user.stale = true
		}
	case store.ChangeProfile, store.ChangePusher, store.ChangeRedaction, store.ChangeDirectory, store.ChangeRelation, store.ChangeMedia: // nothing of it is in /sync
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (n *notifier) touchRoom(room, pos int64) {
	for w := range n.rooms[room] {
		w.touch(pos)
	}
}

// touch notes that the change at pos concerns the user.
func (w *watched) touch(pos int64) {
	if pos > w.last {
		w.last = pos
		w.awake()
	}
}

func (w *watched) awake() {
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// typed notes that who types in a room, or who is there, changed by the count-th change.
func (n *notifier) typed(room, count int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counted = max(n.counted, count)
	for w := range n.rooms[room] {
		w.typing = max(w.typing, count)
		w.awake()
	}
}

// present notes that users came or went, the last of them by the count-th
// change. Each room is gone through once, however many of its members did.
func (n *notifier) present(ctx context.Context, users []presentAs, count int64) error {
	affected := map[int64]struct{}{}
	for _, u := range users {
		all, err := n.members.MembershipsOf(ctx, u.user)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Membership == membershipJoin {
				affected[m.RoomNID] = struct{}{}
			}
		}
	}
	for room := range affected {
		n.typed(room, count)
	}
	return nil
}

func (n *notifier) index(w *watched, room int64) {
	w.rooms[room] = struct{}{}
	if n.rooms[room] == nil {
		n.rooms[room] = map[*watched]struct{}{}
	}
	n.rooms[room][w] = struct{}{}
}

func (n *notifier) unindex(w *watched, room int64) {
	delete(w.rooms, room)
	delete(n.rooms[room], w)
	if len(n.rooms[room]) == 0 {
		delete(n.rooms, room)
	}
}

// watch indexes a user until release is called, and a while longer. Changes
// behind the watched user's since position are accounted for from now on.
func (n *notifier) watch(ctx context.Context, user event.UserID) (*watched, error) {
	n.mu.Lock()
	n.sweep()
	w := n.users[user]
	if w == nil {
		w = &watched{user: user, rooms: map[int64]struct{}{}, stale: true, typing: n.counted}
		n.users[user] = w
	}
	w.refs++
	w.used = n.now()
	n.mu.Unlock()
	if err := n.reload(ctx, w); err != nil {
		n.release(w)
		return nil, err
	}
	return w, nil
}

// reload reads which rooms a user is joined to, if that may have changed.
func (n *notifier) reload(ctx context.Context, w *watched) error {
	w.loading.Lock()
	defer w.loading.Unlock()
	n.mu.Lock()
	fresh := !w.stale
	w.stale = false
	n.mu.Unlock()
	if fresh {
		return nil
	}
	all, err := n.members.MembershipsOf(ctx, w.user)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		w.stale = true
		return err
	}
	joined := map[int64]struct{}{}
	for _, m := range all {
		if m.Membership == membershipJoin {
			joined[m.RoomNID] = struct{}{}
			n.index(w, m.RoomNID)
		}
	}
	if !w.stale { // else a room that follow added may be missing from joined
		for room := range w.rooms {
			if _, ok := joined[room]; !ok {
				n.unindex(w, room)
			}
		}
	}
	w.since = n.pos
	return nil
}

// accounted returns the position that everything concerning w is known from.
func (n *notifier) accounted(w *watched) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return w.since
}

func (n *notifier) release(w *watched) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.refs--
	w.used = n.now()
}

// sweep forgets users who have not synced for a while.
func (n *notifier) sweep() {
	if len(n.users) < n.sweepAt {
		return
	}
	idle := n.now().Add(-keepWatched)
	for user, w := range n.users {
		if w.refs > 0 || w.used.After(idle) {
			continue
		}
		for room := range w.rooms {
			n.unindex(w, room)
		}
		delete(n.users, user)
	}
	n.sweepAt = max(minSweep, 2*len(n.users))
}

// waiting returns a channel that is closed when something beyond pos, or
// beyond the typing count, concerns w; nil when something does already.
func (n *notifier) waiting(w *watched, pos, typing int64) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.last > pos || w.typing > typing {
		return nil
	}
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	return w.wake
}

// quiet returns a position up to which nothing behind pos concerns w; pos
// itself when something does.
func (n *notifier) quiet(w *watched, pos int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.last > pos {
		return pos
	}
	safe := n.pos
	if len(n.lists) > 0 {
		safe = n.lists[0].Pos - 1
	}
	return max(pos, safe)
}

// behind reports whether there are changes of device lists that may concern
// users whom nobody has told yet.
func (n *notifier) behind() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.lists) > 0
}

// latest returns the newest position that concerns w.
func (n *notifier) latest(w *watched) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return w.last
}

// passOnLists tells those who share a room with a user that the user's
// devices changed, until ctx ends. It is not part of follow because the
// user's rooms may have to be read.
func (n *notifier) passOnLists(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.kick:
		}
		for n.passOnList(ctx) {
		}
	}
}

// passOnList passes one change on; false if there was none.
func (n *notifier) passOnList(ctx context.Context) bool {
	n.mu.Lock()
	if len(n.lists) == 0 {
		n.mu.Unlock()
		return false
	}
	c := n.lists[0]
	n.mu.Unlock()
	all, err := n.members.MembershipsOf(ctx, event.UserID(c.UserID))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range all {
		if m.Membership == membershipJoin {
			n.touchRoom(m.RoomNID, c.Pos)
		}
	}
	if err != nil { // let everybody look for themselves rather than miss it
		for _, w := range n.users {
			w.touch(c.Pos)
		}
	}
	n.lists = n.lists[1:]
	return true
}
