// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// situation is an event in a room whose state has changes.
type situation struct {
	what    string
	event   sketch
	changes []sketch
	room    RoomID // of the event, if it is not the scene's
	only    string // versions, if not all of the row's
}

func sit(what string, event sketch, changes ...sketch) situation {
	return situation{what: what, event: event, changes: changes}
}

func (s situation) in(versions string) situation { s.only = versions; return s }

// ruleRow is one numbered rule. Every row says what the rule lets pass and what it refuses.
type ruleRow struct {
	name string
	// rule is the number of the rule by version.
	rule    string
	allowed []situation
	refused []situation
	// by is the number of the rule that refuses, where that is another one: a rule
	// that only allows leaves the rest to the next.
	by string
}

func authorisationRules() []ruleRow {
	return slices.Concat(createRules(), roomRules(), joinRules(), inviteRules(), leaveRules(), knockRules(),
		senderRules(), levelFormRules(), levelChangeRules(), redactionRules())
}

func TestAuthorisationRules(t *testing.T) {
	for _, row := range authorisationRules() {
		t.Run(row.name, func(t *testing.T) {
			refusing := numbers(t, row.rule)
			if row.by != "" {
				refusing = numbers(t, row.by)
			}
			for v := range numbers(t, row.rule) {
				for _, s := range row.allowed {
					checkSituation(t, v, s, "")
				}
				for _, s := range row.refused {
					checkSituation(t, v, s, refusing[v])
				}
			}
		})
	}
}

// checkSituation expects the event to be refused by the rule, or allowed if it is "".
func checkSituation(t *testing.T, v RoomVersion, s situation, rule string) {
	t.Helper()
	if s.only != "" {
		match := false
		eachVersion(t, s.only, func(other RoomVersion) { match = match || other == v })
		if !match {
			return
		}
	}
	t.Run("version "+string(v)+", "+s.what, func(t *testing.T) {
		scene := newScene(t, v)
		if s.event.typ == typeCreate && s.event.content == "" {
			s.event.content = scene.create().content
		}
		s.event.room = s.room
		err := scene.rules.Authorise(scene.event(s.event), scene.state(s.changes...))
		var forbidden *AuthError
		switch {
		case err != nil && !errors.As(err, &forbidden):
			t.Fatalf("not an AuthError: %v", err)
		case rule == "" && err != nil:
			t.Errorf("refused: %v", err)
		case rule != "" && err == nil:
			t.Errorf("allowed, but rule %s forbids it", rule)
		case rule != "" && forbidden.Rule != rule:
			t.Errorf("refused by rule %s (%s), want rule %s", forbidden.Rule, forbidden.Reason, rule)
		}
	})
}

// specifiedRules lists the numbered rules of the specification that decide something by
// themselves, "5.3-6" standing for 5.3 to 5.6.
func specifiedRules() map[RoomVersion]string {
	member1 := ` 5.1 5.2.1-6 5.3.1.1-8 5.3.2-5 5.4.1-5 5.5.1-3 5.6`
	v1 := `1.1-5 2.1-5 3 4.1-3` + member1 + ` 6 7.1 8 9 10.1 10.2 10.3.1-2 10.4.1 10.5.1 10.6.1 10.7.1 10.8`
	v6 := `1.1-5 2.1-5 3` + strings.ReplaceAll(member1, " 5.", " 4.") +
		` 5 6.1 7 8 9.1 9.2 9.3.1-2 9.4.1 9.5.1 9.6.1 9.7.1 9.8 10`
	v7 := strings.Replace(v6, " 4.6", " 4.6.1-4 4.7", 1)
	member8 := ` 5.1 5.2.1 5.3.1-4 5.3.5.1-3 5.3.6-7 5.4.1.1-8 5.4.2-5 5.5.1-5 5.6.1-3 5.7.1-4 5.8`
	member8v6 := strings.ReplaceAll(member8, " 5.", " 4.")
	v8 := `1.1-5 2.1-5 3` + member8v6 + ` 5 6.1 7 8 9.1 9.2 9.3.1-2 9.4.1 9.5.1 9.6.1 9.7.1 9.8 10`
	v10 := `1.1-5 2.1-5 3` + member8v6 + ` 5 6.1 7 8 9.1-4 9.5.1-2 9.6.1 9.7.1 9.8.1 9.9.1 9.10 10`
	v12 := `1.1-5 2 3.1-4 4` + member8 + ` 6 7.1 8 9 10.1-5 10.6.1-2 10.7.1 10.8.1 10.9.1 10.10.1 10.11 11`
	return map[RoomVersion]string{
		"1": v1 + " 11.1-3 12", "2": v1 + " 11.1-3 12", "3": v1 + " 11", "4": v1 + " 11", "5": v1 + " 11",
		"6": v6, "7": v7, "8": v8, "9": v8, "10": v10, "11": strings.Replace(v10, "1.1-5", "1.1-4", 1), "12": v12,
	}
}

func TestEveryNumberedRuleHasARow(t *testing.T) {
	rows := make(map[string]bool)
	for _, row := range slices.Concat(authorisationRules(), authEventsRules()) {
		if len(row.allowed) == 0 || len(row.refused) == 0 {
			t.Errorf("row %q lacks an allowed or a refused event", row.name)
		}
		for v, rule := range numbers(t, row.rule) {
			rows[string(v)+":"+rule] = true
		}
	}
	for v, list := range specifiedRules() {
		for _, rule := range expandRules(t, list) {
			if !rows[string(v)+":"+rule] {
				t.Errorf("version %s: rule %s has no row", v, rule)
			}
		}
	}
}

func expandRules(t *testing.T, list string) []string {
	t.Helper()
	var rules []string
	for _, item := range strings.Fields(list) {
		prefix, last := "", item
		if i := strings.LastIndexByte(item, '.'); i >= 0 {
			prefix, last = item[:i+1], item[i+1:]
		}
		eachVersion(t, last, func(n RoomVersion) { rules = append(rules, prefix+string(n)) })
	}
	return rules
}

const everyVersion = "1-12"

// createEvent is a create event whose content the scene fills in.
func createEvent() sketch { return sketch{typ: typeCreate, sender: alice, id: "$create"} }

func createRules() []ruleRow {
	return []ruleRow{
		{
			name: "a create event has no previous events", rule: "1-12:1.1",
			allowed: []situation{sit("the first event", createEvent())},
			refused: []situation{sit("after another", createEvent().after("$other"))},
		}, {
			name: "a create event is of the room's server, or, where the room id is its hash, names no room", rule: "1-12:1.2",
			allowed: []situation{sit("of the server", createEvent())},
			refused: []situation{
				{what: "of another server", event: createEvent(), room: "!room:b", only: "1-11"},
				{what: "with room_id", event: createEvent(), room: "!create", only: "12"},
			},
		}, {
			name: "a create event names a known room version or none", rule: "1-12:1.3",
			allowed: []situation{
				sit("none", createEvent().saying(`{"creator":"@alice:a"}`)),
				sit("this version", createEvent()),
			},
			refused: []situation{
				sit("an unknown version", createEvent().saying(`{"creator":"@alice:a","room_version":"99"}`)),
				sit("a number", createEvent().saying(`{"creator":"@alice:a","room_version":1}`)),
				sit("another version than the room has", createEvent().saying(`{"creator":"@alice:a","room_version":"6"}`)).in("1-5 7-12"),
			},
		}, {
			name: "a create event names the creator", rule: "1-10:1.4",
			allowed: []situation{sit("named", createEvent())},
			refused: []situation{sit("absent", createEvent().saying(`{}`))},
		}, {
			name: "a create event's additional creators are user ids", rule: "12:1.4",
			allowed: []situation{
				sit("none", createEvent().saying(`{"additional_creators":[]}`)),
				sit("two", createEvent().saying(`{"additional_creators":["@bob:b","@carol:c"]}`)),
			},
			refused: []situation{
				sit("a string", createEvent().saying(`{"additional_creators":"@bob:b"}`)),
				sit("null", createEvent().saying(`{"additional_creators":null}`)),
				sit("a number inside", createEvent().saying(`{"additional_creators":["@bob:b",5]}`)),
				sit("no user id", createEvent().saying(`{"additional_creators":["bob"]}`)),
			},
		}, {
			name: "any other create event is allowed", rule: "1-10:1.5 11:1.4 12:1.5", by: "1-12:1",
			allowed: []situation{
				sit("plain", createEvent()),
				sit("creators of version 12 mean nothing before", createEvent().saying(`{"creator":"@alice:a","additional_creators":5}`)).in("1-11"),
				sit("no creator", createEvent().saying(`{}`)).in("11-12"),
			},
			refused: []situation{
				sit("a state key", sketch{typ: typeCreate, key: "x", sender: alice}),
				sit("no state", sketch{typ: typeCreate, sender: alice, message: true}),
			},
		},
	}
}

func roomRules() []ruleRow {
	topic := state("m.room.topic", "", alice, `{}`)
	closed := func(creator string) sketch {
		return createEvent().by(alice).saying(`{"creator":"` + creator + `","m.federate":false}`)
	}
	aliases := state(typeAliases, "c", carol, `{}`)
	return []ruleRow{
		{
			name: "the room id is that of an accepted create event", rule: "12:2",
			allowed: []situation{sit("the create event is there", topic)},
			refused: []situation{
				sit("it is not", topic, without(typeCreate, "")),
				{what: "it is of another room", event: topic, room: "!another"},
			},
		}, {
			name: "the room has its create event", rule: "1-11:2.4",
			allowed: []situation{sit("the create event is there", topic)},
			refused: []situation{
				sit("it is not", topic, without(typeCreate, "")),
				{what: "it is of another room", event: topic, room: "!another:a"},
			},
		}, {
			name: "a room that does not federate takes only users of its server", rule: "1-11:3 12:4",
			allowed: []situation{
				sit("of the server", topic, closed(alice)),
				sit("another server, but the room federates", message("m.text", bob, `{}`), createEvent().saying(`{"creator":"@alice:a","m.federate":true}`)),
				sit("another server, m.federate is no boolean", message("m.text", bob, `{}`), createEvent().saying(`{"creator":"@alice:a","m.federate":"false"}`)),
			},
			refused: []situation{
				sit("a message", message("m.text", bob, `{}`), closed(alice)),
				sit("a join", mem(carol, "join"), closed(alice), joinRule("public")),
			},
		}, {
			name: "aliases are a state", rule: "1-5:4.1",
			allowed: []situation{sit("of their server", aliases)},
			refused: []situation{sit("a message", message(typeAliases, alice, `{}`))},
		}, {
			name: "aliases are set by the server that they are of", rule: "1-5:4.2",
			allowed: []situation{sit("its own", aliases)},
			refused: []situation{
				sit("another's", state(typeAliases, "b", carol, `{}`)),
				sit("the room's", state(typeAliases, "", carol, `{}`)),
			},
		}, {
			name: "aliases need neither membership nor level, before version 6", rule: "1-5:4.3", by: "1-5:4.2",
			allowed: []situation{sit("of a user who is not in the room", aliases)},
			refused: []situation{sit("of another server", state(typeAliases, "a", carol, `{}`))},
		},
	}
}
