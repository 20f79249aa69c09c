// SPDX-License-Identifier: Apache-2.0

package push

import (
	"cmp"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// maxTail is how many changes of a room are kept for users who have not looked at them.
	maxTail = 1024
	// maxSize bounds the memory of all tails: changes, users and unread events count one each.
	maxSize = 1 << 18
)

// tail is what happened in a room lately and what is unread there. Service.mu
// is its lock.
type tail struct {
	// from: changes has all that happened behind it.
	from    int64
	changes []store.Change
	users   map[event.UserID]*tracked
	// dropped: it is not told of changes any more.
	dropped bool
}

// add is nil-safe, as is read.
func (t *tail) add(c store.Change) {
	if t == nil {
		return
	}
	t.changes = append(t.changes, c)
	if len(t.changes) > maxTail {
		half := len(t.changes) / 2
		t.from = t.changes[half-1].Pos
		t.changes = append(t.changes[:0:0], t.changes[half:]...)
	}
}

// read notes that a user's receipts have changed.
func (t *tail) read(user event.UserID) {
	if t == nil {
		return
	}
	if u := t.users[user]; u != nil {
		u.reread = true
	}
}

// behind returns the changes behind a position; false if not all are known.
func (t *tail) behind(pos int64) ([]store.Change, bool) {
	if t.dropped || pos < t.from {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(t.changes, pos+1, func(c store.Change, pos int64) int { return cmp.Compare(c.Pos, pos) })
	return slices.Clone(t.changes[i:]), true
}

// track returns what is known of a user in a room.
func (s *Service) track(user event.UserID, room int64) *tracked {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom()
	t := s.tails[room]
	if t == nil {
		t = &tail{from: s.pos, users: map[event.UserID]*tracked{}}
		s.tails[room] = t
	}
	u := t.users[user]
	if u == nil {
		u = &tracked{user: user, room: room, tail: t}
		t.users[user] = u
		s.size++
	}
	return u
}

// makeRoom forgets rooms when too much is known; which, does not matter: it
// can be worked out again.
func (s *Service) makeRoom() {
	if s.size < maxSize {
		return
	}
	s.size = 0
	for _, t := range s.tails {
		s.size += t.size()
	}
	for room, t := range s.tails {
		if s.size < maxSize/2 {
			return
		}
		s.size -= t.size()
		t.dropped = true
		delete(s.tails, room)
	}
}

func (t *tail) size() int {
	n := len(t.changes) + len(t.users)
	for _, u := range t.users {
		n += u.held
	}
	return n
}
