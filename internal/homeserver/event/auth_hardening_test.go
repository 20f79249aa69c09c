// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestH81ForeignDoubledRejectedAndUnneededAuthEvents(t *testing.T) {
	eachVersion(t, everyVersion, func(v RoomVersion) {
		s := newScene(t, v)
		create, sender, power := s.event(s.create()), s.event(mem(bob, "join")), s.event(s.levels())
		foreign := mem(bob, "join")
		foreign.room = "!other:a"
		tests := []struct {
			name     string
			auth     []*Event
			rejected *Event
		}{
			{"foreign", []*Event{power, s.event(foreign)}, nil},
			{"doubled", []*Event{power, sender, sender}, nil},
			{"doubled with another id", []*Event{power, sender, s.event(mem(bob, "join"))}, nil},
			{"rejected", []*Event{power, sender}, sender},
			{"unneeded", []*Event{power, sender, s.event(mem(alice, "join"))}, nil},
			{"none", nil, nil},
		}
		for _, test := range tests {
			if !s.rules.RoomIDIsCreateHash && test.name != "none" {
				test.auth = append(test.auth, create)
			}
			k := message("m.room.message", bob, `{}`)
			for _, a := range test.auth {
				k.auth = append(k.auth, a.ID())
			}
			accepted := slices.DeleteFunc(test.auth, func(e *Event) bool { return e == test.rejected })
			err := s.rules.CheckAuthEvents(s.event(k), accepted)
			var forbidden *AuthError
			if !errors.As(err, &forbidden) && (test.name != "none" || !s.rules.RoomIDIsCreateHash) {
				t.Errorf("version %s, %s: got %v, want an AuthError", v, test.name, err)
			}
		}
	})
}

// Parse refuses such events before; the rules do not rely on that.
func TestH82CreateEventsOfVersion12(t *testing.T) {
	s := newScene(t, "12")
	create := s.event(s.create())
	k := message("m.room.message", bob, `{}`)
	k.auth = []EventID{create.ID()}
	var forbidden *AuthError
	if err := s.rules.CheckAuthEvents(s.event(k), []*Event{create}); !errors.As(err, &forbidden) || forbidden.Rule != "3.2" {
		t.Errorf("create among auth_events: got %v, want rule 3.2", err)
	}
	k = s.create()
	k.room = "!create"
	if err := s.rules.Authorise(s.event(k), s.state()); !errors.As(err, &forbidden) || forbidden.Rule != "1.2" {
		t.Errorf("create with room_id: got %v, want rule 1.2", err)
	}
	if _, err := s.rules.Parse(s.json(k)); !errors.Is(err, ErrBadJSON) {
		t.Errorf("parse create with room_id: got %v, want ErrBadJSON", err)
	}
}

// unusualKeys are objects in which other readers of JSON find another membership.
var unusualKeys = []struct{ name, content string }{
	{"Membership after", `{"membership":"leave","Membership":"join"}`},
	{"Membership before", `{"Membership":"join","membership":"leave"}`},
	{"a long s", `{"membership":"leave","memberſhip":"join"}`},
	{"an escaped long s", `{"membership":"leave","member\u017fhip":"join"}`},
	{"twice, the last counts", `{"membership":"join","membership":"leave"}`},
	{"twice, once escaped", `{"membership":"join","\u006dembership":"leave"}`},
}

func TestH83TheRulesSeeExactKeysAndTheLastOfTwo(t *testing.T) {
	for _, test := range unusualKeys {
		t.Run(test.name, func(t *testing.T) {
			eachVersion(t, everyVersion, func(v RoomVersion) {
				s := newScene(t, v)
				k := memWith(carol, test.content)
				k.id, k.prev = "$x", []EventID{"$p"}
				if s.rules.RoomIDIsCreateHash {
					k.room = testHashRoom
				}
				e, err := s.rules.Parse(s.json(k))
				if err != nil {
					t.Fatal(err)
				}
				if e.Membership() != "leave" {
					t.Fatalf("version %s: membership is %q", v, e.Membership())
				}
				// A join would be allowed here; leaving is not, for carol is not there.
				state := s.state(joinRule("public"))
				state[StateKey{Type: typeCreate}] = s.createOf(e.RoomID())
				if s.rules.Authorise(e, state) == nil {
					t.Errorf("version %s: taken for a join", v)
				}
				// Nor does it make carol a member who may speak.
				state[StateKey{typeMember, carol}] = e
				text := message("m.room.message", carol, `{}`)
				text.room = e.RoomID()
				if s.rules.Authorise(s.event(text), state) == nil {
					t.Errorf("version %s: carol speaks", v)
				}
			})
		})
	}
}

// createOf is the create event of a room with that id.
func (s *scene) createOf(room RoomID) *Event {
	k := s.create()
	if s.rules.RoomIDIsCreateHash {
		k.id = EventID("$" + string(room[1:]))
	} else {
		k.room = room
	}
	return s.event(k)
}

func TestH83LevelsAndJoinRulesSeeExactKeys(t *testing.T) {
	eachVersion(t, everyVersion, func(v RoomVersion) {
		s := newScene(t, v)
		join := s.event(mem(carol, "join"))
		for _, content := range []string{`{"join_rule":"invite","Join_rule":"public"}`, `{"join_rule":"public","join_rule":"invite"}`} {
			if s.rules.Authorise(join, s.state(joinRule("").saying(content))) == nil {
				t.Errorf("version %s: %s lets a stranger in", v, content)
			}
		}
		topic := s.event(state("m.room.topic", "", dave, `{}`))
		for _, content := range []string{
			`{"Users":{"@dave:d":100},"users":{}}`, `{"users":{"@dave:d":100,"@dave:d":0}}`, `{"uſers":{"@dave:d":100}}`,
			`{"State_default":0}`, `{"Events":{"m.room.topic":0}}`,
		} {
			if s.rules.Authorise(topic, s.state(levels(content))) == nil {
				t.Errorf("version %s: %s gives dave power", v, content)
			}
		}
	})
}

func TestPowerLevels(t *testing.T) {
	s := newScene(t, "11")
	pl, err := s.event(levels(`{"ban":0,"users":{"@bob:b":7,"@dave:d":0},"users_default":3,"events":{"x":9},"notifications":{"room":1}}`)).PowerLevels()
	if err != nil {
		t.Fatal(err)
	}
	got := []int64{
		pl.Ban(), pl.Kick(), pl.Invite(), pl.Redact(), pl.User(bob), pl.User(dave), pl.User(carol),
		pl.Event("x", true), pl.Event("x", false), pl.Event("y", true), pl.Event("y", false), pl.Notification("room"), pl.Notification("other"),
	}
	if want := []int64{0, 50, 0, 50, 7, 0, 3, 9, 9, 50, 0, 1, 50}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := s.event(mem(bob, "join")).PowerLevels(); err == nil {
		t.Error("a membership has power levels")
	}
	if _, err := s.event(levels(`{"ban":"50"}`)).PowerLevels(); err == nil {
		t.Error("a string is a level in version 11")
	}
}

func TestPowerLevelsAreReadOnce(t *testing.T) {
	e := newScene(t, "11").event(levels(`{"users":{"@bob:b":50}}`))
	first, _ := e.PowerLevels()
	if second, _ := e.PowerLevels(); first != second {
		t.Error("read twice")
	}
}

func TestLevelsWithoutAnEventThatSetsThem(t *testing.T) {
	tests := []struct {
		version RoomVersion
		create  string
		want    [2]int64 // alice, bob
	}{
		{"1", `{"creator":"@bob:b"}`, [2]int64{0, 100}},
		{"10", `{"creator":"@alice:a"}`, [2]int64{100, 0}},
		{"11", `{"creator":"@bob:b"}`, [2]int64{100, 0}},
		{"12", `{}`, [2]int64{math.MaxInt64, 0}},
		{"12", `{"additional_creators":["@bob:b",5]}`, [2]int64{math.MaxInt64, math.MaxInt64}},
	}
	for _, test := range tests {
		s := newScene(t, test.version)
		create := s.create().saying(test.create)
		rules := s.rules
		room := s.state(create, without(typePowerLevels, ""))
		for i, user := range []UserID{alice, bob} {
			level, infinite := rules.Level(room, user)
			if level != test.want[i] || infinite != (level == math.MaxInt64) {
				t.Errorf("version %s, %s: level of %s is %d, %v", test.version, test.create, user, level, infinite)
			}
		}
		if pl := rules.DefaultPowerLevels(s.event(create)); pl.Ban() != 50 || pl.Event("x", true) != 50 || pl.Event("x", false) != 0 {
			t.Errorf("version %s: the defaults are not those of the specification", test.version)
		}
	}
	s := newScene(t, "12")
	if level, infinite := s.rules.Level(NewAuthEvents(), alice); level != 0 || infinite {
		t.Error("somebody has power in a room without create event")
	}
	if level := s.rules.DefaultPowerLevels(nil).User(alice); level != 0 {
		t.Error("somebody has power without create event")
	}
	if level, _ := s.rules.Level(s.state(levels(`{"ban":true}`)), bob); level != 0 {
		t.Error("unreadable levels give power")
	}
}

// An event of 64 KiB has room for hundreds of signatures, and its invite for as many keys.
func TestThirdPartyInvitesCauseBoundedWork(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	signed, err := SignJSON([]byte(`{"mxid":"@carol:c","token":"token"}`), Signer{Server: "z", KeyID: "ed25519:0", PrivateKey: key})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		forged  int
		allowed bool
	}{
		{"a few forged signatures before the good one", 5, true},
		{"more than are looked at", maxInviteSignatureChecks, false},
	} {
		forged := ""
		for i := range test.forged {
			forged += fmt.Sprintf(`"a%03d":{"ed25519:0":"AA"},`, i)
		}
		property := strings.Replace(string(signed), `"signatures":{`, `"signatures":{`+forged, 1)
		s := newScene(t, "11")
		e := s.event(memBy(alice, carol, "invite").saying(`{"membership":"invite","third_party_invite":{"signed":` + property + `}}`))
		room := s.state(state(typeThirdPartyInvite, "token", alice, `{"public_key":"`+public+`"}`))
		if err := s.rules.Authorise(e, room); (err == nil) != test.allowed {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestManyGoroutinesReadTheSameFacts(t *testing.T) {
	s := newScene(t, "12")
	room := s.state()
	e := s.event(message("m.room.message", bob, `{}`))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := s.rules.Authorise(e, room); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestRulesNeverPanicOnOddContent(t *testing.T) {
	odd := []string{
		`{}`, `{"membership":null}`, `{"membership":{}}`, `{"join_rule":[]}`, `{"users":{"":{}}}`, `{"creator":[]}`,
		`{"m.federate":"no"}`, `{"additional_creators":{}}`, `{"third_party_invite":{"signed":{"signatures":[]}}}`,
		`{"public_keys":[[],5,{"public_key":5}]}`, `{"room_version":{}}`,
	}
	types := []string{
		typeCreate, typeMember, typeJoinRules, typePowerLevels, typeThirdPartyInvite, typeAliases, typeRedaction, "x",
	}
	eachVersion(t, everyVersion, func(v RoomVersion) {
		s := newScene(t, v)
		for _, content := range odd {
			for _, of := range types {
				for i, key := range []string{"", alice, bob, "token"} {
					k := state(of, key, bob, content)
					k.message = i == 3
					k.id = EventID("$odd" + strconv.Itoa(i))
					e := s.event(k)
					// The outcome does not matter: only that there is one.
					_ = s.rules.Authorise(e, s.state())
					_ = s.rules.Authorise(s.event(mem(bob, "join")), s.state(k))
					_ = s.rules.CheckAuthEvents(e, []*Event{e})
					_ = e.authFacts()
				}
			}
		}
	})
}
