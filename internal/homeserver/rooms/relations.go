// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The types of relations with rules of their own.
const (
	relAnnotation = "m.annotation"
	relReplace    = "m.replace"
	relThread     = "m.thread"
	relReference  = "m.reference"
)

const (
	typeEncrypted = "m.room.encrypted"
	// relationMember is the member of an event's content that points at another one.
	relationMember = "m.relates_to"
	// maxRelType is the longest type of a relation in bytes; a longer one is none.
	maxRelType = 255
)

// relation is how an event points at another one of its room.
type relation struct {
	to      event.EventID
	relType string
	// key is what an annotation says; hasKey is false if it says nothing.
	key    string
	hasKey bool
}

// relationIn returns the relation that the content of an event holds; false
// for none, and for one that is not as specified.
//
// https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events
func relationIn(content []byte) (relation, bool) {
	o, _ := event.ParseObject(content)
	about, ok := o.Object(relationMember)
	if !ok {
		return relation{}, false
	}
	var r relation
	r.relType, _ = about.String("rel_type")
	if r.relType == "" || len(r.relType) > maxRelType {
		return relation{}, false
	}
	text, _ := about.String("event_id")
	id, err := event.ParseEventID(text)
	if err != nil {
		return relation{}, false
	}
	r.to = id
	r.key, r.hasKey = about.String("key")
	return r, true
}

// storedRelation is how the relation of an event is stored, nil for none.
func (ev *StoredEvent) storedRelation() *store.Relation {
	r, ok := relationIn(ev.Content())
	if !ok {
		return nil
	}
	return &store.Relation{
		EventNID: ev.NID, RoomNID: ev.RoomNID, EventID: string(ev.ID()), RelatesTo: string(r.to), RelType: r.relType,
		Type: ev.Type(), Sender: string(ev.Sender()), OriginTS: ev.OriginServerTS(), Edit: r.relType == relReplace && mayReplace(ev),
	}
}

// mayReplace reports whether an event has what a replacement needs, as far as
// it can be told without what it replaces.
//
// https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
func mayReplace(ev *StoredEvent) bool {
	if _, isState := ev.StateKey(); isState {
		return false
	}
	content, _ := event.ParseObject(ev.Content())
	_, ok := content.Object("m.new_content")
	return ok || ev.Type() == typeEncrypted // whose new content is encrypted as well
}

// annotation identifies what a user may say of an event only once; nil if p is
// no annotation.
func (p *proposal) annotation(roomNID int64, r relation) []byte {
	if p.stateKey != nil || r.relType != relAnnotation || !r.hasKey {
		return nil
	}
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, roomNID) // a hash never fails
	for _, part := range []string{string(r.to), string(p.sender), p.typ, r.key} {
		_ = binary.Write(h, binary.BigEndian, int64(len(part)))
		_, _ = h.Write([]byte(part))
	}
	return h.Sum(nil)
}

func errDuplicateAnnotation() error {
	return matrixerr.BadRequest(matrixerr.CodeDuplicateAnnotation, "you have said that of this event already")
}

// prepareRelation refuses relations that are not to be sent. Of annotations
// that are sent at once the database lets only one in; to look before spares
// it the trouble in general.
func (s *Service) prepareRelation(ctx context.Context, e *roomEntry, p *proposal) error {
	if !bytes.Contains(p.content, []byte(relationMember)) && !bytes.Contains(p.content, []byte(`\u`)) {
		return nil // as most are; an escaped name is seen below
	}
	content, err := event.Canonical(p.content, true)
	if err != nil {
		return clientError(err)
	}
	r, ok := relationIn(content)
	if !ok {
		return nil
	}
	if key := p.annotation(e.info.NID, r); key != nil {
		exists, err := s.store.HasAnnotation(ctx, key)
		if err != nil {
			return fmt.Errorf("read annotation: %w", err)
		}
		if exists {
			return errDuplicateAnnotation()
		}
	}
	if r.relType == relThread {
		return s.checkThreadRoot(ctx, p.sender, e.info.ID, r.to)
	}
	return nil
}

// checkThreadRoot refuses to begin a thread at an event that points at another
// one itself. Of events that user may not see it tells nothing.
//
// https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships
func (s *Service) checkThreadRoot(ctx context.Context, user event.UserID, room event.RoomID, id event.EventID) error {
	root, _, err := s.VisibleEvent(ctx, user, room, id)
	if matrixerr.Is(err, matrixerr.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, related := relationIn(root.Content()); related {
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "a thread cannot begin at an event that relates to another one")
	}
	return nil
}

// MaxRelationDepth is over how many events Relations goes to find indirect relations.
const MaxRelationDepth = 3

// RelationsQuery asks for the events that point at an event.
type RelationsQuery struct {
	RoomID  event.RoomID
	EventID event.EventID
	// RelType and Type are the only ones wanted; nil for all.
	RelType, Type *string
	// From is where to begin, after that position or, backwards, at it; To is
	// where to stop at the latest. nil for the end.
	From, To  *int64
	Backwards bool
	Limit     int
	// Recurse: also those that point at such an event, up to MaxRelationDepth.
	Recurse bool
}

// Relations returns a page of the events that point at an event, as far as
// user may and wants to see them.
//
// Errors that clients see: M_NOT_FOUND, the same whether the event is hidden,
// in another room or nowhere.
func (s *Service) Relations(ctx context.Context, user event.UserID, q RelationsQuery) (*Page, error) {
	parent, _, err := s.VisibleEvent(ctx, user, q.RoomID, q.EventID)
	if err != nil {
		return nil, err
	}
	w := newRelationWalk(parent, &q)
	page := &Page{}
	for scanned := 0; ; scanned += w.query.Limit {
		places, err := s.store.Related(ctx, w.query)
		if err != nil {
			return nil, fmt.Errorf("read relations: %w", err)
		}
		nids := make([]int64, len(places))
		for i, p := range places {
			nids[i] = p.NID
		}
		seen, err := s.seen(ctx, user, nids)
		if err != nil {
			return nil, err
		}
		for _, ev := range seen {
			if len(page.Events) == q.Limit {
				page.End = w.at
				return page, nil
			}
			page.Events = append(page.Events, ev)
			w.pass(ev.StreamPos)
		}
		if len(places) < w.query.Limit {
			return page, nil
		}
		w.pass(places[len(places)-1].StreamPos)
		if scanned >= maxScan {
			page.End = w.at
			return page, nil
		}
	}
}

// relationWalk goes through the events that point at one.
type relationWalk struct {
	query store.RelationQuery
	// at is where the walk stands, one of the query's ends.
	at *int64
}

func newRelationWalk(parent *StoredEvent, q *RelationsQuery) *relationWalk {
	w := &relationWalk{query: store.RelationQuery{
		RoomNID: parent.RoomNID, RelatesTo: string(parent.ID()), RelType: q.RelType, Type: q.Type,
		From: math.MinInt64, To: math.MaxInt64, Backwards: q.Backwards, Limit: max(q.Limit+1, minStep), Depth: 1,
	}}
	if q.Recurse {
		w.query.Depth = MaxRelationDepth
	}
	end := &w.query.To
	if w.at = &w.query.From; q.Backwards {
		w.at, end = end, w.at
	}
	if q.From != nil {
		*w.at = *q.From
	}
	if q.To != nil {
		*end = *q.To
	}
	return w
}

// pass moves the walk beyond the event at pos.
func (w *relationWalk) pass(pos int64) {
	if *w.at = pos; w.query.Backwards {
		*w.at = pos - 1
	}
}

// seen returns those of the events that user may and wants to see.
func (s *Service) seen(ctx context.Context, user event.UserID, nids []int64) ([]*StoredEvent, error) {
	events, err := s.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	visible, err := s.Visible(ctx, user, events)
	if err != nil {
		return nil, err
	}
	return s.wanted(ctx, user, visible)
}
