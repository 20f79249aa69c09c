// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// eventOverhead is about what a parsed event takes beside its JSON.
const eventOverhead = 640

// EventsByNID returns the events in the order asked; those that do not exist are left out.
func (s *Service) EventsByNID(ctx context.Context, nids []int64) ([]*StoredEvent, error) {
	events, err := s.plainEvents(ctx, nids)
	if err != nil {
		return nil, err
	}
	var related []int64
	for _, ev := range events {
		if ev.ReplacesNID != 0 {
			related = append(related, ev.ReplacesNID)
		}
		if ev.RedactedByNID != 0 {
			related = append(related, ev.RedactedByNID)
		}
	}
	if len(related) == 0 {
		return events, nil
	}
	others, err := s.plainEvents(ctx, related)
	if err != nil {
		return nil, err
	}
	byNID := make(map[int64]*StoredEvent, len(others))
	for _, ev := range others {
		byNID[ev.NID] = ev
	}
	for i, ev := range events {
		events[i] = ev.withRelated(byNID)
	}
	return events, nil
}

// withRelated returns ev together with what it refers to. They are put
// together for each reader and not in the cache, because what ev refers to may be redacted later.
func (ev *StoredEvent) withRelated(byNID map[int64]*StoredEvent) *StoredEvent {
	replaces, because := byNID[ev.ReplacesNID], byNID[ev.RedactedByNID]
	if replaces == nil && because == nil {
		return ev
	}
	full := *ev
	if replaces != nil {
		full.Replaces, full.ReplacesID = replaces.Event, replaces.ID()
	}
	if because != nil {
		full.RedactedBecause = because.Event
	}
	return &full
}

// EventByID returns an event of the room, or store.ErrNotFound.
func (s *Service) EventByID(ctx context.Context, room *Info, id event.EventID) (*StoredEvent, error) {
	nid, err := s.store.EventNID(ctx, string(id))
	if err != nil {
		return nil, err
	}
	events, err := s.EventsByNID(ctx, []int64{nid})
	if err != nil {
		return nil, err
	}
	if len(events) == 0 || events[0].RoomNID != room.NID {
		return nil, store.ErrNotFound
	}
	return events[0], nil
}

// plainEvents returns events without what they refer to, in the order asked.
func (s *Service) plainEvents(ctx context.Context, nids []int64) ([]*StoredEvent, error) {
	found := make([]*StoredEvent, 0, len(nids))
	var missing []int64
	var changes uint64
	for i, nid := range nids {
		ev, ok, counted := s.events.get(nid)
		if i == 0 {
			changes = counted
		}
		if !ok {
			missing = append(missing, nid)
		}
		found = append(found, ev)
	}
	if len(missing) == 0 {
		return found, nil
	}
	loaded, err := s.loadEvents(ctx, missing, changes)
	if err != nil {
		return nil, err
	}
	n := 0
	for i, nid := range nids {
		ev := found[i]
		if ev == nil {
			ev = loaded[nid]
		}
		if ev != nil {
			found[n] = ev
			n++
		}
	}
	return found[:n], nil
}

func (s *Service) loadEvents(ctx context.Context, nids []int64, changes uint64) (map[int64]*StoredEvent, error) {
	rows, err := s.store.EventsByNID(ctx, nids)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	loaded := make(map[int64]*StoredEvent, len(rows))
	for i := range rows {
		ev, err := s.parse(ctx, &rows[i])
		if err != nil {
			return nil, err
		}
		loaded[ev.NID] = ev
		s.events.fill(ev.NID, ev, ev.size(), changes)
	}
	return loaded, nil
}

func (s *Service) parse(ctx context.Context, row *store.Event) (*StoredEvent, error) {
	room, err := s.RoomByNID(ctx, row.RoomNID)
	if err != nil {
		return nil, err
	}
	parsed, err := room.Rules.Load(event.EventID(row.ID), row.JSON)
	if err != nil {
		return nil, fmt.Errorf("%w: event %s: %w", store.ErrCorrupt, row.ID, err)
	}
	ev := &StoredEvent{
		Event: parsed, NID: row.NID, RoomNID: row.RoomNID, StreamPos: row.StreamPos, StateNID: row.StateNID,
		ReplacesNID: row.ReplacesNID, RedactedByNID: row.RedactedBy,
	}
	ev.setTxn(row)
	return ev, nil
}

func (ev *StoredEvent) setTxn(row *store.Event) {
	if row.Txn != nil {
		ev.TxnUser, ev.TxnDevice, ev.TxnID = event.UserID(row.Sender), row.Txn.DeviceID, row.TxnID
	}
}

func (ev *StoredEvent) size() int64 { return int64(len(ev.JSON())) + eventOverhead }

// Timeline returns events of one room that belong to its timeline, whether or not anybody may see them.
func (s *Service) Timeline(ctx context.Context, q TimelineQuery) ([]*StoredEvent, error) {
	if q.Limit <= 0 {
		return nil, nil
	}
	nids, err := s.store.TimelineNIDs(ctx, store.TimelineQuery(q))
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	return s.EventsByNID(ctx, nids)
}
