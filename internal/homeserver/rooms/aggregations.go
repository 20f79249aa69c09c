// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Bundles are what unsigned tells of the events that point at an event, by
// the nid of that one: JSON objects for Viewer.Relations.
type Bundles map[int64][]byte

// Bundle aggregates what points at events, as far as v may and wants to see
// it: one question to the database for each room, and one for what was last
// said in threads, if it is not in memory. State events have no aggregations.
//
// https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
func (s *Service) Bundle(ctx context.Context, v Viewer, events []*StoredEvent) (Bundles, error) {
	byRoom := map[int64][]*StoredEvent{}
	for _, ev := range events {
		if s.mayHaveChildren(ev) {
			byRoom[ev.RoomNID] = append(byRoom[ev.RoomNID], ev)
		}
	}
	if len(byRoom) == 0 {
		return nil, nil
	}
	ignored, err := s.IgnoredBy(ctx, v.UserID)
	if err != nil {
		return nil, err
	}
	b := &bundler{service: s, viewer: v, ignored: ignored, bundles: Bundles{}}
	for room, parents := range byRoom {
		if err := b.room(ctx, room, parents); err != nil {
			return nil, err
		}
	}
	return b.bundles, nil
}

// mayHaveChildren is false for events that nothing has pointed at for sure:
// what is new has no relations, and so costs nobody a question.
func (s *Service) mayHaveChildren(ev *StoredEvent) bool {
	if _, isState := ev.StateKey(); isState {
		return false
	}
	related, known := s.store.Log().RelatedAfter(ev.RoomNID, ev.StreamPos)
	return related || !known
}

// aggregate is what points at one event.
type aggregate struct {
	// id is the event pointed at.
	id event.EventID
	// threads has the last event of each sender in the thread.
	threads []store.Child
	// edit is the newest valid replacement, 0 for none.
	edit int64
	// references are the events with m.reference, oldest first.
	references []store.Child
}

func (a *aggregate) empty() bool {
	return len(a.threads) == 0 && a.edit == 0 && len(a.references) == 0
}

// childSize is about the memory of one store.Child.
const childSize = 240

func (a *aggregate) size() int64 {
	return int64(len(a.id)) + 80 + int64(len(a.threads)+len(a.references))*childSize
}

// add takes in a child.
func (a *aggregate) add(c store.Child) {
	switch c.RelType {
	case relThread:
		a.threads = append(a.threads, c)
	case relReplace:
		a.edit = c.NID
	case relReference:
		a.references = append(a.references, c)
	}
}

// aggregateKey is an event by its room and store.RelationRef.
type aggregateKey struct{ room, ref int64 }

func keyOf(ev *StoredEvent) aggregateKey {
	return aggregateKey{ev.RoomNID, store.RelationRef(string(ev.ID()))}
}

// aggregatesOf returns what points at events of one room, by nid. Cached; read only.
func (s *Service) aggregatesOf(ctx context.Context, roomNID int64, events []*StoredEvent) (map[int64]*aggregate, error) {
	all := make(map[int64]*aggregate, len(events))
	var missing []*StoredEvent
	var ids []string
	var changes uint64
	for _, ev := range events {
		a, ok, counted := s.aggregates.get(keyOf(ev))
		if ok && a.id == ev.ID() {
			all[ev.NID] = a
			continue
		}
		if len(missing) == 0 {
			changes = counted
		}
		missing, ids = append(missing, ev), append(ids, string(ev.ID()))
	}
	if len(missing) == 0 {
		return all, nil
	}
	children, err := s.store.Aggregates(ctx, roomNID, ids)
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	for i, a := range group(missing, children) {
		all[missing[i].NID] = a
		s.aggregates.fill(keyOf(missing[i]), a, a.size(), changes)
	}
	return all, nil
}

// group puts children to the events that they point at, in the order of these.
func group(parents []*StoredEvent, children []store.Child) []*aggregate {
	all := make([]*aggregate, len(parents))
	byID := make(map[string]*aggregate, len(parents))
	for i, ev := range parents {
		if byID[string(ev.ID())] == nil {
			byID[string(ev.ID())] = &aggregate{id: ev.ID()}
		}
		all[i] = byID[string(ev.ID())]
	}
	for _, c := range children {
		if a := byID[c.RelatesTo]; a != nil {
			a.add(c)
		}
	}
	return all
}

// bundler aggregates for one viewer.
type bundler struct {
	service *Service
	viewer  Viewer
	ignored map[event.UserID]struct{}
	bundles Bundles
}

func (b *bundler) room(ctx context.Context, roomNID int64, parents []*StoredEvent) error {
	all, err := b.service.aggregatesOf(ctx, roomNID, parents)
	if err != nil {
		return err
	}
	oldest := int64(math.MaxInt64)
	related := make([]*StoredEvent, 0, len(all))
	for _, ev := range parents {
		if !all[ev.NID].empty() {
			related = append(related, ev)
			oldest = min(oldest, ev.StreamPos)
		}
	}
	if len(related) == 0 {
		return nil
	}
	r := &reader{service: b.service, user: b.viewer.UserID}
	seesAll, err := r.seesAllSince(ctx, roomNID, oldest)
	if err != nil {
		return err
	}
	if !seesAll {
		if all, err = b.recount(ctx, roomNID, related); err != nil {
			return err
		}
	}
	shown := make([]*shownRelations, 0, len(related))
	for _, ev := range related {
		if sh := b.show(ev, all[ev.NID]); sh != nil {
			shown = append(shown, sh)
		}
	}
	return b.write(ctx, shown)
}

// Of the events of a type that point at one, the newest are looked at for
// those that are visible: minRecount, and more where few events are asked for,
// maxRecount in all.
const (
	minRecount = 20
	maxRecount = 1000
)

// recount aggregates for a viewer who may not see everything: somebody who
// left, or came back.
func (b *bundler) recount(ctx context.Context, roomNID int64, parents []*StoredEvent) (map[int64]*aggregate, error) {
	ids := make([]string, len(parents))
	for i, ev := range parents {
		ids[i] = string(ev.ID())
	}
	children, err := b.service.store.Children(ctx, roomNID, ids, max(minRecount, maxRecount/len(ids)))
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	nids := make([]int64, len(children))
	for i, c := range children {
		nids[i] = c.NID
	}
	events, err := b.service.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	visible, err := b.service.Visible(ctx, b.viewer.UserID, events)
	if err != nil {
		return nil, err
	}
	byNID := make(map[int64]*StoredEvent, len(visible))
	for _, ev := range visible {
		byNID[ev.NID] = ev
	}
	counts := make(map[int64]*aggregate, len(parents))
	for i, a := range group(parents, nil) {
		parent := parents[i]
		var newest *StoredEvent
		for _, c := range children {
			ev := byNID[c.NID]
			if ev == nil || c.RelatesTo != string(parent.ID()) {
				continue
			}
			if c.RelType != relReplace {
				a.count(c)
			} else if replaces(ev, parent) && isNewer(ev, newest) {
				newest, a.edit = ev, ev.NID
			}
		}
		counts[parent.NID] = a
	}
	return counts, nil
}

// count takes in one event alone.
func (a *aggregate) count(c store.Child) {
	c.Count = 1
	if c.RelType == relThread {
		for i := range a.threads {
			if a.threads[i].Sender == c.Sender {
				c.Count += a.threads[i].Count
				a.threads[i] = c
				return
			}
		}
	}
	a.add(c)
}

// replaces reports whether edit is a valid replacement of original.
func replaces(edit, original *StoredEvent) bool {
	return mayReplace(edit) && edit.Sender() == original.Sender() && edit.Type() == original.Type()
}

// isNewer reports whether a replacement counts more than another, which may be nil.
func isNewer(edit, other *StoredEvent) bool {
	if other == nil || edit.OriginServerTS() != other.OriginServerTS() {
		return other == nil || edit.OriginServerTS() > other.OriginServerTS()
	}
	return edit.ID() > other.ID()
}
