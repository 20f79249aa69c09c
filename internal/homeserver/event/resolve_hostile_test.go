// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
)

// hostile is the length of the auth chains that a hostile server makes up here.
const hostile = 10_000

// checkLinear expects that each of two resolutions loaded no event more than twice: once for its
// auth_events alone, once to be checked.
func (s *story) checkLinear(t *testing.T) {
	t.Helper()
	for id, n := range s.asked {
		if n > 4 {
			t.Fatalf("event %s was loaded %d times by two resolutions", id, n)
		}
	}
}

func TestALongAuthChainIsWalkedOnce(t *testing.T) {
	for _, v := range []RoomVersion{"2", "10", "12"} {
		t.Run("version "+string(v), func(t *testing.T) {
			s := newStory(t, v)
			if s.rules.PrivilegedCreators {
				s.add("$levels", levels(`{}`), "$alice")
			}
			first, last := s.chain(hostile)
			got := s.resolve(s.set("$create", "$alice", first), s.set("$create", "$alice", last))
			s.want(got, "$create", "$alice", last)
			s.checkLinear(t)
		})
	}
}

// In a lattice the number of paths grows as width^depth: whoever follows paths never ends.
func TestALatticeOfAuthEventsIsWalkedOnce(t *testing.T) {
	const width = 9
	for _, v := range []RoomVersion{"2", "12"} {
		t.Run("version "+string(v), func(t *testing.T) {
			s := newStory(t, v)
			layer := []EventID{"$alice"}
			for i := range hostile / width {
				var next []EventID
				for j := range width {
					name := EventID(fmt.Sprintf("$lattice%d-%d", i, j))
					s.add(name, state(typeJoinRules, "", alice, `{"join_rule":"public"}`), layer...)
					next = append(next, name)
				}
				layer = next
			}
			sets := []StateMap{s.set("$create", "$alice"), s.set("$create", "$alice", layer[0]), s.set("$create", "$alice", layer[1])}
			if got := s.resolve(sets...); got[StateKey{Type: typeCreate}] == "" {
				t.Error("the create event is gone")
			}
			s.checkLinear(t)
		})
	}
}

func TestManyEventsOffTheMainlineShareTheirWay(t *testing.T) {
	s := newStory(t, "10")
	_, last := s.chain(hostile / 2)
	base := []EventID{"$create", "$alice", "$levels"}
	one, two := append([]EventID{}, base...), append([]EventID{}, base...)
	for i := range hostile / 4 {
		name := EventID("$x" + strconv.Itoa(i))
		s.add(name, state("x", strconv.Itoa(i), alice, `{}`), "$create", "$alice", last)
		if i%2 == 0 {
			one = append(one, name)
		} else {
			two = append(two, name)
		}
	}
	if got := s.resolve(s.set(one...), s.set(two...)); len(got) != len(base)+hostile/4 {
		t.Errorf("got %d entries", len(got))
	}
	s.checkLinear(t)
}

// The ids of versions 1 and 2 are chosen by the sender, so that events can cite each other.
func TestCyclesOfAuthEventsEnd(t *testing.T) {
	s := newStory(t, "2")
	s.add("$ring1", levels(`{"ban":1,"users":{"@alice:a":100}}`), "$create", "$alice", "$ring3:a")
	s.add("$ring2", levels(`{"ban":2,"users":{"@alice:a":100}}`), "$create", "$alice", "$ring1:a")
	s.add("$ring3", levels(`{"ban":3,"users":{"@alice:a":100}}`), "$create", "$alice", "$ring2:a")
	s.add("$self", levels(`{"ban":4,"users":{"@alice:a":100}}`), "$create", "$alice", "$self:a")
	s.add("$topic", state("m.room.topic", "", alice, `{}`), "$create", "$alice", "$ring1:a")
	base := []EventID{"$create", "$alice"}
	got := s.resolve(s.set(append(base, "$ring1", "$topic")...), s.set(append(base, "$ring2")...), s.set(append(base, "$self")...))
	s.want(got, append(base, "$topic")...)
	// A ring that all sets agree on is the mainline.
	got = s.resolve(s.set(append(base, "$ring1")...), s.set(append(base, "$ring1", "$topic")...))
	s.want(got, append(base, "$ring1", "$topic")...)
}

func TestTheWorkOfAResolutionIsBounded(t *testing.T) {
	for _, v := range []RoomVersion{"2", "12"} {
		s := newStory(t, v)
		first, last := s.chain(1000)
		source := ResolveSource{Load: s.load, Budget: 100}
		one, two := s.set("$create", "$alice", first), s.set("$create", "$alice", last)
		for _, sets := range [][]StateMap{{one, two}, {two, one}} {
			got, err := s.rules.ResolveFrom(sets, source)
			var over *BudgetError
			if got != nil || !errors.As(err, &over) || over.Budget != 100 {
				t.Errorf("version %s: got %v, %v; want a BudgetError of 100", v, got, err)
			}
		}
		total := 0
		for _, n := range s.asked {
			total += n
		}
		if total > 2*110 {
			t.Errorf("version %s: %d events were loaded in spite of the budget", v, total)
		}
	}
}

// What all sets agree on is paid for by the size of the sets, not by the budget.
func TestALargeRoomDoesNotNeedALargeBudget(t *testing.T) {
	s := newStory(t, "10")
	base := []EventID{"$create", "$alice", "$levels", "$rules"}
	for i := range 3000 {
		name := EventID("$m" + strconv.Itoa(i))
		s.add(name, mem("@m"+strconv.Itoa(i)+":m", "join"), "$create", "$levels", "$rules")
		base = append(base, name)
	}
	s.add("$bob2", mem(bob, "join"), "$create", "$levels", "$rules", "$bob")
	s.add("$topic", state("m.room.topic", "", bob, `{}`), "$create", "$levels", "$bob2")
	sets := []StateMap{s.set(append(base, "$topic", "$bob2")...), s.set(base...)}
	got, err := s.rules.ResolveFrom(sets, ResolveSource{Load: s.load, Budget: 50})
	if err != nil {
		t.Fatal(err)
	}
	s.want(got, append(base, "$topic", "$bob2")...)
}
