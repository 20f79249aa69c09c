// SPDX-License-Identifier: Apache-2.0

package event

import "testing"

// The two scenarios of MSC4297 ("Hydra", CVE-2025-49090): a server hands out a state
// that is older than what its own events build on.

// problemA: both sides know of the join rule "invite" by their auth chains, but one state
// holds the older one. Alice, who set both, has left, and both sides agree on that.
func problemA(t *testing.T, v RoomVersion) (s *story, sets []StateMap) {
	s = newStory(t, v)
	s.add("$carol", mem(carol, "join"), "$create", "$levels", "$rules")
	s.add("$closed", joinRule("invite"), "$create", "$levels", "$alice")
	s.add("$left", mem(alice, "leave"), "$create", "$levels", "$alice")
	s.add("$bob2", memWith(bob, `{"displayname":"b","membership":"join"}`), "$create", "$levels", "$bob", "$closed")
	s.add("$carol2", memWith(carol, `{"displayname":"c","membership":"join"}`), "$create", "$levels", "$carol", "$closed")
	return s, []StateMap{
		s.set("$create", "$levels", "$carol", "$closed", "$left", "$bob2"),
		s.set("$create", "$levels", "$rules", "$bob", "$left", "$carol2"),
	}
}

// problemB: alice promotes bob, bob promotes carol. One state holds the levels from
// before both, though its newest event builds on the levels after.
func problemB(t *testing.T, v RoomVersion) (s *story, sets []StateMap) {
	s = newStory(t, v)
	s.add("$plain", levels(`{}`), "$create", "$alice")
	if !s.rules.PrivilegedCreators {
		s.add("$plain", levels(`{"users":{"@alice:a":100}}`), "$create", "$alice")
	}
	s.add("$carol", mem(carol, "join"), "$create", "$plain", "$rules")
	users := `"@bob:b":50`
	if !s.rules.PrivilegedCreators {
		users = `"@alice:a":100,` + users
	}
	s.add("$bobUp", levels(`{"users":{`+users+`}}`), "$create", "$plain", "$alice")
	s.add("$carolUp", levelsBy(bob, `{"users":{`+users+`,"@carol:c":50}}`), "$create", "$bobUp", "$bob")
	s.add("$zara", mem("@zara:z", "join"), "$create", "$carolUp", "$rules")
	s.add("$eve", mem("@eve:e", "join"), "$create", "$carolUp", "$rules")
	s.add("$eve2", memWith("@eve:e", `{"displayname":"e","membership":"join"}`), "$create", "$carolUp", "$eve", "$rules")
	base := []EventID{"$create", "$alice", "$rules", "$bob", "$carol"}
	return s, []StateMap{
		s.set(append(base, "$carolUp", "$eve", "$zara")...),
		s.set(append(base, "$plain", "$eve2")...),
	}
}

func TestMSC4297ProblemAConflictedEventsAreNotJudgedByTheAgreedState(t *testing.T) {
	s, sets := problemA(t, "12")
	got := s.resolve(sets...)
	s.want(got, "$create", "$levels", "$left", "$closed", "$bob2", "$carol2")

	s, sets = problemA(t, "11")
	if rule := s.resolve(sets...)[StateKey{Type: typeJoinRules}]; rule != "" {
		t.Errorf("version 11 keeps join rule %s: not the algorithm of its specification", rule)
	}
}

func TestMSC4297ProblemBTheConflictedSubgraphIsReplayed(t *testing.T) {
	s, sets := problemB(t, "12")
	got := s.resolve(sets...)
	s.want(got, "$create", "$alice", "$rules", "$bob", "$carol", "$carolUp", "$eve2", "$zara")

	s, sets = problemB(t, "11")
	if levels := s.resolve(sets...)[StateKey{Type: typePowerLevels}]; levels != "$plain" {
		t.Errorf("version 11 gives levels %s: not the algorithm of its specification", levels)
	}
}
