// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// roomAnswer is what the answer says of a room that the user is or was in.
type roomAnswer struct {
	info        *rooms.Info
	timeline    *timeline
	state       []*rooms.StoredEvent
	summary     *summary
	ephemeral   [][]byte
	accountData [][]byte
	// unread is nil for rooms that the user is not joined to.
	unread *push.RoomCounts
	// fresh: the client knows nothing of the room as it is now.
	fresh bool
	// always: the room is in the answer even if nothing is left of it.
	always bool
}

func (a *roomAnswer) empty() bool {
	return !a.always && len(a.timeline.events) == 0 && !a.timeline.limited && len(a.state) == 0 &&
		a.summary == nil && len(a.ephemeral) == 0 && len(a.accountData) == 0
}

// section is one member of the answer's rooms.
type section struct {
	name        string
	memberships []string
	append      func(ctx context.Context, m rooms.Membership, dst []byte) ([]byte, error)
}

// writeRooms appends the rooms, one after the other, so that not all of a
// large answer is in memory.
func (b *builder) writeRooms(ctx context.Context) error {
	sections := []section{
		{"join", []string{membershipJoin}, b.appendJoined},
		{"invite", []string{membershipInvite}, b.appendInvited},
		{"knock", []string{membershipKnock}, b.appendKnocked},
		{"leave", []string{membershipLeave, membershipBan}, b.appendLeft},
	}
	begun := false
	for _, s := range sections {
		begin := `,"rooms":{"` + s.name + `":{`
		if begun {
			begin = `,"` + s.name + `":{`
		}
		wrote, err := b.writeSection(ctx, s, begin)
		if err != nil {
			return err
		}
		begun = begun || wrote
	}
	if begun {
		b.out = append(b.out, '}')
		b.said = true
	}
	return nil
}

func (b *builder) writeSection(ctx context.Context, s section, begin string) (bool, error) {
	wrote := false
	for i, m := range b.members {
		if b.initial() && s.name == membershipJoin && i%b.step() == 0 {
			if err := b.readAhead(ctx, b.members[i:]); err != nil {
				return wrote, err
			}
		}
		if !slices.Contains(s.memberships, m.Membership) || m.Forgotten {
			continue
		}
		mark := len(b.out)
		if wrote {
			b.out = append(b.out, ',')
		} else {
			b.out = append(b.out, begin...)
		}
		before := len(b.out)
		out, err := s.append(ctx, m, b.out)
		if err != nil {
			return wrote, fmt.Errorf("room %d: %w", m.RoomNID, err)
		}
		if b.out = out; len(out) == before {
			b.out = out[:mark]
			continue
		}
		wrote = true
		if err := b.flush(); err != nil {
			return wrote, err
		}
	}
	if wrote {
		b.out = append(b.out, '}')
	}
	return wrote, nil
}

// flush hands what there is to the request's writer, of answers that are
// given in any case.
func (b *builder) flush() error {
	if b.r.Write == nil || len(b.out) < flushBytes || !b.initial() && !b.r.FullState {
		return nil
	}
	err := b.r.Write(b.out)
	b.out = b.out[:0]
	return err
}

// info returns the room unless the filter leaves it out.
func (b *builder) info(ctx context.Context, m rooms.Membership) (*rooms.Info, error) {
	info, err := b.s.rooms.RoomByNID(ctx, m.RoomNID)
	if err != nil || !b.r.Filter.Room.MatchesRoom(string(info.ID)) {
		return nil, err
	}
	return info, nil
}

// appendJoined appends a room that the user is joined to, if there is
// anything to say of it.
func (b *builder) appendJoined(ctx context.Context, m rooms.Membership, dst []byte) ([]byte, error) {
	d := b.delta.room(m.RoomNID)
	_, typing := b.typing[m.RoomNID]
	_, accountData := b.accountData[m.RoomNID]
	if !b.initial() && !b.r.FullState && !d.any && !d.read && !typing && !accountData {
		return dst, nil
	}
	info, err := b.info(ctx, m)
	if err != nil || info == nil {
		return dst, err
	}
	a := &roomAnswer{info: info, fresh: b.initial()}
	sp := span{room: info, from: b.from, to: b.to}
	if a.fresh {
		sp.from = beginning
		if b.ahead.has(info.NID) {
			sp.latest = b.ahead.latest[info.NID]
		}
	} else if m.StreamPos > b.from {
		p, err := b.pastOf(ctx, m)
		if err != nil {
			return dst, err
		}
		if a.fresh = p.before != membershipJoin; a.fresh {
			sp.from = p.start()
		}
	}
	if !a.fresh && b.delta.known {
		sp.events, sp.known = d.events, true
	}
	a.always = a.fresh || b.r.FullState
	if err := b.fillJoined(ctx, a, d, sp); err != nil {
		return dst, err
	}
	if a.unread, err = b.s.push.Unread(ctx, b.r.User, m.RoomNID); err != nil {
		return dst, err
	}
	// The filter may have left out what changed the counts.
	a.always = a.always || a.unread.Changed > b.from
	return b.appendRoom(ctx, a, dst)
}

// fillJoined finds out what there is to say of a joined room.
func (b *builder) fillJoined(ctx context.Context, a *roomAnswer, d *roomDelta, sp span) error {
	fresh := a.fresh
	var err error
	if fresh || d.any {
		a.timeline, err = b.timeline(ctx, sp)
	} else {
		a.timeline = &timeline{start: sp.to}
	}
	if err != nil {
		return err
	}
	a.timeline.limited = a.timeline.limited || fresh && !b.initial()
	if fresh || b.r.FullState || len(d.members) > 0 || b.renamed(a.timeline) {
		if a.summary, err = b.summary(ctx, a.info.NID); err != nil {
			return err
		}
	}
	if a.state, err = b.joinedState(ctx, a, sp); err != nil {
		return err
	}
	if a.ephemeral, err = b.ephemeral(ctx, a.info, d, fresh); err != nil {
		return err
	}
	a.accountData, err = b.roomAccountData(ctx, a.info, fresh)
	return err
}

// renamed reports whether a timeline shows a change of what the room is called.
func (b *builder) renamed(t *timeline) bool {
	return slices.ContainsFunc(t.events, func(e *rooms.StoredEvent) bool {
		_, isState := e.StateKey()
		return isState && (e.Type() == typeName || e.Type() == typeAlias)
	})
}

// joinedState returns the state of a joined room that goes with its timeline.
func (b *builder) joinedState(ctx context.Context, a *roomAnswer, sp span) ([]*rooms.StoredEvent, error) {
	rs := b.newState(sp, a.timeline)
	if a.fresh || b.r.FullState {
		current, err := b.s.rooms.CurrentState(ctx, sp.room.NID)
		if err != nil {
			return nil, err
		}
		if err := b.wholeState(ctx, rs, current); err != nil {
			return nil, err
		}
	} else if err := rs.changes(ctx); err != nil {
		return nil, err
	}
	if err := rs.speakers(ctx, a.summary.heroes()); err != nil {
		return nil, err
	}
	return rs.events(ctx)
}

// wholeState collects the state that end is, as of the span's end.
func (b *builder) wholeState(ctx context.Context, rs *roomState, end *rooms.StateView) error {
	if err := rs.all(ctx, end); err != nil {
		return err
	}
	newer, err := b.newer(ctx, rs)
	if err != nil {
		return err
	}
	if newer {
		if err := rs.undo(ctx); err != nil {
			return err
		}
	}
	rs.rewind()
	return nil
}

// newer reports whether the collected state has anything from after the span.
func (b *builder) newer(ctx context.Context, rs *roomState) (bool, error) {
	nids := make([]int64, 0, len(rs.nids))
	for _, key := range rs.keys {
		nids = append(nids, rs.nids[key])
	}
	events, err := b.s.rooms.EventsByNID(ctx, nids)
	return slices.ContainsFunc(events, func(e *rooms.StoredEvent) bool { return e.StreamPos > rs.sp.to }), err
}

// appendLeft appends a room that the user left or was removed from.
func (b *builder) appendLeft(ctx context.Context, m rooms.Membership, dst []byte) ([]byte, error) {
	whole := b.initial() || b.r.FullState
	if m.StreamPos <= b.from && !(whole && b.r.Filter.Room.IncludeLeave) || b.initial() && !b.r.Filter.Room.IncludeLeave {
		return dst, nil
	}
	info, err := b.info(ctx, m)
	if err != nil || info == nil {
		return dst, err
	}
	found, err := b.s.rooms.EventsByNID(ctx, []int64{m.EventNID})
	if err != nil || len(found) == 0 {
		return dst, err
	}
	p, err := b.pastOf(ctx, m)
	if err != nil {
		return dst, err
	}
	a := &roomAnswer{info: info, always: true}
	if err := b.fillLeft(ctx, a, found[0], p); err != nil {
		return dst, err
	}
	return b.appendRoom(ctx, a, dst)
}

// fillLeft finds out what there is to say of a room that the user is out of by an event.
func (b *builder) fillLeft(ctx context.Context, a *roomAnswer, left *rooms.StoredEvent, p past) error {
	news := left.StreamPos > b.from
	fresh := p.before != membershipJoin
	a.timeline = &timeline{start: left.StreamPos - 1}
	sp := span{room: a.info, from: b.from, to: left.StreamPos}
	inside := p.exit != nil && p.exit.StreamPos > b.from
	if inside {
		sp.to = p.exit.StreamPos
		if fresh {
			sp.from = p.start()
		}
		var err error
		if a.timeline, err = b.timeline(ctx, sp); err != nil {
			return err
		}
		a.timeline.limited = a.timeline.limited || fresh && !b.initial()
	}
	if want := b.r.Filter.Room.Timeline; news && (p.exit == nil || left.NID != p.exit.NID) && passes(&want, left) && want.MatchesRoom(string(a.info.ID)) {
		a.timeline.events = append(a.timeline.events, left)
	}
	rs := b.newState(sp, a.timeline)
	var err error
	switch {
	case p.exit == nil: // never inside, as by a declined invitation: the state is not the user's to see
	case b.r.FullState || inside && fresh:
		err = b.stateAtExit(ctx, rs, p.exit)
	case inside:
		err = rs.changes(ctx)
	}
	if err != nil {
		return err
	}
	if inside {
		if err := rs.speakers(ctx, nil); err != nil {
			return err
		}
	}
	if a.state, err = rs.events(ctx); err != nil {
		return err
	}
	a.accountData, err = b.roomAccountData(ctx, a.info, b.initial())
	return err
}

func (b *builder) stateAtExit(ctx context.Context, rs *roomState, exit *rooms.StoredEvent) error {
	end, err := b.s.rooms.StateAfter(ctx, exit)
	if err != nil {
		return err
	}
	if err := rs.all(ctx, end); err != nil {
		return err
	}
	rs.rewind()
	return nil
}

// appendInvited appends a room that the user is invited to.
func (b *builder) appendInvited(ctx context.Context, m rooms.Membership, dst []byte) ([]byte, error) {
	if m.StreamPos <= b.from && !b.r.FullState {
		return dst, nil
	}
	if blocked, err := b.s.rooms.BlocksInvites(ctx, b.r.User); err != nil || blocked {
		return dst, err
	}
	found, err := b.s.rooms.EventsByNID(ctx, []int64{m.EventNID})
	if err != nil {
		return dst, err
	}
	if len(found) > 0 {
		if _, ignored := b.ignored[found[0].Sender()]; ignored {
			return dst, nil
		}
	}
	return b.appendStripped(ctx, m, "invite_state", dst)
}

// appendKnocked appends a room that the user has knocked on.
func (b *builder) appendKnocked(ctx context.Context, m rooms.Membership, dst []byte) ([]byte, error) {
	if m.StreamPos <= b.from && !b.r.FullState {
		return dst, nil
	}
	return b.appendStripped(ctx, m, "knock_state", dst)
}

func (b *builder) appendStripped(ctx context.Context, m rooms.Membership, key string, dst []byte) ([]byte, error) {
	info, err := b.info(ctx, m)
	if err != nil || info == nil {
		return dst, err
	}
	events, err := b.s.rooms.StrippedState(ctx, m.RoomNID, b.r.User)
	if err != nil {
		return dst, err
	}
	dst = append(event.AppendString(dst, string(info.ID)), `:{"`...)
	dst = append(append(dst, key...), `":{"events":[`...)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, "]}}"...), nil
}
