// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"maps"
	"strconv"
	"testing"
)

// story is the events of a room by name, for resolution: a name is an event id.
type story struct {
	*scene
	events  map[EventID]*Event
	clock   int64
	loads   int
	asked   map[EventID]int
	refused map[EventID]bool // rejected: not loaded
}

// newStory is a room that alice made, with what its people set up.
func newStory(t testing.TB, v RoomVersion) *story {
	t.Helper()
	s := &story{scene: newScene(t, v), events: make(map[EventID]*Event), asked: make(map[EventID]int), refused: make(map[EventID]bool)}
	s.add("$create", s.create())
	s.add("$alice", mem(alice, "join").after("$create"), "$create")
	s.add("$levels", s.levels(), "$create", "$alice")
	s.add("$rules", joinRule("public"), "$create", "$alice", "$levels")
	s.add("$bob", mem(bob, "join"), "$create", "$levels", "$rules")
	s.add("$dave", mem(dave, "join"), "$create", "$levels", "$rules")
	return s
}

// add makes the event that name stands for. In version 12 "$create" in auth is left out.
func (s *story) add(name EventID, k sketch, auth ...EventID) {
	s.t.Helper()
	s.clock++
	k.id = name
	if k.ts == 0 {
		k.ts = s.clock
	}
	if k.depth == 0 {
		k.depth = s.clock
	}
	for _, id := range auth {
		if id != "$create" || !s.rules.RoomIDIsCreateHash {
			k.auth = append(k.auth, id)
		}
	}
	e := s.event(k)
	s.events[e.ID()] = e
}

// set is the room state that the named events make.
func (s *story) set(names ...EventID) StateMap {
	s.t.Helper()
	set := make(StateMap)
	for _, id := range s.eventIDs(names) {
		e := s.events[id]
		if e == nil {
			s.t.Fatalf("no event %s in the story", id)
		}
		set[e.Tuple()] = id
	}
	return set
}

// load is an EventLoader that counts.
func (s *story) load(ids []EventID) ([]*Event, error) {
	s.loads++
	var found []*Event
	for _, id := range ids {
		s.asked[id]++
		if e := s.events[id]; e != nil && !s.refused[id] {
			found = append(found, e)
		}
	}
	return found, nil
}

// resolve resolves in both orders of sets and expects one result.
func (s *story) resolve(sets ...StateMap) StateMap {
	s.t.Helper()
	resolved, err := s.rules.Resolve(sets, s.load)
	if err != nil {
		s.t.Fatalf("resolve: %v", err)
	}
	reversed := make([]StateMap, len(sets))
	for i, set := range sets {
		reversed[len(sets)-1-i] = set
	}
	again, err := s.rules.Resolve(reversed, s.load)
	if err != nil {
		s.t.Fatalf("resolve in reverse: %v", err)
	}
	if !maps.Equal(resolved, again) {
		s.t.Errorf("the order of sets matters:\n%v\n%v", resolved, again)
	}
	return resolved
}

// want expects names to be the state, and nothing else.
func (s *story) want(resolved StateMap, names ...EventID) {
	s.t.Helper()
	if want := s.set(names...); !maps.Equal(resolved, want) {
		s.t.Errorf("got  %v\nwant %v", resolved, want)
	}
}

// resolvable lists one version for each algorithm, and a second for version 2.
var resolvable = []RoomVersion{"1", "2", "10", "12"}

func TestStatesThatAgreeResolveToThemselves(t *testing.T) {
	for _, v := range resolvable {
		s := newStory(t, v)
		whole := []EventID{"$create", "$alice", "$levels", "$rules", "$bob", "$dave"}
		s.want(s.resolve(s.set(whole...)), whole...)
		s.want(s.resolve(s.set(whole...), s.set(whole...), s.set(whole...)), whole...)
		if s.loads > 0 {
			t.Errorf("version %s: %d loads where nothing is in dispute", v, s.loads)
		}
	}
}

func TestResolutionNeedsOneCreateEvent(t *testing.T) {
	for _, v := range resolvable {
		s := newStory(t, v)
		s.add("$create2", s.create().by(bob))
		tests := []struct {
			name string
			sets []StateMap
		}{
			{"no sets", nil},
			{"an empty set", []StateMap{{}}},
			{"one set is empty", []StateMap{s.set("$create", "$alice"), {}}},
			{"one set lacks it", []StateMap{s.set("$create", "$alice"), s.set("$alice")}},
			{"two of them", []StateMap{s.set("$create", "$alice"), s.set("$create2", "$alice")}},
		}
		for _, test := range tests {
			state, err := s.rules.Resolve(test.sets, s.load)
			if !errors.Is(err, ErrNoCreate) || state != nil {
				t.Errorf("version %s, %s: got %v, %v; want ErrNoCreate", v, test.name, state, err)
			}
		}
	}
}

func TestAFailingLoaderFailsTheResolution(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, v := range resolvable {
		s := newStory(t, v)
		s.add("$bob2", mem(bob, "leave"), "$create", "$levels", "$bob")
		sets := []StateMap{s.set("$create", "$bob"), s.set("$create", "$bob2")}
		_, err := s.rules.Resolve(sets, func([]EventID) ([]*Event, error) { return nil, broken })
		if !errors.Is(err, broken) {
			t.Errorf("version %s: got %v", v, err)
		}
	}
}

func TestResolutionScenarios(t *testing.T) {
	tests := []struct {
		name     string
		versions string
		build    func(s *story)
		sets     [][]EventID
		want     []EventID
	}{
		{
			name: "a ban beats what the banned did meanwhile", versions: "2-12",
			build: func(s *story) {
				s.add("$ban", memBy(alice, bob, "ban"), "$create", "$alice", "$levels", "$bob")
				s.add("$topic", state("m.room.topic", "", bob, `{}`), "$create", "$bob", "$levels")
			},
			sets: [][]EventID{{"$create", "$alice", "$levels", "$ban"}, {"$create", "$alice", "$levels", "$bob", "$topic"}},
			want: []EventID{"$create", "$alice", "$levels", "$ban"},
		}, {
			name: "of two changes of levels the one of the higher user counts", versions: "2-11",
			build: func(s *story) {
				s.add("$seize", levelsBy(bob, `{"users":{"@alice:a":100,"@bob:b":50,"@dave:d":50}}`), "$create", "$bob", "$levels")
				s.add("$demote", levels(`{"users":{"@alice:a":100}}`), "$create", "$alice", "$levels")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$demote"}, {"$create", "$alice", "$bob", "$seize"}},
			want: []EventID{"$create", "$alice", "$bob", "$demote"},
		}, {
			name: "the creator of version 12 beats everybody", versions: "12",
			build: func(s *story) {
				s.add("$demote", levels(`{}`), "$alice", "$levels")
				s.add("$seize", levelsBy(bob, `{"users":{"@bob:b":50,"@dave:d":50}}`), "$bob", "$levels")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$demote"}, {"$create", "$alice", "$bob", "$seize"}},
			want: []EventID{"$create", "$alice", "$bob", "$demote"},
		}, {
			name: "a join rule beats a join that it forbids", versions: "2-12",
			build: func(s *story) {
				s.add("$closed", joinRule("invite"), "$create", "$alice", "$levels")
				s.add("$carol", mem(carol, "join"), "$create", "$levels", "$rules")
			},
			sets: [][]EventID{{"$create", "$alice", "$levels", "$closed"}, {"$create", "$alice", "$levels", "$rules", "$carol"}},
			want: []EventID{"$create", "$alice", "$levels", "$closed"},
		}, {
			name: "joins on both sides stay", versions: "1-12",
			build: func(s *story) {
				s.add("$carol", mem(carol, "join"), "$create", "$levels", "$rules")
				s.add("$eve", mem("@eve:e", "join"), "$create", "$levels", "$rules")
			},
			sets: [][]EventID{{"$create", "$alice", "$levels", "$rules", "$carol"}, {"$create", "$alice", "$levels", "$rules", "$eve"}},
			want: []EventID{"$create", "$alice", "$levels", "$rules", "$carol", "$eve"},
		}, {
			name: "of two topics the one under later levels counts", versions: "2-11",
			build: func(s *story) {
				s.add("$old", withTime(state("m.room.topic", "", bob, `{}`), 900), "$create", "$bob", "$levels")
				s.add("$levels2", levels(`{"users":{"@bob:b":60}}`), "$create", "$alice", "$levels")
				s.add("$new", withTime(state("m.room.topic", "", bob, `{}`), 800), "$create", "$bob", "$levels2")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$levels2", "$old"}, {"$create", "$alice", "$bob", "$levels2", "$new"}},
			want: []EventID{"$create", "$alice", "$bob", "$levels2", "$new"},
		}, {
			name: "in version 12 levels that nobody disputes put topics in no order, time does", versions: "12",
			build: func(s *story) {
				s.add("$old", withTime(state("m.room.topic", "", bob, `{}`), 900), "$create", "$bob", "$levels")
				s.add("$levels2", levels(`{"users":{"@bob:b":60}}`), "$create", "$alice", "$levels")
				s.add("$new", withTime(state("m.room.topic", "", bob, `{}`), 800), "$create", "$bob", "$levels2")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$levels2", "$old"}, {"$create", "$alice", "$bob", "$levels2", "$new"}},
			want: []EventID{"$create", "$alice", "$bob", "$levels2", "$old"},
		}, {
			name: "of two topics under the same levels the later one counts", versions: "2-12",
			build: func(s *story) {
				s.add("$one", withTime(state("m.room.topic", "", bob, `{}`), 900), "$create", "$bob", "$levels")
				s.add("$two", withTime(state("m.room.topic", "", bob, `{}`), 800), "$create", "$bob", "$levels")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$levels", "$one"}, {"$create", "$alice", "$bob", "$levels", "$two"}},
			want: []EventID{"$create", "$alice", "$bob", "$levels", "$one"},
		}, {
			name: "of two topics in version 1 the deeper one counts", versions: "1",
			build: func(s *story) {
				s.add("$deep", withTime(state("m.room.topic", "", bob, `{}`), 800), "$create", "$bob", "$levels")
				s.add("$flat", withDepth(state("m.room.topic", "", bob, `{}`), 3), "$create", "$bob", "$levels")
			},
			sets: [][]EventID{{"$create", "$alice", "$bob", "$levels", "$deep"}, {"$create", "$alice", "$bob", "$levels", "$flat"}},
			want: []EventID{"$create", "$alice", "$bob", "$levels", "$deep"},
		}, {
			name: "in version 1 the deepest that is allowed counts", versions: "1",
			build: func(s *story) {
				s.add("$deep", state("m.room.topic", "", dave, `{}`), "$create", "$dave", "$levels")
				s.add("$flat", withDepth(state("m.room.topic", "", bob, `{}`), 3), "$create", "$bob", "$levels")
			},
			sets: [][]EventID{{"$create", "$bob", "$dave", "$levels", "$deep"}, {"$create", "$bob", "$dave", "$levels", "$flat"}},
			want: []EventID{"$create", "$bob", "$dave", "$levels", "$flat"},
		}, {
			name: "in version 1 a ban stands against a later join", versions: "1",
			build: func(s *story) {
				s.add("$ban", withDepth(memBy(alice, bob, "ban"), 10), "$create", "$alice", "$levels", "$bob")
				s.add("$rejoin", withDepth(mem(bob, "join"), 20), "$create", "$levels", "$rules", "$bob")
			},
			sets: [][]EventID{{"$create", "$alice", "$levels", "$rules", "$ban"}, {"$create", "$alice", "$levels", "$rules", "$rejoin"}},
			want: []EventID{"$create", "$alice", "$levels", "$rules", "$ban"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachVersion(t, test.versions, func(v RoomVersion) {
				t.Run("version "+string(v), func(t *testing.T) {
					s := newStory(t, v)
					test.build(s)
					var sets []StateMap
					for _, names := range test.sets {
						sets = append(sets, s.set(names...))
					}
					s.want(s.resolve(sets...), test.want...)
				})
			})
		})
	}
}

func withTime(k sketch, ts int64) sketch     { k.ts = ts; return k }
func withDepth(k sketch, depth int64) sketch { k.depth = depth; return k }

func TestRejectedEventsNeverReturn(t *testing.T) {
	for _, v := range resolvable {
		s := newStory(t, v)
		s.add("$topic", state("m.room.topic", "", alice, `{}`), "$create", "$alice", "$levels")
		s.add("$bad", withTime(state("m.room.topic", "", alice, `{"topic":"bad"}`), 999), "$create", "$alice", "$levels")
		s.add("$kick", memBy(alice, dave, "leave"), "$create", "$alice", "$levels", "$dave")
		base := []EventID{"$create", "$alice", "$levels", "$rules", "$bob"}
		for _, id := range s.eventIDs([]EventID{"$bad", "$kick"}) {
			s.refused[id] = true
		}
		got := s.resolve(s.set(append(base, "$topic", "$dave")...), s.set(append(base, "$bad", "$kick")...))
		s.want(got, append(base, "$topic", "$dave")...)

		// Where nothing else is in dispute, the key is not set at all.
		got = s.resolve(s.set(base...), s.set(append(base, "$bad")...), s.set(append(base, "$topic")...))
		s.want(got, append(base, "$topic")...)
	}
}

// A rejected event is no substitute for state that is missing, either.
func TestRejectedAuthEventsDoNotAuthorise(t *testing.T) {
	s := newStory(t, "10")
	s.add("$promote", levels(`{"users":{"@alice:a":100,"@dave:d":100}}`), "$create", "$alice", "$levels")
	s.add("$topic", state("m.room.topic", "", dave, `{}`), "$create", "$dave", "$promote")
	sets := []StateMap{s.set("$create", "$alice", "$dave"), s.set("$create", "$alice", "$dave", "$topic")}
	s.want(s.resolve(sets...), "$create", "$alice", "$dave", "$promote", "$topic")
	s.refused["$promote"] = true
	s.want(s.resolve(sets...), "$create", "$alice", "$dave")
}

// chain makes n power levels events of alice, each authorised by the one before.
func (s *story) chain(n int) (first, last EventID) {
	s.t.Helper()
	previous := EventID("$levels")
	users := `"users":{"@alice:a":100},`
	if s.rules.PrivilegedCreators {
		users = ""
	}
	for i := range n {
		name := EventID("$chain" + strconv.Itoa(i))
		s.add(name, levels(`{`+users+`"ban":`+strconv.Itoa(i%2)+`}`), "$create", "$alice", previous)
		previous = name
	}
	return "$chain0", previous
}
