// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
	"maps"
	"strings"
)

// EventLoader returns the events with these ids, in any order. Events that are not there or
// were rejected are left out: resolution never brings a rejected event back.
type EventLoader func(ids []EventID) ([]*Event, error)

// DefaultResolveBudget is how many events a resolution may look at beyond those in the sets.
const DefaultResolveBudget = 200_000

// ResolveSource is where a resolution finds events.
type ResolveSource struct {
	// Load returns whole events. It is called with many ids at a time.
	Load EventLoader
	// AuthLists returns the auth_events of events, leaving out unknown ones. Optional; with it
	// the auth chains of what the sets agree on are walked without loading events, which
	// matters in rooms with many members.
	AuthLists func(ids []EventID) (map[EventID][]EventID, error)
	// Budget bounds how many events are looked at beyond those in the sets;
	// 0 means DefaultResolveBudget.
	Budget int
}

// ErrNoCreate says that the states to resolve do not agree on one m.room.create event.
var ErrNoCreate = errors.New("room states without a common create event")

// BudgetError says that a resolution was given up because the auth chains are too long.
// The caller keeps the state that it has.
type BudgetError struct {
	Budget int
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("state resolution needs more than %d events of the auth chains", e.Budget)
}

// Resolve merges room states by the algorithm of the room version. The result is a new
// map and does not depend on the order of sets. It is ErrNoCreate if the sets do not all
// hold the same create event, a *BudgetError if the auth chains are too long, and otherwise
// what load returned. Entries that all sets share are taken as they are: a room state
// never holds a rejected event.
// https://spec.matrix.org/v1.16/rooms/v12/#state-resolution
func (r *Rules) Resolve(sets []StateMap, load EventLoader) (StateMap, error) {
	return r.ResolveFrom(sets, ResolveSource{Load: load})
}

// ResolveFrom is Resolve with more ways to find events.
func (r *Rules) ResolveFrom(sets []StateMap, source ResolveSource) (StateMap, error) {
	create, err := commonCreate(sets)
	if err != nil {
		return nil, err
	}
	agreed, disputed := partition(sets)
	if r.StateResolution == StateResolutionV1 {
		agreed, disputed = undisputed(agreed, disputed)
	}
	if len(disputed) == 0 {
		return agreed, nil
	}
	if source.Budget == 0 {
		source.Budget = DefaultResolveBudget
	}
	res := &resolution{
		rules: r, source: source, sets: sets, create: create, agreed: agreed, disputed: disputed,
		events: make(map[EventID]*Event),
	}
	for _, ids := range disputed {
		res.allowance += len(ids)
	}
	res.allowance += len(agreed) + source.Budget
	if r.StateResolution == StateResolutionV1 {
		return res.resolveV1()
	}
	return res.resolveV2()
}

// commonCreate returns the create event of all sets.
func commonCreate(sets []StateMap) (EventID, error) {
	var create EventID
	for i, set := range sets {
		id := set[StateKey{Type: typeCreate}]
		if id == "" || (i > 0 && id != create) {
			return "", ErrNoCreate
		}
		create = id
	}
	if create == "" {
		return "", ErrNoCreate
	}
	return create, nil
}

// partition splits sets into what all of them agree on and the rest: the unconflicted
// state map and the conflicted state set.
func partition(sets []StateMap) (agreed StateMap, disputed map[StateKey][]EventID) {
	agreed = make(StateMap, len(sets[0]))
	disputed = make(map[StateKey][]EventID)
	for key, id := range sets[0] {
		if allHold(sets[1:], key, id) {
			agreed[key] = id
		}
	}
	for _, set := range sets {
		for key, id := range set {
			if _, ok := agreed[key]; !ok {
				disputed[key] = appendNew(disputed[key], id)
			}
		}
	}
	return agreed, disputed
}

func allHold(sets []StateMap, key StateKey, id EventID) bool {
	for _, set := range sets {
		if other, ok := set[key]; !ok || other != id {
			return false
		}
	}
	return true
}

// appendNew appends id unless it is there. Lists are short: one entry for each set at most.
func appendNew(ids []EventID, id EventID) []EventID {
	for _, other := range ids {
		if other == id {
			return ids
		}
	}
	return append(ids, id)
}

// undisputed moves keys that only some sets hold, but with one value, to agreed. Version 1
// does not call that a conflict.
func undisputed(agreed StateMap, disputed map[StateKey][]EventID) (StateMap, map[StateKey][]EventID) {
	for key, ids := range disputed {
		if len(ids) == 1 {
			agreed[key] = ids[0]
			delete(disputed, key)
		}
	}
	return agreed, disputed
}

// resolution is one run of an algorithm.
type resolution struct {
	rules    *Rules
	source   ResolveSource
	sets     []StateMap
	create   EventID
	agreed   StateMap
	disputed map[StateKey][]EventID

	// events holds what was loaded; nil for events that are absent or rejected.
	events map[EventID]*Event
	// allowance is how many more events may be looked at.
	allowance int
}

// fetch makes sure that events holds ids.
func (res *resolution) fetch(ids []EventID) error {
	var missing []EventID
	for _, id := range ids {
		if _, ok := res.events[id]; !ok {
			res.events[id] = nil
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := res.spend(len(missing)); err != nil {
		return err
	}
	loaded, err := res.source.Load(missing)
	if err != nil {
		return fmt.Errorf("load events for state resolution: %w", err)
	}
	for _, e := range loaded {
		if _, asked := res.events[e.ID()]; asked {
			res.events[e.ID()] = e
		}
	}
	return nil
}

func (res *resolution) spend(n int) error {
	res.allowance -= n
	if res.allowance < 0 {
		return &BudgetError{Budget: res.source.Budget}
	}
	return nil
}

// disputedIDs returns the ids of the conflicted state set.
func (res *resolution) disputedIDs() []EventID {
	var ids []EventID
	for _, each := range res.disputed {
		ids = append(ids, each...)
	}
	return ids
}

// fetchAgreed loads those agreed events that decide about events.
func (res *resolution) fetchAgreed(events []*Event) error {
	ids := []EventID{res.create}
	for _, e := range events {
		for _, key := range res.rules.authKeysOf(e) {
			if id, ok := res.agreed[key]; ok {
				ids = append(ids, id)
			}
		}
	}
	return res.fetch(ids)
}

// result adds what was resolved to what all sets agree on, which wins. Its strings are
// copies: those of an event would keep the event in memory as long as the state.
func (res *resolution) result(resolved map[StateKey]*Event) StateMap {
	state := make(StateMap, len(res.agreed)+len(resolved))
	for key, e := range resolved {
		key = StateKey{strings.Clone(key.Type), strings.Clone(key.Key)}
		state[key] = EventID(strings.Clone(string(e.ID())))
	}
	maps.Copy(state, res.agreed)
	return state
}
