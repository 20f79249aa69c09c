// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// warmState is the largest state that is read ahead with all its members.
	// That of a larger room is worth a question of its own.
	warmState = 64
	// warmPart is the largest state of which the rest is read ahead.
	warmPart = 1000
)

// WarmQuery says what is going to be read of many rooms.
type WarmQuery struct {
	RoomNIDs []int64
	// User is for whom it is read.
	User event.UserID
	// UpTo is where the timelines end, and Limit how many events they have at most.
	UpTo  int64
	Limit int
	// Lazy: members are not wanted for their own sake.
	Lazy bool
}

// Warm reads into the caches what a client that knows nothing is told of many
// rooms, with a number of queries that does not depend on how many there are.
// It returns the newest events of each room, the newest first. What does not
// fit into memory or changes meanwhile is read again by whoever needs it.
func (s *Service) Warm(ctx context.Context, q WarmQuery) (map[int64][]int64, error) {
	w := &warming{service: s, query: q}
	states, err := w.rooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("read rooms: %w", err)
	}
	last, err := s.store.LastEvents(ctx, q.RoomNIDs, q.UpTo, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read timelines: %w", err)
	}
	var nids []int64
	for _, room := range q.RoomNIDs {
		nids = append(nids, last[room]...)
	}
	events, err := s.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	for _, ev := range events {
		w.before = append(w.before, ev.StateNID)
	}
	if err := w.states(ctx, states); err != nil {
		return nil, err
	}
	return last, w.aggregates(ctx, events)
}

// warming is what Warm does.
type warming struct {
	service *Service
	query   WarmQuery
	// before are the states before the events of the timelines.
	before []int64
}

// rooms reads the rooms and returns their states.
func (w *warming) rooms(ctx context.Context) ([]int64, error) {
	s := w.service
	infos, current, counted := s.byNID.mark(), s.current.mark(), s.counts.mark()
	rows, err := s.store.RoomsByNID(ctx, w.query.RoomNIDs)
	if err != nil {
		return nil, err
	}
	states := make([]int64, 0, len(rows))
	for _, row := range rows {
		info, err := newInfo(row)
		if err != nil {
			return nil, err
		}
		s.byNID.fill(row.NID, info, infoSize, infos)
		s.current.fill(row.NID, row.StateNID, 0, current)
		s.counts.fill(row.NID, counts{int(row.Joined), int(row.Invited)}, 0, counted)
		states = append(states, row.StateNID)
	}
	return states, nil
}

// states reads states, of the current ones all that is wanted and of those
// before events what decides whether the user may see these.
func (w *warming) states(ctx context.Context, current []int64) error {
	s := w.service
	layers, err := s.warmLayers(ctx, current, w.before)
	if err != nil {
		return err
	}
	var keys, nids []int64
	for _, nid := range current {
		if l := layers[nid]; l == nil || l.n > warmPart || l.n > warmState && !w.query.Lazy {
			continue
		}
		pairs, err := chainOf(layers, nid).expand()
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if !w.query.Lazy || !store.IsMemberKey(p.key) {
				keys, nids = append(keys, p.key), append(nids, p.nid)
			}
		}
	}
	deciding, err := s.internedKeys(ctx, event.StateKey{Type: typeHistoryVisibility}, memberKey(w.query.User))
	if err != nil {
		return err
	}
	done := make(map[int64]bool, len(w.before))
	for _, state := range w.before {
		if done[state] {
			continue
		}
		done[state] = true
		for _, key := range deciding {
			nid, err := chainOf(layers, state).lookup(key)
			if err != nil {
				return err
			}
			if nid != 0 {
				nids = append(nids, nid)
			}
		}
	}
	if _, err := s.store.StateKeys(ctx, keys); err != nil {
		return fmt.Errorf("read state keys: %w", err)
	}
	_, err = s.EventsByNID(ctx, distinct(nids))
	return err
}

// internedKeys returns the ids of state keys; those that no room ever had are left out.
func (s *Service) internedKeys(ctx context.Context, keys ...event.StateKey) ([]int64, error) {
	var ids []int64
	for _, key := range keys {
		id, err := s.store.StateKeyID(ctx, store.StateKey(key))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read state key: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// distinct leaves repetitions out.
func distinct(nids []int64) []int64 {
	seen := make(map[int64]bool, len(nids))
	kept := nids[:0:0]
	for _, nid := range nids {
		if !seen[nid] {
			seen[nid] = true
			kept = append(kept, nid)
		}
	}
	return kept
}

// warmLayers returns the layers of states, from memory or with one query.
func (s *Service) warmLayers(ctx context.Context, lists ...[]int64) (map[int64]*layer, error) {
	all := map[int64]*layer{}
	var missing []int64
	for _, nids := range lists {
		for _, nid := range nids {
			for known := true; nid != 0 && known && all[nid] == nil; {
				var l *layer
				if l, known, _ = s.layers.get(nid); known {
					all[nid], nid = l, l.parent
				}
			}
			if nid != 0 && all[nid] == nil {
				missing = append(missing, nid)
			}
		}
	}
	rows, err := s.store.StateChains(ctx, distinct(missing))
	if err != nil {
		return nil, fmt.Errorf("read states: %w", err)
	}
	for _, row := range rows {
		l := newLayer(row)
		all[l.nid] = l
		s.layers.set(l.nid, l, l.size()) // never changes
	}
	return all, nil
}

// chainOf puts the layers of a state together, as far as they are there.
func chainOf(layers map[int64]*layer, nid int64) chain {
	var c chain
	for l := layers[nid]; l != nil; l = layers[l.parent] {
		c = append(c, l)
	}
	return c
}

// aggregates notes which of the events nothing points at, so that they cost no
// more questions.
func (w *warming) aggregates(ctx context.Context, events []*StoredEvent) error {
	s := w.service
	changes := s.aggregates.mark()
	var refs []store.EventRef
	var asked []*StoredEvent
	for _, ev := range events {
		if _, ok, _ := s.aggregates.get(keyOf(ev)); !ok && s.mayHaveChildren(ev) {
			asked = append(asked, ev)
			refs = append(refs, store.EventRef{RoomNID: ev.RoomNID, ID: string(ev.ID())})
		}
	}
	if len(refs) == 0 {
		return nil
	}
	pointed, err := s.store.PointedAt(ctx, refs)
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	for _, ev := range asked {
		if !pointed[string(ev.ID())] {
			a := &aggregate{id: ev.ID()}
			s.aggregates.fill(keyOf(ev), a, a.size(), changes)
		}
	}
	return nil
}

// Named returns which of the rooms have a name or a canonical alias.
func (s *Service) Named(ctx context.Context, roomNIDs []int64) (map[int64]bool, error) {
	infos := make([]*Info, len(roomNIDs))
	for i, nid := range roomNIDs {
		var err error
		if infos[i], err = s.RoomByNID(ctx, nid); err != nil {
			return nil, err
		}
	}
	described, err := s.describe(ctx, infos)
	if err != nil {
		return nil, err
	}
	named := make(map[int64]bool, len(roomNIDs))
	for _, r := range described {
		named[r.NID] = r.Name != "" || r.CanonicalAlias != ""
	}
	return named, nil
}
