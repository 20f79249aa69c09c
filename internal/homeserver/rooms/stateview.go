// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// StateView is a room state that is read as far as it is asked. It never changes.
type StateView struct {
	service *Service
	chain   chain
	// over is laid over the chain: a state event on the state before it.
	over pair
}

// StateAt returns a view of the state stateNID; of the empty state if it is 0.
func (s *Service) StateAt(ctx context.Context, stateNID int64) (*StateView, error) {
	c, err := s.chain(ctx, stateNID)
	return &StateView{service: s, chain: c}, err
}

// StateAfter returns a view of the state after ev.
func (s *Service) StateAfter(ctx context.Context, ev *StoredEvent) (*StateView, error) {
	v, err := s.StateAt(ctx, ev.StateNID)
	if _, ok := ev.StateKey(); !ok || err != nil {
		return v, err
	}
	id, err := s.store.StateKeyID(ctx, store.StateKey(ev.Tuple()))
	if err != nil {
		return nil, fmt.Errorf("read state key: %w", err)
	}
	v.over = pair{id, ev.NID}
	return v, nil
}

// CurrentState returns a view of the newest state of the room.
func (s *Service) CurrentState(ctx context.Context, roomNID int64) (*StateView, error) {
	nid, err := s.current.load(ctx, roomNID, func(ctx context.Context) (int64, int64, error) {
		room, err := s.store.RoomByNID(ctx, roomNID)
		return room.StateNID, 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("read room %d: %w", roomNID, err)
	}
	return s.StateAt(ctx, nid)
}

// chain returns a state's layers, from memory or with one query.
func (s *Service) chain(ctx context.Context, nid int64) (chain, error) {
	var c chain
	for nid != 0 {
		l, ok, _ := s.layers.get(nid)
		if !ok {
			rest, err := s.loadChain(ctx, nid)
			return append(c, rest...), err
		}
		c, nid = append(c, l), l.parent
	}
	return c, nil
}

func (s *Service) loadChain(ctx context.Context, nid int64) (chain, error) {
	rows, err := s.store.StateChain(ctx, nid)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	byNID := make(map[int64]*layer, len(rows))
	for _, row := range rows {
		l := newLayer(row)
		byNID[l.nid] = l
		s.layers.set(l.nid, l, l.size()) // never changes
	}
	var c chain
	for nid != 0 {
		l := byNID[nid]
		if l == nil {
			return nil, fmt.Errorf("%w: state %d is missing", store.ErrCorrupt, nid)
		}
		c, nid = append(c, l), l.parent
	}
	return c, nil
}

// Get returns the event that sets key; false if none does.
func (v *StateView) Get(ctx context.Context, key event.StateKey) (nid int64, ok bool, err error) {
	id, err := v.service.store.StateKeyID(ctx, store.StateKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read state key: %w", err)
	}
	nid, err = v.lookup(id)
	return nid, nid != 0, err
}

func (v *StateView) lookup(id int64) (int64, error) {
	if id == v.over.key {
		return v.over.nid, nil
	}
	return v.chain.lookup(id)
}

// Event returns the event that sets key, nil if none does.
func (v *StateView) Event(ctx context.Context, key event.StateKey) (*StoredEvent, error) {
	nid, ok, err := v.Get(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	return v.service.oneEvent(ctx, nid)
}

// oneEvent returns an event that another row refers to.
func (s *Service) oneEvent(ctx context.Context, nid int64) (*StoredEvent, error) {
	events, err := s.EventsByNID(ctx, []int64{nid})
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: event %d is missing", store.ErrCorrupt, nid)
	}
	return events[0], nil
}

// pairs returns the whole state by interned key.
func (v *StateView) pairs() ([]pair, error) {
	all, err := v.chain.expand()
	if err != nil || v.over.key == 0 {
		return all, err
	}
	return mergePairs(all, []pair{v.over}), nil
}

// NIDs returns the events of the whole state without looking up their keys.
func (v *StateView) NIDs(context.Context) ([]int64, error) {
	all, err := v.pairs()
	nids := make([]int64, len(all))
	for i, p := range all {
		nids[i] = p.nid
	}
	return nids, err
}

// All returns the whole state, in an order that is the same each time.
func (v *StateView) All(ctx context.Context) ([]StateEntry, error) {
	return v.entries(ctx, func(int64) bool { return true })
}

// NonMembers returns the state without m.room.member, which is cheap however many members there are.
func (v *StateView) NonMembers(ctx context.Context) ([]StateEntry, error) {
	return v.entries(ctx, func(key int64) bool { return !store.IsMemberKey(key) })
}

// MemberNIDs returns the m.room.member events of the state.
func (v *StateView) MemberNIDs(context.Context) ([]int64, error) {
	all, err := v.pairs()
	var nids []int64
	for _, p := range all {
		if store.IsMemberKey(p.key) {
			nids = append(nids, p.nid)
		}
	}
	return nids, err
}

func (v *StateView) entries(ctx context.Context, want func(key int64) bool) ([]StateEntry, error) {
	all, err := v.pairs()
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, p := range all {
		if want(p.key) {
			ids = append(ids, p.key)
		}
	}
	keys, err := v.service.store.StateKeys(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read state keys: %w", err)
	}
	entries := make([]StateEntry, 0, len(ids))
	for _, p := range all {
		if want(p.key) {
			entries = append(entries, StateEntry{event.StateKey(keys[p.key]), p.nid})
		}
	}
	return entries, nil
}

// StateDelta returns how the current state of the room changed in from <
// position <= to, one entry for each key, by the position of its last change.
func (s *Service) StateDelta(ctx context.Context, roomNID, from, to int64) ([]DeltaEntry, error) {
	rows, err := s.store.StateDeltas(ctx, roomNID, from, to)
	if err != nil {
		return nil, fmt.Errorf("read state changes: %w", err)
	}
	first := make(map[int64]int64, len(rows)) // the event that a key had at the beginning
	last := make(map[int64]int, len(rows))
	ids := make([]int64, 0, len(rows))
	for i, d := range rows {
		if _, seen := last[d.StateKeyID]; !seen {
			first[d.StateKeyID] = d.OldNID
			ids = append(ids, d.StateKeyID)
		}
		last[d.StateKeyID] = i
	}
	keys, err := s.store.StateKeys(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read state keys: %w", err)
	}
	deltas := make([]DeltaEntry, 0, len(ids))
	for i, d := range rows {
		if last[d.StateKeyID] == i {
			key := event.StateKey(keys[d.StateKeyID])
			deltas = append(deltas, DeltaEntry{Key: key, OldNID: first[d.StateKeyID], NewNID: d.NewNID, Pos: d.Pos})
		}
	}
	return deltas, nil
}
