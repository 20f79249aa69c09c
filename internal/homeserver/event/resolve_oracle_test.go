// SPDX-License-Identifier: Apache-2.0

package event

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"
)

// oracleResolve lets gomatrixserverlib resolve sets.
func (h *history) oracleResolve(sets []StateMap) StateMap {
	h.t.Helper()
	pdus := make(map[EventID]gomatrixserverlib.PDU)
	pdu := func(id EventID) gomatrixserverlib.PDU {
		if pdus[id] == nil {
			pdus[id] = oraclePDU(h.t, h.events[id])
		}
		return pdus[id]
	}
	var states [][]gomatrixserverlib.PDU
	known := make(map[EventID]bool)
	for _, set := range sets {
		var list []gomatrixserverlib.PDU
		for _, id := range slices.Sorted(maps.Values(set)) {
			list = append(list, pdu(id))
		}
		states = append(states, list)
		maps.Copy(known, h.closure(set))
	}
	if h.rules.StateResolution == StateResolutionV1 {
		// Its version 1 takes as auth events what is not in conflict.
		agreed, disputed := partition(sets)
		agreed, _ = undisputed(agreed, disputed)
		clear(known)
		for _, id := range agreed {
			known[id] = true
		}
	}
	var auth []gomatrixserverlib.PDU
	for _, id := range slices.Sorted(maps.Keys(known)) {
		auth = append(auth, pdu(id))
	}
	version := gomatrixserverlib.RoomVersion(h.rules.Version)
	resolved, err := gomatrixserverlib.ResolveConflictsNew(version, states, auth, oracleUser, func(string) bool { return false })
	if err != nil {
		h.t.Fatal(err)
	}
	result := make(StateMap)
	for _, e := range resolved {
		result[StateKey{e.Type(), *e.StateKey()}] = EventID(e.EventID())
	}
	return result
}

// oracleErrs names a point in which the oracle, known to us, does not follow the specification
// and that matters for sets; "" if there is none. It replays the resolution to find out.
func (h *history) oracleErrs(sets []StateMap) string {
	h.t.Helper()
	agreed, disputed := partition(sets)
	if h.rules.StateResolution == StateResolutionV1 {
		agreed, disputed = undisputed(agreed, disputed)
		return h.oracleErrsV1(agreed, disputed)
	}
	res := &resolution{
		rules: h.rules, source: ResolveSource{Load: h.load}, sets: sets, create: h.eventID("$create"),
		agreed: agreed, disputed: disputed, events: make(map[EventID]*Event), allowance: 1000,
	}
	full, err := res.fullConflictedSet()
	if err != nil {
		h.t.Fatal(err)
	}
	power, rest := res.splitPower(full)
	if err := res.fetchAgreed(append(slices.Clone(power), rest...)); err != nil {
		h.t.Fatal(err)
	}
	conflicted := res.disputedIDs()
	for _, e := range power {
		if !isPowerEvent(e) && !slices.Contains(conflicted, e.ID()) {
			return "it follows auth events only inside the conflicted state set, not the full one"
		}
	}
	sorted := res.sortByPower(power)
	if !slices.Equal(sorted, res.sortBackwards(power)) {
		return "it sorts from the end, which is not the smallest ordering"
	}
	replay := res.newReplay()
	if why := h.oracleErrsOnReplay(replay, sorted); why != "" {
		return why
	}
	sorted, err = res.sortByMainline(rest, replay.State(StateKey{Type: typePowerLevels}))
	if err != nil {
		h.t.Fatal(err)
	}
	if !slices.Equal(sorted, res.sortBySteps(rest, replay.State(StateKey{Type: typePowerLevels}))) {
		return "it counts steps to the mainline, and takes none for the first event of it"
	}
	return h.oracleErrsOnReplay(replay, sorted)
}

// oracleErrsOnReplay applies events and asks the oracle about each.
func (h *history) oracleErrsOnReplay(replay *replay, events []*Event) string {
	for _, e := range events {
		replay.current = e
		var auth []gomatrixserverlib.PDU
		for _, key := range h.rules.authKeysOf(e) {
			found := replay.State(key)
			if found == nil {
				continue
			}
			if replay.resolved[key] == nil && replay.base[key] == "" {
				return "it authorises an event by itself where the state lacks a key"
			}
			auth = append(auth, oraclePDU(h.t, found))
		}
		if h.verdictsDiffer(e, auth, replay) {
			return "it authorises otherwise, see TestAuthorisationAgreesWithTheOracle"
		}
		replay.apply([]*Event{e})
	}
	return ""
}

func (h *history) verdictsDiffer(e *Event, auth []gomatrixserverlib.PDU, state AuthState) bool {
	h.t.Helper()
	provider, err := gomatrixserverlib.NewAuthEvents(auth)
	if err != nil {
		h.t.Fatal(err)
	}
	theirs := gomatrixserverlib.Allowed(oraclePDU(h.t, e), provider, oracleUser)
	return (theirs == nil) != (h.rules.Authorise(e, state) == nil)
}

// oracleErrsV1 lets the oracle judge every disputed event in every state that a choice among
// disputed power levels, join rules and memberships of sender and target can make.
func (h *history) oracleErrsV1(agreed StateMap, disputed map[StateKey][]EventID) string {
	for _, ids := range disputed {
		for _, id := range ids {
			e := h.events[id]
			states := []AuthEvents{{}}
			for _, key := range h.rules.authKeysOf(e) {
				options := disputed[key]
				if current, ok := agreed[key]; ok {
					options = []EventID{current}
				}
				var next []AuthEvents
				for _, state := range states {
					for _, option := range append(options, "") {
						with := maps.Clone(state)
						if chosen := h.events[option]; chosen != nil {
							with[key] = chosen
						}
						next = append(next, with)
					}
				}
				states = next
			}
			for _, state := range states {
				var auth []gomatrixserverlib.PDU
				for _, a := range state {
					auth = append(auth, oraclePDU(h.t, a))
				}
				if state[StateKey{Type: typeCreate}] != nil && h.verdictsDiffer(e, auth, state) {
					return "it authorises otherwise, see TestAuthorisationAgreesWithTheOracle"
				}
			}
		}
	}
	return ""
}

// sortBackwards is the oracle's ordering: what nothing builds on goes last, the greatest first.
func (res *resolution) sortBackwards(events []*Event) []*Event {
	entries := make(map[EventID]*powerEntry)
	for _, e := range events {
		level := int64(0)
		if pl := res.authEventOf(e, StateKey{Type: typePowerLevels}); pl != nil {
			level = res.senderLevel(e)
		}
		entries[e.ID()] = &powerEntry{event: e, level: level}
	}
	for _, e := range events {
		for _, id := range e.AuthEvents() {
			if entries[id] != nil {
				entries[id].waiting++
			}
		}
	}
	var sorted []*Event
	for len(entries) > 0 {
		var last *powerEntry
		for _, entry := range entries {
			if entry.waiting == 0 && (last == nil || last.before(entry)) {
				last = entry
			}
		}
		sorted = append(sorted, last.event)
		delete(entries, last.event.ID())
		for _, id := range last.event.AuthEvents() {
			if entries[id] != nil {
				entries[id].waiting--
			}
		}
	}
	slices.Reverse(sorted)
	return sorted
}

// sortBySteps is the oracle's mainline ordering.
func (res *resolution) sortBySteps(events []*Event, levels *Event) []*Event {
	var mainline []*Event
	for e := levels; e != nil; e = res.authEventOf(e, StateKey{Type: typePowerLevels}) {
		mainline = append(mainline, e)
	}
	slices.Reverse(mainline)
	place := func(e *Event) (position, steps int) {
		for pl := res.authEventOf(e, StateKey{Type: typePowerLevels}); pl != nil; pl = res.authEventOf(pl, StateKey{Type: typePowerLevels}) {
			if i := slices.Index(mainline, pl); i >= 0 {
				return i, steps
			}
			steps++
		}
		return 0, steps
	}
	sorted := slices.Clone(events)
	slices.SortFunc(sorted, func(a, b *Event) int {
		positionA, stepsA := place(a)
		positionB, stepsB := place(b)
		return cmp.Or(
			cmp.Compare(positionA, positionB), cmp.Compare(stepsA, stepsB),
			cmp.Compare(a.OriginServerTS(), b.OriginServerTS()), cmp.Compare(a.ID(), b.ID()),
		)
	})
	return sorted
}

// listsTwice reports whether a power event builds on another one in dispute. The oracle then sorts
// it twice, and may put what it counted twice before everything else.
func (h *history) listsTwice(sets []StateMap) bool {
	_, disputed := partition(sets)
	power := make(map[EventID]bool)
	for _, ids := range disputed {
		for _, id := range ids {
			power[id] = isPowerEvent(h.events[id])
		}
	}
	for id := range power {
		if power[id] && slices.ContainsFunc(h.events[id].AuthEvents(), func(auth EventID) bool { return power[auth] }) {
			return true
		}
	}
	return false
}

// Half of the resolutions are compared; in the other half a known error of the oracle is at work.
func TestResolutionAgreesWithTheOracle(t *testing.T) {
	for _, v := range []RoomVersion{"1", "2", "3", "6", "8", "10", "11"} {
		t.Run("version "+string(v), func(t *testing.T) {
			compared, excused, total := 0, 0, 0
			for seed := range uint64(400) {
				h := newHistory(t, v, seed, 5+int(seed%20))
				sets := h.states(h.rng.IntN(2) == 0)
				if _, disputed := partition(sets); len(disputed) == 0 {
					continue
				}
				total++
				if h.oracleErrs(sets) != "" {
					continue
				}
				compared++
				ours, err := h.rules.Resolve(sets, h.load)
				if err != nil {
					t.Fatal(err)
				}
				theirs := h.oracleResolve(sets)
				if maps.Equal(ours, theirs) {
					continue
				}
				excused++
				if h.rules.StateResolution == StateResolutionV1 || !h.listsTwice(sets) {
					t.Errorf("room %d\nours   %v\noracle %v", seed, ours, theirs)
				}
			}
			if compared < total*2/5 || excused > compared/50 {
				t.Errorf("%d of %d compared, %d of them excused: too little", compared, total, excused)
			}
		})
	}
}
