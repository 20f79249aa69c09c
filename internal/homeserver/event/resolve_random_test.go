// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// history is a room whose people act at random on forks of it, as servers that
// hear of each other late would.
type history struct {
	*story
	rng   *rand.Rand
	nodes []historyNode
}

type historyNode struct {
	id    EventID
	after StateMap
}

// newHistory makes a room with up to n events after those that set it up.
func newHistory(t testing.TB, v RoomVersion, seed uint64, n int) *history {
	t.Helper()
	h := &history{story: newStory(t, v), rng: rand.New(rand.NewPCG(seed, 0))}
	base := h.set("$create", "$alice", "$levels", "$rules", "$bob", "$dave")
	h.nodes = append(h.nodes, historyNode{"$dave", base})
	for range n {
		h.step()
	}
	return h
}

// step lets somebody do something after one to three of the latest events, if it is allowed there.
func (h *history) step() {
	h.t.Helper()
	latest := h.nodes[max(0, len(h.nodes)-6):]
	var prev []EventID
	var states []StateMap
	for _, i := range h.rng.Perm(len(latest))[:1+h.rng.IntN(min(3, len(latest)))] {
		prev = append(prev, latest[i].id)
		states = append(states, latest[i].after)
	}
	before, err := h.rules.Resolve(states, h.load)
	if err != nil {
		h.t.Fatalf("state before an event: %v", err)
	}
	k := h.action()
	k.id = EventID("$h" + strconv.Itoa(len(h.events)))
	k.prev, k.ts = prev, h.rng.Int64N(30)
	k.depth = int64(len(h.events)) + h.rng.Int64N(3)
	probe := h.event(k)
	for _, key := range h.rules.authKeysOf(probe) {
		if id, ok := before[key]; ok {
			k.auth = append(k.auth, id)
		}
	}
	e := h.event(k)
	current := AuthStateFunc(func(key StateKey) *Event { return h.events[before[key]] })
	if h.rules.Authorise(e, current) != nil {
		return
	}
	h.events[e.ID()] = e
	after := maps.Clone(before)
	after[e.Tuple()] = e.ID()
	h.nodes = append(h.nodes, historyNode{e.ID(), after})
}

// action is what somebody does.
func (h *history) action() sketch {
	people := []string{alice, bob, carol, dave}
	who, whom := people[h.rng.IntN(4)], people[h.rng.IntN(4)]
	switch h.rng.IntN(11) {
	case 0, 1:
		return memWith(who, fmt.Sprintf(`{"displayname":"%d","membership":"join"}`, h.rng.IntN(100)))
	case 2:
		return mem(who, "leave")
	case 3:
		return memBy(who, whom, "leave")
	case 4:
		return memBy(who, whom, "ban")
	case 5:
		return memBy(who, whom, "invite")
	case 6:
		return joinRule([]string{"public", "invite", "knock"}[h.rng.IntN(3)]).by(who)
	case 7, 8:
		return levelsBy(who, h.randomLevels())
	}
	return state([]string{"m.room.topic", "m.room.name"}[h.rng.IntN(2)], "", who, fmt.Sprintf(`{"n":%d}`, h.rng.IntN(100)))
}

// randomLevels writes levels with every property, so that none is added or removed.
func (h *history) randomLevels() string {
	of := func(levels ...int) int { return levels[h.rng.IntN(len(levels))] }
	creator := `"@alice:a":100,`
	if h.rules.PrivilegedCreators {
		creator = ""
	}
	return fmt.Sprintf(`{"ban":%d,"events":{"m.room.topic":%d},"events_default":0,"invite":%d,"kick":%d,"redact":50,`+
		`"state_default":%d,"users":{%s"@bob:b":%d,"@carol:c":%d,"@dave:d":%d},"users_default":0}`,
		of(0, 50, 100), of(0, 50), of(0, 50), of(0, 50, 100), of(25, 50), creator, of(0, 50, 50, 100), of(0, 50), of(0, 25, 50))
}

// states returns states of the room at random places. With stale, some hold an older
// event than they should, as after a partial synchronisation (MSC4297).
func (h *history) states(stale bool) []StateMap {
	var sets []StateMap
	for range 2 + h.rng.IntN(3) {
		set := maps.Clone(h.nodes[len(h.nodes)-1-h.rng.IntN(min(8, len(h.nodes)))].after)
		if stale {
			old := h.nodes[h.rng.IntN(len(h.nodes))].after
			keys := slices.SortedFunc(maps.Keys(old), func(a, b StateKey) int { return compareStateKeys(a, b) })
			for _, key := range keys {
				if key.Type != typeCreate && h.rng.IntN(4) == 0 {
					set[key] = old[key]
				}
			}
		}
		sets = append(sets, set)
	}
	return sets
}

func compareStateKeys(a, b StateKey) int {
	return slices.Compare([]string{a.Type, a.Key}, []string{b.Type, b.Key})
}

// forHistories runs f on many random rooms of each version.
func forHistories(t *testing.T, versions []RoomVersion, count uint64, f func(t *testing.T, h *history)) {
	t.Helper()
	for _, v := range versions {
		t.Run("version "+string(v), func(t *testing.T) {
			for seed := range count {
				f(t, newHistory(t, v, seed, 40))
			}
		})
	}
}

func TestResolutionDoesNotDependOnTheOrderOfSets(t *testing.T) {
	forHistories(t, resolvable, 60, func(t *testing.T, h *history) {
		for _, stale := range []bool{false, true} {
			sets := h.states(stale)
			want, err := h.rules.Resolve(sets, h.load)
			if err != nil {
				t.Fatal(err)
			}
			if want[StateKey{Type: typeCreate}] != h.eventID("$create") {
				t.Fatal("the create event is gone")
			}
			for range 5 {
				h.rng.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
				got, err := h.rules.Resolve(append(sets, sets[0]), h.load)
				if err != nil || !maps.Equal(got, want) {
					t.Fatalf("another order gives\n%v, %v\nnot\n%v", got, err, want)
				}
			}
		}
	})
}

func TestResolutionIsTheSameWithAuthLists(t *testing.T) {
	forHistories(t, resolvable, 40, func(t *testing.T, h *history) {
		lists := func(ids []EventID) (map[EventID][]EventID, error) {
			found := make(map[EventID][]EventID)
			for _, id := range ids {
				if e := h.events[id]; e != nil {
					found[id] = e.AuthEvents()
				}
			}
			return found, nil
		}
		sets := h.states(true)
		want, err := h.rules.Resolve(sets, h.load)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.rules.ResolveFrom(sets, ResolveSource{Load: h.load, AuthLists: lists})
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

// closure is the plain definition of the auth chain of a state, itself included.
func (h *history) closure(set StateMap) map[EventID]bool {
	chain := make(map[EventID]bool)
	stack := slices.Collect(maps.Values(set))
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !chain[id] {
			chain[id] = true
			stack = append(stack, h.events[id].AuthEvents()...)
		}
	}
	return chain
}

// fullConflictedSet is the definition of the specification, without any shortcut.
func (h *history) fullConflictedSet(sets []StateMap) []EventID {
	full := make(map[EventID]bool)
	_, disputed := partition(sets)
	conflicted := make(map[EventID]bool)
	for _, ids := range disputed {
		for _, id := range ids {
			full[id], conflicted[id] = true, true
		}
	}
	var chains []map[EventID]bool
	union := make(map[EventID]bool)
	for _, set := range sets {
		chains = append(chains, h.closure(set))
		maps.Copy(union, chains[len(chains)-1])
	}
	for id := range union {
		if slices.ContainsFunc(chains, func(chain map[EventID]bool) bool { return !chain[id] }) {
			full[id] = true
		}
	}
	if h.rules.StateResolution == StateResolutionV2Point1 {
		reaches := func(from, to EventID) bool { return h.closure(StateMap{{}: from})[to] }
		for id := range h.events {
			above := slices.ContainsFunc(slices.Collect(maps.Keys(conflicted)), func(c EventID) bool { return reaches(c, id) })
			below := slices.ContainsFunc(slices.Collect(maps.Keys(conflicted)), func(c EventID) bool { return reaches(id, c) })
			if above && below {
				full[id] = true
			}
		}
	}
	delete(full, h.eventID("$create"))
	return slices.Sorted(maps.Keys(full))
}

func TestTheFullConflictedSetIsThatOfTheSpecification(t *testing.T) {
	checked := 0
	forHistories(t, []RoomVersion{"2", "11", "12"}, 40, func(t *testing.T, h *history) {
		sets := h.states(true)
		agreed, disputed := partition(sets)
		res := &resolution{
			rules: h.rules, source: ResolveSource{Load: h.load}, sets: sets, create: h.eventID("$create"),
			agreed: agreed, disputed: disputed, events: make(map[EventID]*Event), allowance: 1000,
		}
		full, err := res.fullConflictedSet()
		if err != nil {
			t.Fatal(err)
		}
		got, want := slices.Sorted(maps.Keys(full)), h.fullConflictedSet(sets)
		if !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		checked += len(want)
	})
	if checked < 500 {
		t.Errorf("only %d events were in dispute: the rooms are too quiet", checked)
	}
}
