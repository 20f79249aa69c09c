// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// follow keeps the caches right: it sees every change, of this replica and of
// others, in order and before anybody who waits for the log. It must not
// wait for a room's turn, whose holder may be waiting for the writer that calls it.
func (s *Service) follow(changes []store.Change) {
	var own *StoredEvent // what our own redaction strips, whose head knows of it
	for i := range changes {
		c := &changes[i]
		switch c.Kind {
		case store.ChangeEvent:
			own = s.followEvent(c)
		case store.ChangeRedaction:
			s.events.remove(c.Ref)
			s.forgetSummary(c.RoomNID)
			if own == nil || own.NID != c.Ref {
				s.markRedacted(c.RoomNID)
			}
		case store.ChangeRelation:
			s.aggregates.remove(aggregateKey{c.RoomNID, c.Ref})
		case store.ChangeAccountData:
			if c.RoomNID == 0 {
				s.preferences.remove(event.UserID(c.UserID))
			}
		case store.ChangeDirectory:
			s.directory.invalidate()
		case store.ChangeForget:
			s.users.remove(event.UserID(c.UserID))
		default: // of no concern to rooms
		}
	}
}

// followEvent returns what the event redacts, if it is one of ours.
func (s *Service) followEvent(c *store.Change) (target *StoredEvent) {
	s.pendingMu.Lock()
	p := s.pending[c.Ref]
	delete(s.pending, c.Ref)
	s.pendingMu.Unlock()
	if p == nil {
		s.current.remove(c.RoomNID)
		s.markStale(c.RoomNID, nil)
	} else {
		// Nobody else has the event yet.
		p.stored.StreamPos = c.Pos
		s.events.set(c.Ref, p.stored, p.stored.size())
		if p.layer != nil {
			s.layers.set(p.layer.nid, p.layer, p.layer.size())
		}
		s.current.set(c.RoomNID, p.move.StateNID, 0)
		target = p.target
		if p.entry != nil {
			p.entry.confirmed.Store(c.Ref)
			s.markStale(c.RoomNID, p.entry)
		}
	}
	if p == nil || p.layer != nil && (summaryParts[p.row.Type] != nil || p.row.Type == typeSpaceChild) {
		s.forgetSummary(c.RoomNID)
	}
	if c.UserID != "" {
		s.users.remove(event.UserID(c.UserID))
		s.counts.remove(c.RoomNID)
	}
	return target
}

// forgetSummary forgets what is remembered of the room for those who are not in it.
func (s *Service) forgetSummary(roomNID int64) {
	s.summaries.remove(roomNID)
	s.children.remove(roomNID)
}

// markRedacted makes the next sender read the state of the room anew as well.
func (s *Service) markRedacted(roomNID int64) {
	if e, ok, _ := s.entries.get(roomNID); ok {
		e.redacted.Store(true)
		e.stale.Store(true)
	}
}

// markStale makes the next sender read the head of the room anew, unless it is own.
func (s *Service) markStale(roomNID int64, own *roomEntry) {
	if e, ok, _ := s.entries.get(roomNID); ok && e != own {
		e.stale.Store(true)
	}
}
