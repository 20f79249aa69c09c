// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// roomEntry is a room in which this replica sends.
type roomEntry struct {
	info *Info
	// turn is held while an event is built on the head and submitted.
	turn sync.Mutex
	// head is the newest head, on disk or on its way there; nil: read it. Guarded by turn.
	head *head
	// base is the head_nid as it was last read from the database. Guarded by turn.
	base int64
	// size is about the memory of head, as entries counts it. Guarded by turn.
	size int64
	// stale says that head is not what the database has or will have.
	stale atomic.Bool
	// redacted says that the state that head remembers may have been stripped.
	redacted atomic.Bool
	// confirmed is the newest head_nid of ours that was committed.
	confirmed atomic.Int64
}

// What a roomEntry takes: at least, for each key of the state that is
// remembered, and before a change of it is worth counting.
const (
	entrySize     = 1 << 10
	headStateSize = 1 << 10
	sizeStep      = 8 << 10
)

// weigh keeps count of the memory of the entry's head. The caller has the turn.
func (s *Service) weigh(e *roomEntry) {
	size := int64(entrySize)
	if e.head != nil {
		size += int64(len(e.head.state)) * headStateSize
		for _, l := range e.head.chain {
			size += l.size()
		}
	}
	if size > e.size+sizeStep || size < e.size-sizeStep {
		e.size = size
		s.entries.resize(e.info.NID, size)
	}
}

// maxIdleChain is the largest state that a head keeps in memory, in bytes,
// once all that was built on it is on disk and can be read again.
const maxIdleChain = 128 << 10

// shrink lets go of a large state. The caller has the turn.
func (e *roomEntry) shrink() {
	if e.head == nil || len(e.head.chain) == 0 || e.confirmed.Load() != e.head.id {
		return
	}
	if base := e.head.chain[len(e.head.chain)-1]; base.size() > maxIdleChain {
		e.head.chain = nil
	}
}

// head is what an event is built on.
type head struct {
	id, depth, stateNID int64
	// tips are the forward extremities.
	tips []tip
	// state is what was looked up of the state after the tips; nil: not set.
	state map[event.StateKey]*StoredEvent
	// chain is that state as layers; nil until a state event needs it.
	chain chain
	// complete: what is not in state is not set (a room that is being made).
	complete bool
}

// tip is a forward extremity, as far as the next event needs to know it.
type tip struct {
	nid int64
	ref event.Reference
}

// maxHeadState bounds how much a head remembers of the state.
const maxHeadState = 128

// makeRoom forgets what is remembered unless there is room for n keys more.
func (h *head) makeRoom(n int) {
	if len(h.state)+n > maxHeadState && !h.complete {
		clear(h.state)
	}
}

// entry returns the room for sending, or store.ErrNotFound.
func (s *Service) entry(ctx context.Context, roomID event.RoomID) (*roomEntry, error) {
	info, err := s.RoomByID(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return s.entries.load(ctx, info.NID, func(context.Context) (*roomEntry, int64, error) {
		return &roomEntry{info: info}, entrySize, nil
	})
}

// currentHead returns the head to build on, read anew if need be. The caller has the turn.
func (s *Service) currentHead(ctx context.Context, e *roomEntry) (*head, error) {
	last := e.head
	if !e.stale.Swap(false) && last != nil {
		return last, nil
	}
	room, err := s.store.RoomByNID(ctx, e.info.NID)
	if err != nil {
		return nil, fmt.Errorf("read room %s: %w", e.info.ID, err)
	}
	tips, err := decodeHeads(room.Heads)
	if err != nil {
		return nil, err
	}
	next := &head{id: room.HeadNID, depth: room.Depth, stateNID: room.StateNID, tips: tips}
	if !e.redacted.Swap(false) && last != nil && last.stateNID == next.stateNID {
		next.state, next.chain = last.state, last.chain // others only talked
	} else {
		next.state = map[event.StateKey]*StoredEvent{}
	}
	e.base, e.head = room.HeadNID, next
	return next, nil
}

// isCurrent reports whether the head that the turn's holder built on can
// still be right: the database has it, or something that it was built on.
func (s *Service) isCurrent(ctx context.Context, e *roomEntry) (bool, error) {
	if e.stale.Load() || e.head == nil {
		return false, nil
	}
	nid, err := s.store.RoomHead(ctx, e.info.NID)
	if err != nil {
		return false, fmt.Errorf("read room %s: %w", e.info.ID, err)
	}
	if nid == e.head.id || nid == e.base || nid == e.confirmed.Load() {
		return true, nil
	}
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	p := s.pending[nid]
	return p != nil && p.entry == e, nil
}

// encodeHeads writes the list of forward extremities: for each its nid, its id
// and its hash, both with their length before them.
func encodeHeads(tips []tip) []byte {
	b := make([]byte, 0, 64*len(tips))
	for _, t := range tips {
		b = binary.AppendVarint(b, t.nid)
		b = append(binary.AppendVarint(b, int64(len(t.ref.ID))), t.ref.ID...)
		b = append(binary.AppendVarint(b, int64(len(t.ref.Hash))), t.ref.Hash...)
	}
	return b
}

func decodeHeads(b []byte) ([]tip, error) {
	var tips []tip
	for len(b) > 0 {
		nid, n := binary.Varint(b)
		if n <= 0 {
			return nil, errCorruptHeads
		}
		id, rest, ok := cutBytes(b[n:])
		if !ok {
			return nil, errCorruptHeads
		}
		hash, rest, ok := cutBytes(rest)
		if !ok {
			return nil, errCorruptHeads
		}
		tips, b = append(tips, tip{nid, event.Reference{ID: event.EventID(id), Hash: hash}}), rest
	}
	return tips, nil
}

var errCorruptHeads = fmt.Errorf("%w: unreadable forward extremities", store.ErrCorrupt)

// cutBytes splits off bytes that have their length before them.
func cutBytes(b []byte) (value, rest []byte, ok bool) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 0 || int64(len(b)-n) < length {
		return nil, nil, false
	}
	return b[n:][:length], b[n:][length:], true
}

// turn is one sender's time at the head of a room.
type turn struct {
	service *Service
	entry   *roomEntry
	head    *head
}

// state returns what the room's state has at key, nil if it is not set.
func (t *turn) state(ctx context.Context, key event.StateKey) (*StoredEvent, error) {
	if err := t.preload(ctx, key); err != nil {
		return nil, err
	}
	return t.head.state[key], nil
}

// preload makes the head remember the keys: one query for all that it does
// not, never the whole state.
func (t *turn) preload(ctx context.Context, keys ...event.StateKey) error {
	if t.head.complete {
		return nil
	}
	t.head.makeRoom(len(keys)) // not later: all of them are needed together
	var missing []event.StateKey
	var ids []int64
	for _, key := range keys {
		if _, known := t.head.state[key]; known {
			continue
		}
		id, err := t.service.store.StateKeyID(ctx, store.StateKey(key))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read state key: %w", err)
		}
		missing, ids = append(missing, key), append(ids, id)
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := t.service.store.CurrentState(ctx, t.entry.info.NID, ids)
	if err != nil {
		return fmt.Errorf("read current state: %w", err)
	}
	for i, key := range missing {
		var ev *StoredEvent
		if nid := found[ids[i]]; nid != 0 {
			if ev, err = t.service.oneEvent(ctx, nid); err != nil {
				return err
			}
		}
		t.head.state[key] = ev
	}
	return nil
}

// layers returns the state of the head as layers.
func (t *turn) layers(ctx context.Context) (chain, error) {
	if t.head.chain == nil && t.head.stateNID != 0 {
		c, err := t.service.chain(ctx, t.head.stateNID)
		if err != nil {
			return nil, err
		}
		t.head.chain = c
	}
	return t.head.chain, nil
}
