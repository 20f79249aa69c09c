// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"math"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

const (
	typeMember     = "m.room.member"
	typeName       = "m.room.name"
	typeAlias      = "m.room.canonical_alias"
	typeEncryption = "m.room.encryption"
)

// beginning is before every event, backfilled ones included.
const beginning = math.MinInt64

// maxScan is how many events a filter may leave out of one timeline before
// the search for more is given up.
const maxScan = 1000

// span is a piece of a room's stream: from < position <= to.
type span struct {
	room     *rooms.Info
	from, to int64
	// events are the nids in the span, oldest first, if known.
	events []int64
	known  bool
	// latest are the nids of a first page, the newest first, if they were read ahead.
	latest []int64
}

// timeline is what a room's timeline shows of a span.
type timeline struct {
	events  []*rooms.StoredEvent // oldest first
	limited bool
	// start is the position before the first event shown; behind it up to
	// the span's end nothing is left out but what dropped says.
	start int64
	// dropped: a state event behind start is not among events.
	dropped bool
}

// holds reports whether the timeline shows the event nid.
func (t *timeline) holds(nid int64) bool {
	return slices.ContainsFunc(t.events, func(e *rooms.StoredEvent) bool { return e.NID == nid })
}

// pager reads a span backwards.
type pager struct {
	b      *builder
	span   span
	cursor int64 // the newest position not read yet; of spans that are not known
	over   bool
}

// page returns up to n events, newest first.
func (p *pager) page(ctx context.Context, n int) ([]*rooms.StoredEvent, error) {
	if p.span.known {
		at := max(0, len(p.span.events)-n)
		nids := slices.Clone(p.span.events[at:])
		p.span.events = p.span.events[:at]
		p.over = at == 0
		slices.Reverse(nids)
		return p.b.s.rooms.EventsByNID(ctx, nids)
	}
	found, err := p.read(ctx, n)
	p.over = len(found) < n
	if len(found) > 0 {
		p.cursor = found[len(found)-1].StreamPos - 1
	}
	return found, err
}

func (p *pager) read(ctx context.Context, n int) ([]*rooms.StoredEvent, error) {
	if nids := p.span.latest; nids != nil {
		p.span.latest = nil
		return p.b.s.rooms.EventsByNID(ctx, nids)
	}
	return p.b.s.rooms.Timeline(ctx, rooms.TimelineQuery{
		RoomNID: p.span.room.NID, From: p.span.from, To: p.cursor, Limit: n, Backwards: true,
	})
}

// timeline reads the newest events of a span that the user may see and wants.
func (b *builder) timeline(ctx context.Context, sp span) (*timeline, error) {
	want := b.r.Filter.Room.Timeline
	t := &timeline{start: sp.from}
	limit := want.Max()
	if !want.MatchesRoom(string(sp.room.ID)) {
		t.start, t.dropped = sp.from, true
		return t, nil
	}
	p := &pager{b: b, span: sp, cursor: sp.to}
	for scanned := 0; !p.over; {
		page, err := p.page(ctx, limit+1)
		if err != nil {
			return nil, err
		}
		shown, err := b.shown(ctx, page, &want)
		if err != nil {
			return nil, err
		}
		if b.take(t, page, shown, limit) {
			break
		}
		if scanned += len(page); scanned >= maxScan && !p.over {
			t.limited, t.start = true, page[len(page)-1].StreamPos-1
			break
		}
	}
	slices.Reverse(t.events)
	return t, nil
}

// take moves the events of a page that are shown into the timeline, newest
// first; true when it is full and there are more.
func (b *builder) take(t *timeline, page []*rooms.StoredEvent, shown map[int64]*rooms.StoredEvent, limit int) bool {
	for _, e := range page {
		show := shown[e.NID]
		if show != nil && len(t.events) == limit {
			t.limited = true
			t.start = e.StreamPos
			return true
		}
		if show != nil {
			t.events = append(t.events, show)
			continue
		}
		if _, isState := e.StateKey(); isState {
			t.dropped = true
		}
	}
	return false
}

// shown returns those of the events that the user may see and wants, by nid.
func (b *builder) shown(ctx context.Context, events []*rooms.StoredEvent, want *filter.RoomEvents) (map[int64]*rooms.StoredEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	visible, err := b.s.rooms.Visible(ctx, b.r.User, events)
	if err != nil {
		return nil, err
	}
	shown := make(map[int64]*rooms.StoredEvent, len(visible))
	for _, e := range visible {
		if !b.ignores(e) && !b.told(e) && passes(want, e) {
			shown[e.NID] = e
		}
	}
	return shown, nil
}

// ignores reports whether the user does not want to hear of an event because
// of its sender. State stays, so that rooms look the same to everybody.
func (b *builder) ignores(e *rooms.StoredEvent) bool {
	if len(b.ignored) == 0 {
		return false
	}
	_, isState := e.StateKey()
	_, ignored := b.ignored[e.Sender()]
	return ignored && !isState
}

// told reports whether the client had an event while its user was out of the
// room: their own removals are shown then, and would come again with the
// timeline of the room when they are back.
func (b *builder) told(e *rooms.StoredEvent) bool {
	if b.initial() || e.StreamPos > b.from || !e.IsState(event.StateKey{Type: typeMember, Key: string(b.r.User)}) {
		return false
	}
	return e.Membership() == membershipLeave || e.Membership() == membershipBan
}

// passes reports whether a filter lets an event through.
func passes(want *filter.RoomEvents, e *rooms.StoredEvent) bool {
	if want.All() {
		return true
	}
	if !want.Matches(e.Type(), string(e.Sender())) {
		return false
	}
	if want.ContainsURL == nil {
		return true
	}
	content, _ := event.ParseObject(e.Content())
	_, hasURL := content.Get("url")
	return want.MatchesURL(hasURL)
}
