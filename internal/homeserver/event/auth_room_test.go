// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// The people of the rooms in these tests: alice made the room, bob has level 50, dave
// level 0, carol is not in the room.
const (
	alice = "@alice:a"
	bob   = "@bob:b"
	carol = "@carol:c"
	dave  = "@dave:d"
)

// sketch is an event as far as a test cares.
type sketch struct {
	typ, key, sender string
	content          string
	message          bool // no state_key
	id               EventID
	room             RoomID
	prev, auth       []EventID
	redacts          EventID
	depth, ts        int64
	gone             bool // as part of a state: the key is not set
}

func (s sketch) tuple() StateKey { return StateKey{s.typ, s.key} }

func state(typ, key, sender, content string) sketch {
	return sketch{typ: typ, key: key, sender: sender, content: content}
}

func message(typ, sender, content string) sketch {
	return sketch{typ: typ, sender: sender, content: content, message: true}
}

// mem is a membership that the user set.
func mem(user, membership string) sketch { return memBy(user, user, membership) }

func memBy(sender, user, membership string) sketch {
	return state(typeMember, user, sender, `{"membership":"`+membership+`"}`)
}

func levels(content string) sketch         { return state(typePowerLevels, "", alice, content) }
func levelsBy(sender, c string) sketch     { return state(typePowerLevels, "", sender, c) }
func joinRule(rule string) sketch          { return state(typeJoinRules, "", alice, `{"join_rule":"`+rule+`"}`) }
func without(typ, key string) sketch       { return sketch{typ: typ, key: key, gone: true} }
func (s sketch) by(sender string) sketch   { s.sender = sender; return s }
func (s sketch) saying(c string) sketch    { s.content = c; return s }
func (s sketch) after(p ...EventID) sketch { s.prev = p; return s }

// scene makes events of one room version and one room.
type scene struct {
	t     testing.TB
	rules *Rules
	n     int
}

func newScene(t testing.TB, v RoomVersion) *scene {
	t.Helper()
	r, ok := RulesFor(v)
	if !ok {
		t.Fatalf("no room version %s", v)
	}
	return &scene{t: t, rules: r}
}

// room returns the id of the scene's room, whose create event is createID.
func (s *scene) room() RoomID {
	if s.rules.RoomIDIsCreateHash {
		return "!create"
	}
	return "!room:a"
}

// eventID gives name the form of an event id.
func (s *scene) eventID(name EventID) EventID {
	if s.rules.EventIDFormat == EventIDField && !strings.Contains(string(name), ":") {
		return name + ":a"
	}
	return name
}

func (s *scene) eventIDs(names []EventID) []EventID {
	ids := make([]EventID, len(names))
	for i, name := range names {
		ids[i] = s.eventID(name)
	}
	return ids
}

// references writes ids as the room version wants them.
func (s *scene) references(ids []EventID) any {
	if s.rules.EventIDFormat != EventIDField {
		return ids
	}
	pairs := make([][2]any, len(ids))
	for i, id := range ids {
		pairs[i] = [2]any{id, map[string]string{"sha256": "xUVa9gWBvWJ0jHQnHMIjA3xcxbS+GrjF1UczCjTlYc8"}}
	}
	return pairs
}

// json writes the event, in no canonical form.
func (s *scene) json(k sketch) []byte {
	s.t.Helper()
	fields := map[string]any{
		"type": k.typ, "sender": k.sender, "content": json.RawMessage(k.content),
		"depth": k.depth, "origin_server_ts": k.ts,
		"prev_events": s.references(s.eventIDs(k.prev)), "auth_events": s.references(s.eventIDs(k.auth)),
		"hashes":     map[string]string{"sha256": "xUVa9gWBvWJ0jHQnHMIjA3xcxbS+GrjF1UczCjTlYc8"},
		"signatures": map[string]any{"a": map[string]string{"ed25519:1": "AA"}},
	}
	if !k.message {
		fields["state_key"] = k.key
	}
	room := k.room
	if room == "" && (!s.rules.RoomIDIsCreateHash || k.typ != typeCreate) {
		room = s.room()
	}
	if room != "" {
		fields["room_id"] = room
	}
	if s.rules.EventIDFormat == EventIDField {
		fields["event_id"] = s.eventID(k.id)
	}
	if k.redacts != "" {
		fields["redacts"] = k.redacts
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatalf("write %+v: %v", k, err)
	}
	return raw
}

// event makes the event, with an id of its own if it has none.
func (s *scene) event(k sketch) *Event {
	s.t.Helper()
	if k.id == "" {
		s.n++
		k.id = EventID("$event" + strconv.Itoa(s.n))
	}
	raw, err := Canonical(s.json(k), s.rules.StrictCanonicalJSON)
	if err != nil {
		s.t.Fatalf("canonical form of %+v: %v", k, err)
	}
	e, err := s.rules.Load(s.eventID(k.id), raw)
	if err != nil {
		s.t.Fatalf("load %+v: %v", k, err)
	}
	return e
}

// create is the create event of the scene's room.
func (s *scene) create() sketch {
	content := fmt.Sprintf(`{"creator":%q,"room_version":%q}`, alice, s.rules.Version)
	if s.rules.CreatorIsSender {
		content = fmt.Sprintf(`{"room_version":%q}`, s.rules.Version)
	}
	return sketch{typ: typeCreate, sender: alice, content: content, id: "$create"}
}

// levels are the power levels of the scene's room.
func (s *scene) levels() sketch {
	if s.rules.PrivilegedCreators {
		return levels(`{"users":{"@bob:b":50}}`)
	}
	return levels(`{"users":{"@alice:a":100,"@bob:b":50}}`)
}

// state returns the state of the scene's room with changes: it is for invited users only.
func (s *scene) state(changes ...sketch) AuthEvents {
	s.t.Helper()
	events := make(AuthEvents)
	base := []sketch{
		s.create(), s.levels(), joinRule("invite"), mem(alice, "join"), mem(bob, "join"), mem(dave, "join"),
	}
	for _, k := range append(base, changes...) {
		if k.gone {
			delete(events, k.tuple())
		} else {
			events[k.tuple()] = s.event(k)
		}
	}
	return events
}

// eachVersion reads "1-5 12" and calls f for each version.
func eachVersion(t testing.TB, ranges string, f func(v RoomVersion)) {
	t.Helper()
	for _, part := range strings.Fields(ranges) {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil {
			t.Fatalf("no versions: %q", ranges)
		}
		for v := low; v <= high; v++ {
			f(RoomVersion(strconv.Itoa(v)))
		}
	}
}

// numbers reads "1-5:5.1 6-12:4.1", the number of a rule in each version.
func numbers(t testing.TB, text string) map[RoomVersion]string {
	t.Helper()
	found := make(map[RoomVersion]string)
	for _, part := range strings.Fields(text) {
		versions, rule, ok := strings.Cut(part, ":")
		if !ok {
			t.Fatalf("no rule number in %q", part)
		}
		eachVersion(t, versions, func(v RoomVersion) { found[v] = rule })
	}
	return found
}
