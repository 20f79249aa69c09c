// SPDX-License-Identifier: Apache-2.0

package event

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// resolveV2 is the algorithm of room versions 2 to 11, and with MSC4297's two changes
// that of version 12: replay what is in dispute, events that take power away first.
// https://spec.matrix.org/v1.16/rooms/v12/#state-resolution
func (res *resolution) resolveV2() (StateMap, error) {
	full, err := res.fullConflictedSet()
	if err != nil {
		return nil, err
	}
	power, rest := res.splitPower(full)
	if err := res.fetchAgreed(append(slices.Clone(power), rest...)); err != nil {
		return nil, err
	}
	replay := res.newReplay()
	replay.apply(res.sortByPower(power))
	order, err := res.sortByMainline(rest, replay.State(StateKey{Type: typePowerLevels}))
	if err != nil {
		return nil, err
	}
	replay.apply(order)
	return res.result(replay.resolved), nil
}

// fullConflictedSet returns the events to replay, in no order. Everything in their auth
// chains is loaded.
func (res *resolution) fullConflictedSet() (map[EventID]*Event, error) {
	ids := res.disputedIDs()
	if err := res.loadChains(ids); err != nil {
		return nil, err
	}
	conflicted := make(map[EventID]bool, len(ids))
	for _, id := range ids {
		if res.events[id] != nil {
			conflicted[id] = true
		}
	}
	parts := []map[EventID]bool{conflicted}
	difference, err := res.authDifference(conflicted)
	if err != nil {
		return nil, err
	}
	parts = append(parts, difference)
	if res.rules.StateResolution == StateResolutionV2Point1 {
		parts = append(parts, res.subgraph(conflicted))
	}
	full := make(map[EventID]*Event)
	for _, part := range parts {
		for id := range part {
			if e := res.events[id]; e != nil && isReplayable(e) {
				full[id] = e
			}
		}
	}
	return full, nil
}

// isReplayable keeps out what can change no state, and the create event, which stands.
func isReplayable(e *Event) bool {
	_, isState := e.StateKey()
	return isState && e.Type() != typeCreate
}

// isPowerEvent reports whether e may take away somebody's right to do something.
func isPowerEvent(e *Event) bool {
	key, _ := e.StateKey()
	switch e.Type() {
	case typePowerLevels, typeJoinRules:
		return key == ""
	case typeMember:
		membership := e.Membership()
		return key != string(e.Sender()) && (membership == membershipLeave || membership == membershipBan)
	}
	return false
}

// splitPower divides full into power events with those events of full that they build on,
// and the rest. "Build on" is followed inside full, as MSC1442 words it ("recursively, that
// appear in the full conflicted set") and as other servers do.
func (res *resolution) splitPower(full map[EventID]*Event) (power, rest []*Event) {
	var stack []*Event
	for _, e := range full {
		if isPowerEvent(e) {
			stack = append(stack, e)
		}
	}
	chosen := make(map[EventID]bool)
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if chosen[e.ID()] {
			continue
		}
		chosen[e.ID()] = true
		power = append(power, e)
		for _, id := range e.AuthEvents() {
			if auth := full[id]; auth != nil {
				stack = append(stack, auth)
			}
		}
	}
	for id, e := range full {
		if !chosen[id] {
			rest = append(rest, e)
		}
	}
	return power, rest
}

// powerEntry is an event in the reverse topological power ordering.
type powerEntry struct {
	event   *Event
	level   int64
	waiting int // for so many of its auth events
	citedBy []*powerEntry
}

// before is the order among events that do not build on each other.
func (a *powerEntry) before(b *powerEntry) bool {
	return cmp.Or(
		cmp.Compare(b.level, a.level),
		cmp.Compare(a.event.OriginServerTS(), b.event.OriginServerTS()),
		cmp.Compare(a.event.ID(), b.event.ID()),
	) < 0
}

// powerHeap is a heap of entries that wait for nothing.
type powerHeap []*powerEntry

func (h powerHeap) Len() int           { return len(h) }
func (h powerHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h powerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *powerHeap) Push(x any)        { *h = append(*h, x.(*powerEntry)) }
func (h *powerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// sortByPower returns events in the reverse topological power ordering (Kahn's algorithm).
// Events on a cycle, which the ids of versions 1 and 2 do not exclude, are left out: none
// of them can have been allowed.
func (res *resolution) sortByPower(events []*Event) []*Event {
	entries := make(map[EventID]*powerEntry, len(events))
	for _, e := range events {
		entries[e.ID()] = &powerEntry{event: e, level: res.senderLevel(e)}
	}
	ready := &powerHeap{}
	for _, e := range events {
		entry := entries[e.ID()]
		for _, id := range e.AuthEvents() {
			if auth := entries[id]; auth != nil {
				auth.citedBy = append(auth.citedBy, entry)
				entry.waiting++
			}
		}
		if entry.waiting == 0 {
			*ready = append(*ready, entry)
		}
	}
	heap.Init(ready)
	sorted := make([]*Event, 0, len(events))
	for ready.Len() > 0 {
		entry := heap.Pop(ready).(*powerEntry)
		sorted = append(sorted, entry.event)
		for _, next := range entry.citedBy {
			if next.waiting--; next.waiting == 0 {
				heap.Push(ready, next)
			}
		}
	}
	return sorted
}

// senderLevel returns the level that e's sender had by e's auth_events.
func (res *resolution) senderLevel(e *Event) int64 {
	levels := &PowerLevels{}
	if create := res.events[res.create]; create != nil {
		facts := create.authFacts()
		if facts.isCreator(e.Sender()) {
			return math.MaxInt64
		}
		levels = facts.levels
	}
	if event := res.authEventOf(e, StateKey{Type: typePowerLevels}); event != nil {
		own, err := event.PowerLevels()
		if err != nil {
			return 0
		}
		levels = own
	}
	return levels.User(e.Sender())
}

// authEventOf returns the event among e's loaded auth_events that sets key.
func (res *resolution) authEventOf(e *Event, key StateKey) *Event {
	for _, id := range e.AuthEvents() {
		if auth := res.events[id]; auth != nil && auth.IsState(key) {
			return auth
		}
	}
	return nil
}

// sortByMainline returns events in the mainline ordering based on levels, which may be nil.
func (res *resolution) sortByMainline(events []*Event, levels *Event) ([]*Event, error) {
	positions, err := res.mainline(levels)
	if err != nil {
		return nil, err
	}
	sorted := slices.Clone(events)
	own := make(map[EventID]int, len(events))
	for _, e := range events {
		own[e.ID()] = res.mainlinePosition(e, positions)
	}
	slices.SortFunc(sorted, func(a, b *Event) int {
		return cmp.Or(
			cmp.Compare(own[b.ID()], own[a.ID()]),
			cmp.Compare(a.OriginServerTS(), b.OriginServerTS()),
			cmp.Compare(a.ID(), b.ID()),
		)
	})
	return sorted, nil
}

// mainline returns the positions of levels, of the power levels event before it, and so on.
func (res *resolution) mainline(levels *Event) (map[EventID]int, error) {
	positions := make(map[EventID]int)
	for levels != nil {
		if _, ok := positions[levels.ID()]; ok {
			break // a cycle
		}
		positions[levels.ID()] = len(positions)
		if err := res.fetch(levels.AuthEvents()); err != nil {
			return nil, err
		}
		levels = res.authEventOf(levels, StateKey{Type: typePowerLevels})
	}
	return positions, nil
}

// mainlinePosition returns where e's power levels meet the mainline, the largest int if they
// do not. It notes in positions what it finds on the way, so that a chain is walked once.
func (res *resolution) mainlinePosition(e *Event, positions map[EventID]int) int {
	var path []EventID
	position := math.MaxInt
	for {
		e = res.authEventOf(e, StateKey{Type: typePowerLevels})
		if e == nil {
			break
		}
		if known, ok := positions[e.ID()]; ok {
			position = known
			break
		}
		positions[e.ID()] = math.MaxInt // should this be a cycle
		path = append(path, e.ID())
	}
	for _, id := range path {
		positions[id] = position
	}
	return position
}

// replay is the iterative auth checks algorithm. It is the state that each event is
// checked against: what was resolved so far, then, before version 12, what all sets
// agree on, then the event's own auth_events.
type replay struct {
	res      *resolution
	resolved map[StateKey]*Event
	base     StateMap
	current  *Event
}

func (res *resolution) newReplay() *replay {
	p := &replay{res: res, resolved: make(map[StateKey]*Event), base: res.agreed}
	if res.rules.StateResolution == StateResolutionV2Point1 {
		p.base = StateMap{{Type: typeCreate}: res.create}
	}
	return p
}

// State returns the event that sets key for the current event.
func (p *replay) State(key StateKey) *Event {
	if e := p.resolved[key]; e != nil {
		return e
	}
	if e := p.res.events[p.base[key]]; e != nil {
		return e
	}
	if p.current == nil {
		return nil
	}
	return p.res.authEventOf(p.current, key)
}

// apply checks events in order and lets those that are allowed set the state.
func (p *replay) apply(events []*Event) {
	for _, e := range events {
		p.current = e
		if p.res.rules.Authorise(e, p) == nil {
			p.resolved[e.Tuple()] = e
		}
	}
	p.current = nil
}
