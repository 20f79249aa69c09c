// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"math"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// The state that goes with a timeline is collected as nids by key. With
// use_state_after it is the state at the timeline's end. Otherwise it is the
// state at its start, except that a change which the timeline does not show
// counts although it came later: else a client whose filter leaves state
// events out of the timeline would never learn of it.

// roomState collects the state of one room for the answer.
type roomState struct {
	b    *builder
	sp   span
	t    *timeline
	keys []event.StateKey
	nids map[event.StateKey]int64
	// view is the state to look single members up in.
	view *rooms.StateView
	// whole: the client gets the whole state, whatever it had before.
	whole bool
}

func (b *builder) newState(sp span, t *timeline) *roomState {
	return &roomState{b: b, sp: sp, t: t, nids: map[event.StateKey]int64{}}
}

func (rs *roomState) set(key event.StateKey, nid int64) {
	if _, ok := rs.nids[key]; !ok {
		rs.keys = append(rs.keys, key)
	}
	rs.nids[key] = nid
}

func (b *builder) lazy() bool { return b.r.Filter.Room.State.LazyLoadMembers }

// changes collects what changed within the span.
func (rs *roomState) changes(ctx context.Context) error {
	if rs.b.r.UseStateAfter {
		return rs.changesAtEnd(ctx)
	}
	if rs.t.limited {
		if err := rs.delta(ctx, rs.sp.from, rs.t.start, func(rooms.DeltaEntry) bool { return true }); err != nil {
			return err
		}
	}
	if rs.t.dropped {
		return rs.delta(ctx, rs.t.start, rs.sp.to, func(e rooms.DeltaEntry) bool { return !rs.t.holds(e.NewNID) })
	}
	return nil
}

func (rs *roomState) changesAtEnd(ctx context.Context) error {
	if rs.t.limited || rs.t.dropped {
		return rs.delta(ctx, rs.sp.from, rs.sp.to, func(rooms.DeltaEntry) bool { return true })
	}
	for _, e := range rs.t.events {
		if _, isState := e.StateKey(); isState {
			rs.set(e.Tuple(), e.NID)
		}
	}
	return nil
}

func (rs *roomState) delta(ctx context.Context, from, to int64, want func(rooms.DeltaEntry) bool) error {
	entries, err := rs.b.s.rooms.StateDelta(ctx, rs.sp.room.NID, from, to)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.NewNID != 0 && want(e) {
			rs.set(e.Key, e.NewNID)
		}
	}
	return nil
}

// all collects the whole state, or with lazy loading all but the members. end
// is the state at the end of the span.
func (rs *roomState) all(ctx context.Context, end *rooms.StateView) error {
	rs.view, rs.whole = end, true
	read := end.All
	if rs.b.lazy() {
		read = end.NonMembers
	}
	entries, err := read(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rs.set(e.Key, e.NID)
	}
	if rs.b.lazy() {
		if err := rs.member(ctx, rs.b.r.User); err != nil {
			return err
		}
	}
	return nil
}

// rewind turns the collected state of the span's end into that of its start,
// where the timeline shows the change.
func (rs *roomState) rewind() {
	if rs.b.r.UseStateAfter {
		return
	}
	done := map[event.StateKey]bool{}
	for _, e := range rs.t.events {
		key := e.Tuple()
		if _, isState := e.StateKey(); !isState || done[key] {
			continue
		}
		done[key] = true
		if nid, ok := rs.nids[key]; ok && rs.t.holds(nid) {
			rs.nids[key] = e.ReplacesNID
		}
	}
}

// undo takes changes back that came after the span's end: a current state
// that was read may be newer.
func (rs *roomState) undo(ctx context.Context) error {
	entries, err := rs.b.s.rooms.StateDelta(ctx, rs.sp.room.NID, rs.sp.to, math.MaxInt64)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := rs.nids[e.Key]; ok || !rs.b.lazy() {
			rs.set(e.Key, e.OldNID)
		}
	}
	return nil
}

// member adds the membership event of a user, if there is one.
func (rs *roomState) member(ctx context.Context, user event.UserID) error {
	key := event.StateKey{Type: typeMember, Key: string(user)}
	if _, ok := rs.nids[key]; ok {
		return nil
	}
	nid, ok, err := rs.view.Get(ctx, key)
	if err == nil && ok {
		rs.set(key, nid)
	}
	return err
}

// speakers adds the members whom a lazy client needs for the timeline and
// does not have yet.
func (rs *roomState) speakers(ctx context.Context, heroes []event.UserID) error {
	if !rs.b.lazy() {
		return nil
	}
	known := map[event.UserID]bool{}
	var need []event.UserID
	for _, e := range rs.t.events {
		if e.Type() == typeMember && !rs.b.r.UseStateAfter {
			key, _ := e.StateKey()
			known[event.UserID(key)] = true
		}
		if !known[e.Sender()] {
			known[e.Sender()] = true
			need = append(need, e.Sender())
		}
	}
	for _, user := range heroes {
		if !known[user] {
			need = append(need, user)
		}
	}
	if len(need) == 0 {
		return nil
	}
	if err := rs.open(ctx); err != nil {
		return err
	}
	for _, user := range need {
		if err := rs.speaker(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// open makes sure that there is a state to look members up in.
func (rs *roomState) open(ctx context.Context) error {
	if rs.view != nil {
		return nil
	}
	var err error
	switch {
	case len(rs.t.events) == 0:
		rs.view, err = rs.b.s.rooms.CurrentState(ctx, rs.sp.room.NID)
	case rs.b.r.UseStateAfter:
		rs.view, err = rs.b.s.rooms.StateAfter(ctx, rs.t.events[len(rs.t.events)-1])
	default:
		rs.view, err = rs.b.s.rooms.StateAt(ctx, rs.t.events[0].StateNID)
	}
	return err
}

// speaker adds one member unless the device has the event, or gets it in the timeline.
func (rs *roomState) speaker(ctx context.Context, user event.UserID) error {
	key := event.StateKey{Type: typeMember, Key: string(user)}
	if _, ok := rs.nids[key]; ok {
		return nil
	}
	nid, ok, err := rs.view.Get(ctx, key)
	if err != nil || !ok {
		return err
	}
	if rs.t.holds(nid) && !rs.b.r.UseStateAfter {
		return nil
	}
	b := rs.b
	if !b.r.Filter.Room.State.IncludeRedundantMembers && !rs.whole && b.device.has(nid, b.from) {
		return nil
	}
	rs.set(key, nid)
	return nil
}

// events returns the collected events that the client wants, in the order collected.
func (rs *roomState) events(ctx context.Context) ([]*rooms.StoredEvent, error) {
	want := rs.b.r.Filter.Room.State
	if !want.MatchesRoom(string(rs.sp.room.ID)) {
		return nil, nil
	}
	nids := make([]int64, 0, len(rs.keys))
	for _, key := range rs.keys {
		if nid := rs.nids[key]; nid != 0 && want.MatchesType(key.Type) {
			nids = append(nids, nid)
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	found, err := rs.b.s.rooms.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	kept := found[:0:0]
	for _, e := range found {
		if passes(&want, e) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
