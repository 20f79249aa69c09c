// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the algorithm breaks ties by it; nothing relies on its strength
	"slices"
)

// resolveV1 is the algorithm of room version 1: power levels, join rules and
// memberships one after the other, oldest first, then everything else.
// https://spec.matrix.org/v1.16/rooms/v1/#state-resolution
func (res *resolution) resolveV1() (StateMap, error) {
	if err := res.fetch(res.disputedIDs()); err != nil {
		return nil, err
	}
	blocks := make(map[StateKey][]*Event, len(res.disputed))
	var all []*Event
	for key, ids := range res.disputed {
		if block := res.block(key, ids); len(block) > 0 {
			blocks[key] = block
			all = append(all, block...)
		}
	}
	if err := res.fetchAgreed(all); err != nil {
		return nil, err
	}
	state := &stateV1{res: res, resolved: make(map[StateKey]*Event, len(blocks))}
	state.resolvePhase(blocks, func(key StateKey) bool { return key == StateKey{Type: typePowerLevels} })
	state.resolvePhase(blocks, func(key StateKey) bool { return key == StateKey{Type: typeJoinRules} })
	state.resolvePhase(blocks, func(key StateKey) bool { return key.Type == typeMember })
	others := make(map[StateKey]*Event, len(blocks))
	for key, block := range blocks {
		others[key] = state.newestAllowed(block)
	}
	for key, e := range others {
		state.resolved[key] = e
	}
	return res.result(state.resolved), nil
}

// block returns the events that compete for key, by ascending depth and then descending
// SHA-1 of the event id.
func (res *resolution) block(key StateKey, ids []EventID) []*Event {
	type ranked struct {
		event *Event
		hash  [sha1.Size]byte
	}
	var rank []ranked
	for _, id := range ids {
		if e := res.events[id]; e != nil && e.IsState(key) {
			rank = append(rank, ranked{e, sha1.Sum([]byte(id))}) //nolint:gosec // as above
		}
	}
	slices.SortFunc(rank, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.event.Depth(), b.event.Depth()), bytes.Compare(b.hash[:], a.hash[:]))
	})
	events := make([]*Event, len(rank))
	for i := range rank {
		events[i] = rank[i].event
	}
	return events
}

// stateV1 is the state against which version 1 checks events: what is agreed, what is
// resolved, and the candidate for the key in question.
type stateV1 struct {
	res       *resolution
	resolved  map[StateKey]*Event
	candidate *Event
}

// State returns the event that sets key.
func (s *stateV1) State(key StateKey) *Event {
	if s.candidate != nil && s.candidate.IsState(key) {
		return s.candidate
	}
	if e := s.resolved[key]; e != nil {
		return e
	}
	return s.res.events[s.res.agreed[key]]
}

// resolvePhase resolves the blocks of one phase and removes them. Each block sees the state
// before the phase, so that their order does not matter.
func (s *stateV1) resolvePhase(blocks map[StateKey][]*Event, in func(StateKey) bool) {
	winners := make(map[StateKey]*Event)
	for key, block := range blocks {
		if in(key) {
			winners[key] = s.lastInRow(block)
			delete(blocks, key)
		}
	}
	for key, e := range winners {
		s.resolved[key] = e
	}
}

// lastInRow starts with the oldest event and goes on as long as each allows the next.
func (s *stateV1) lastInRow(block []*Event) *Event {
	defer func() { s.candidate = nil }()
	s.candidate = block[0]
	for _, next := range block[1:] {
		if s.res.rules.Authorise(next, s) != nil {
			break
		}
		s.candidate = next
	}
	return s.candidate
}

// newestAllowed returns the newest event that the state allows, or the oldest of all.
func (s *stateV1) newestAllowed(block []*Event) *Event {
	for _, e := range slices.Backward(block) {
		if s.res.rules.Authorise(e, s) == nil {
			return e
		}
	}
	return block[0]
}
