// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
)

// ChangeKind says what a change is about.
type ChangeKind int64

// The kinds of change. Values are stored: never renumber.
const (
	// ChangeEvent: Ref is the event nid, RoomNID its room; UserID is the
	// state key of a membership event, else empty.
	ChangeEvent ChangeKind = 1
	// ChangeReceipt: UserID's receipt in RoomNID.
	ChangeReceipt ChangeKind = 2
	// ChangeAccountData: UserID's account data, of RoomNID or 0 for global.
	ChangeAccountData ChangeKind = 3
	// ChangeToDevice: a message waits for a device of UserID.
	ChangeToDevice ChangeKind = 4
	// ChangeDeviceList: UserID's devices, keys or cross-signing keys changed.
	ChangeDeviceList ChangeKind = 5
	// ChangeSession: access tokens or the state of UserID's account changed; caches drop it.
	ChangeSession ChangeKind = 6
	// ChangeOneTimeKeys: the one-time or fallback keys of a device of UserID changed.
	ChangeOneTimeKeys ChangeKind = 7
	// ChangeProfile: UserID's profile changed.
	ChangeProfile ChangeKind = 8
	// ChangeForget: UserID forgot RoomNID.
	ChangeForget ChangeKind = 9
	// ChangeSignature: UserID's own view of signatures changed (a user-signing
	// signature, which nobody else sees).
	ChangeSignature ChangeKind = 10
	// ChangeRedaction: the event Ref of RoomNID was stripped; caches drop it.
	ChangeRedaction ChangeKind = 11
	// ChangeDirectory: RoomNID entered or left the room directory.
	ChangeDirectory ChangeKind = 12
	// ChangeRelation: in RoomNID something points or no longer points at an
	// event whose RelationRef is Ref.
	ChangeRelation ChangeKind = 13
	// ChangePusher: where notifications of UserID go changed.
	ChangePusher ChangeKind = 14
	// ChangeMedia: UserID uploaded what was still to come of a media id.
	ChangeMedia ChangeKind = 16
)

// Change is one entry of the log that everything else follows. Positions are
// given in commit order: whoever has seen Pos has seen all before it.
type Change struct {
	Pos     int64
	Kind    ChangeKind
	RoomNID int64
	UserID  string
	Ref     int64
}

// ringSize is how many recent changes are kept in memory (48 bytes each).
const ringSize = 1 << 14

// Log is the tail of the change log in memory.
type Log struct {
	mu        sync.RWMutex
	ring      []Change // the last len(ring) changes; position p is at p % ringSize
	head      int64
	oldest    int64 // position of the oldest change in the ring
	followers []func([]Change)
	moved     chan struct{} // closed and replaced when head moves
}

func newLog(head int64) *Log {
	return &Log{ring: make([]Change, 0, 64), head: head, oldest: head + 1, moved: make(chan struct{})}
}

// Head is the newest position that readers may rely on.
func (l *Log) Head() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// Follow registers fn, which is called with each run of new changes, in
// order, before waiting readers wake. It must be quick. Call it before Run.
func (l *Log) Follow(fn func([]Change)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers = append(l.followers, fn)
}

// Between returns the changes with from < Pos <= to. ok is false when the
// ring no longer reaches back to from; ask Store.ChangesBetween then.
func (l *Log) Between(from, to int64) (changes []Change, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	to = min(to, l.head)
	if from+1 < l.oldest {
		return nil, false
	}
	for p := from + 1; p <= to; p++ {
		changes = append(changes, l.ring[p%ringSize])
	}
	return changes, true
}

// Wait blocks until the head is beyond pos or ctx ends.
func (l *Log) Wait(ctx context.Context, pos int64) error {
	for {
		l.mu.RLock()
		head, moved := l.head, l.moved
		l.mu.RUnlock()
		if head > pos {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish appends changes, which must follow head without a gap.
func (l *Log) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	l.mu.RLock()
	followers := l.followers
	l.mu.RUnlock()
	for _, fn := range followers {
		fn(changes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		l.put(c)
	}
	l.head = changes[len(changes)-1].Pos
	close(l.moved)
	l.moved = make(chan struct{})
}

// put grows the ring up to ringSize on demand, so that an idle server does
// not pay for it.
func (l *Log) put(c Change) {
	slot := int(c.Pos % ringSize)
	if slot >= len(l.ring) {
		grown := make([]Change, min(ringSize, max(slot+1, 2*len(l.ring))))
		copy(grown, l.ring)
		l.ring = grown
	}
	l.ring[slot] = c
	l.oldest = max(l.oldest, c.Pos-ringSize+1)
}

const selectChanges = `SELECT stream_pos, kind, room_nid, user_id, ref FROM changes
	WHERE stream_pos > $1 AND stream_pos <= $2 ORDER BY stream_pos LIMIT $3`

func scanChange(row scanner) (Change, error) {
	var c Change
	return c, row.Scan(&c.Pos, &c.Kind, &c.RoomNID, &c.UserID, &c.Ref)
}

// ChangesBetween returns up to limit changes with from < Pos <= to from the
// database, in order.
func (s *Store) ChangesBetween(ctx context.Context, from, to int64, limit int) ([]Change, error) {
	return queryAll(ctx, s, scanChange, selectChanges, from, to, limit)
}
