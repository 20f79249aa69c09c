// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"slices"
	"testing"
)

// authEventsRules are the rules on auth_events. A situation's event lists the ids of its
// changes; what is gone was rejected.
func authEventsRules() []ruleRow {
	topic := state("m.room.topic", "", bob, `{}`)
	good := sit("what the event needs", topic, mem(bob, "join"), levels(`{}`))
	foreign := mem(bob, "join")
	foreign.room = "!elsewhere:a"
	rejected := mem(bob, "join")
	rejected.gone = true
	return []ruleRow{
		{
			name: "no two auth events have one key", rule: "1-11:2.1 12:3.1", allowed: []situation{good},
			refused: []situation{sit("two memberships of the sender", topic, mem(bob, "join"), mem(bob, "join"))},
		}, {
			name: "there are no auth events that the event does not need", rule: "1-11:2.2 12:3.2", allowed: []situation{good},
			refused: []situation{
				sit("the membership of another", topic, mem(bob, "join"), mem(dave, "join")),
				sit("join rules", topic, mem(bob, "join"), joinRule("public")),
				sit("a message", topic, mem(bob, "join"), message("m.text", bob, `{}`)),
				sit("power levels of another state key", topic, state(typePowerLevels, "x", alice, `{}`)),
				sit("power levels that are no state", topic, message(typePowerLevels, alice, `{}`)),
				sit("the create event", topic, createEvent().saying(`{}`)).in("12"),
			},
		}, {
			name: "no auth event was rejected", rule: "1-11:2.3 12:3.3", allowed: []situation{good},
			refused: []situation{sit("rejected or unknown", topic, rejected)},
		}, {
			name: "the create event is an auth event before version 12", rule: "1-11:2.4",
			allowed: []situation{good},
			refused: []situation{sit("it is missing", topic, sketch{typ: typeCreate, gone: true, id: "$none"}, mem(bob, "join"))},
		}, {
			name: "all auth events are of the room", rule: "1-11:2.5 12:3.4", allowed: []situation{good},
			refused: []situation{sit("one of another room", topic, foreign)},
		},
	}
}

func TestAuthEventsRules(t *testing.T) {
	for _, row := range authEventsRules() {
		t.Run(row.name, func(t *testing.T) {
			for v, rule := range numbers(t, row.rule) {
				for _, s := range row.allowed {
					checkAuthSituation(t, v, s, "")
				}
				for _, s := range row.refused {
					checkAuthSituation(t, v, s, rule)
				}
			}
		})
	}
}

func checkAuthSituation(t *testing.T, v RoomVersion, s situation, rule string) {
	t.Helper()
	if s.only != "" && s.only != string(v) {
		return
	}
	t.Run("version "+string(v)+", "+s.what, func(t *testing.T) {
		scene := newScene(t, v)
		var auth []*Event
		list := !scene.rules.RoomIDIsCreateHash // the create event itself
		for _, k := range s.changes {
			if k.typ == typeCreate && k.gone {
				list = false
				continue
			}
			e := scene.event(k)
			s.event.auth = append(s.event.auth, e.ID())
			if !k.gone {
				auth = append(auth, e)
			}
		}
		if list {
			create := scene.event(scene.create())
			s.event.auth = append(s.event.auth, create.ID())
			auth = append(auth, create)
		}
		err := scene.rules.CheckAuthEvents(scene.event(s.event), auth)
		var forbidden *AuthError
		if rule == "" && err != nil {
			t.Errorf("refused: %v", err)
		}
		if rule != "" && (!errors.As(err, &forbidden) || forbidden.Rule != rule) {
			t.Errorf("got %v, want rule %s", err, rule)
		}
	})
}

func TestAuthKeys(t *testing.T) {
	create, levels, rule := StateKey{Type: typeCreate}, StateKey{Type: typePowerLevels}, StateKey{Type: typeJoinRules}
	of := func(user string) StateKey { return StateKey{typeMember, user} }
	tests := []struct {
		name     string
		event    sketch
		versions string
		want     []StateKey
	}{
		{"a create event needs nothing", createEvent().saying(`{}`), everyVersion, nil},
		{"a message needs create, levels and the sender", message("m.text", bob, `{}`), "1-11", []StateKey{create, levels, of(bob)}},
		{"version 12 never lists create", message("m.text", bob, `{}`), "12", []StateKey{levels, of(bob)}},
		{"a join needs the join rules", mem(bob, "join"), "1-11", []StateKey{create, levels, of(bob), rule}},
		{"a knock needs the join rules", mem(bob, "knock"), "12", []StateKey{levels, of(bob), rule}},
		{"a leave does not", mem(bob, "leave"), "12", []StateKey{levels, of(bob)}},
		{"a ban needs both users", memBy(bob, dave, "ban"), "12", []StateKey{levels, of(bob), of(dave)}},
		{"an invite needs both users and the join rules", memBy(bob, dave, "invite"), "12", []StateKey{levels, of(bob), of(dave), rule}},
		{
			"a third-party invite needs what it follows from",
			memBy(bob, dave, "invite").saying(`{"membership":"invite","third_party_invite":{"signed":{"token":"t"}}}`), "12",
			[]StateKey{levels, of(bob), of(dave), rule, {typeThirdPartyInvite, "t"}},
		},
		{
			"a restricted join needs who vouches",
			memWith(bob, `{"membership":"join","join_authorised_via_users_server":"@alice:a"}`), "8-11",
			[]StateKey{create, levels, of(bob), rule, of(alice)},
		},
		{
			"there are no restricted joins before version 8",
			memWith(bob, `{"membership":"join","join_authorised_via_users_server":"@alice:a"}`), "1-7",
			[]StateKey{create, levels, of(bob), rule},
		},
		{
			"only a join needs who vouches",
			memWith(bob, `{"membership":"leave","join_authorised_via_users_server":"@alice:a"}`), "8-11",
			[]StateKey{create, levels, of(bob)},
		},
		{
			"malformed content asks for nothing more",
			memWith(bob, `{"membership":["join"],"third_party_invite":5}`), "8-11",
			[]StateKey{create, levels, of(bob)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachVersion(t, test.versions, func(v RoomVersion) {
				s := newScene(t, v)
				d := Draft{Type: test.event.typ, Sender: UserID(test.event.sender), Content: s.event(test.event).Content()}
				if !test.event.message {
					d.StateKey = &test.event.key
				}
				if got := s.rules.AuthKeys(d); !slices.Equal(got, test.want) {
					t.Errorf("version %s: got %v, want %v", v, got, test.want)
				}
			})
		})
	}
}
