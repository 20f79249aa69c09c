// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// These tests compare the rules with gomatrixserverlib, for versions 1 to 11, in
// rooms and with events that a string of random bytes chooses.

// dice makes choices from bytes, the first option once they are used up.
type dice struct{ data []byte }

func (d *dice) roll(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

func pick[T any](d *dice, options ...T) T { return options[d.roll(len(options))] }

// duel is a room and an event for both implementations.
type duel struct {
	*scene
	d       *dice
	members map[string]string // current memberships
	rule    string            // join rule
	levels  string            // content of power levels, "" if none
	state   []sketch
	event   sketch
}

var duelUsers = []string{alice, bob, carol, dave}

func newDuel(t testing.TB, data []byte) *duel {
	t.Helper()
	d := &dice{data}
	v := pick[RoomVersion](d, "11", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	b := &duel{scene: newScene(t, v), d: d, members: make(map[string]string)}
	create := b.create()
	create.content = create.content[:len(create.content)-1] + pick(d, ``, ``, ``, ``, ``, ``, `,"m.federate":false`, `,"m.federate":true`) + `}`
	b.state = append(b.state, create)
	for _, user := range duelUsers {
		b.members[user] = pick(d, "join", "join", "join", "join", "join", "join", "", "invite", "leave", "ban", "knock")
		if b.members[user] != "" {
			b.state = append(b.state, mem(user, b.members[user]))
		}
	}
	b.rule = pick(d, "public", "", "invite", "knock", "restricted", "restricted", "knock_restricted", "private")
	if b.rule != "" {
		b.state = append(b.state, joinRule(b.rule))
	}
	if d.roll(6) > 0 {
		b.levels = b.randomLevels()
		b.state = append(b.state, levels(b.levels))
	}
	b.event = b.randomEvent()
	return b
}

// level is a level, as a string where that is possible.
func (b *duel) level() string {
	level := pick(b.d, "0", "50", "100", "1", "49", "-1", "75")
	if !b.rules.IntegerPowerLevels && b.d.roll(5) == 0 {
		return `" +0` + strings.TrimPrefix(level, "-") + ` "`
	}
	if !b.rules.StrictCanonicalJSON && b.d.roll(8) == 0 {
		return level + ".5"
	}
	return level
}

func (b *duel) randomLevels() string {
	content := make(map[string]any)
	for _, property := range levelProperties {
		if b.d.roll(4) > 0 {
			content[property.key] = json.RawMessage(b.level())
		}
	}
	entries := func(keys ...string) map[string]any {
		found := make(map[string]any)
		for _, key := range keys {
			if b.d.roll(4) > 0 {
				found[key] = json.RawMessage(b.level())
			}
		}
		return found
	}
	content["users"] = entries(duelUsers...)
	content["events"] = entries("m.room.topic", "m.room.message", "m.room.power_levels", "m.room.redaction")
	if b.d.roll(3) == 0 {
		content["notifications"] = entries("room", "other")
	}
	raw, err := json.Marshal(content)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

func (b *duel) randomEvent() sketch {
	sender := pick(b.d, duelUsers...)
	server := string(UserID(sender).Server())
	k := sketch{sender: sender, content: "{}", prev: []EventID{"$previous"}}
	switch b.d.roll(12) {
	case 0, 1, 2, 3, 4:
		k = b.randomMembership(sender)
	case 5, 6:
		k.typ, k.content = typePowerLevels, b.changedLevels()
	case 7:
		k.typ, k.key = typeAliases, pick(b.d, server, "other", "")
	case 8:
		k.typ, k.message = typeRedaction, true
		k.redacts = pick[EventID](b.d, EventID("$x:"+server), "$x:other")
	case 9:
		k.typ, k.key = typeThirdPartyInvite, "token"
	case 10:
		k.typ, k.content = typeCreate, pick(b.d, b.create().content, `{}`)
		k.room = pick[RoomID](b.d, RoomID("!room:"+server), "!room:other")
		if b.d.roll(2) == 0 {
			k.prev = nil
		}
	default:
		k.typ, k.message = pick(b.d, "m.room.message", "m.room.topic"), b.d.roll(2) == 0
		k.key = pick(b.d, "", alice, bob, "x")
	}
	k.id = EventID("$event:" + server)
	return k
}

func (b *duel) randomMembership(sender string) sketch {
	target := sender
	if b.d.roll(2) == 0 {
		target = pick(b.d, duelUsers...)
	}
	membership := pick(b.d, "join", "leave", "invite", "ban", "knock", "odd")
	k := memBy(sender, target, membership)
	if b.d.roll(2) == 0 {
		k.content = fmt.Sprintf(`{"membership":%q,%q:%q}`, membership, keyAuthorisingUser, pick(b.d, duelUsers...))
	}
	k.prev = pick(b.d, []EventID{"$previous"}, []EventID{"$create"}, []EventID{"$create", "$previous"})
	return k
}

// changedLevels are new levels or the current ones with one value changed.
func (b *duel) changedLevels() string {
	var content map[string]json.RawMessage
	if b.levels == "" || b.d.roll(4) == 0 {
		return b.randomLevels()
	}
	if err := json.Unmarshal([]byte(b.levels), &content); err != nil {
		b.t.Fatal(err)
	}
	change := func(m map[string]json.RawMessage, keys ...string) {
		if key := pick(b.d, keys...); m[key] != nil {
			m[key] = json.RawMessage(b.level())
		}
	}
	nested := pick(b.d, "users", "events", "")
	if nested == "" {
		change(content, "ban", "kick", "invite", "redact", "events_default", "state_default")
	} else {
		var entries map[string]json.RawMessage
		if err := json.Unmarshal(content[nested], &entries); err != nil {
			b.t.Fatal(err)
		}
		change(entries, append([]string{"m.room.topic", "m.room.message"}, duelUsers...)...)
		content[nested], _ = json.Marshal(entries)
	}
	raw, err := json.Marshal(content)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

// ours asks our rules.
func (b *duel) ours() error {
	var events []*Event
	for _, k := range b.state {
		events = append(events, b.scene.event(k))
	}
	return b.rules.Authorise(b.scene.event(b.event), NewAuthEvents(events...))
}

// oracle asks gomatrixserverlib.
func (b *duel) oracle() error {
	var events []gomatrixserverlib.PDU
	for _, k := range b.state {
		events = append(events, oraclePDU(b.t, b.scene.event(k)))
	}
	provider, err := gomatrixserverlib.NewAuthEvents(events)
	if err != nil {
		b.t.Fatal(err)
	}
	return gomatrixserverlib.Allowed(oraclePDU(b.t, b.scene.event(b.event)), provider, oracleUser)
}

func oraclePDU(t testing.TB, e *Event) gomatrixserverlib.PDU {
	t.Helper()
	version := gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(e.Rules().Version))
	pdu, err := version.NewEventFromTrustedJSONWithEventID(string(e.ID()), e.JSON(), false)
	if err != nil {
		t.Fatalf("oracle reads %s: %v", e.JSON(), err)
	}
	return pdu
}

func oracleUser(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
	return spec.NewUserID(string(sender), true)
}

// oracleErrs names the point in which the oracle, known to us, does not follow the
// specification for this event; "" if there is none.
func (b *duel) oracleErrs() string {
	switch b.event.typ {
	case typeMember:
		return b.oracleErrsOnMember()
	case typePowerLevels:
		return b.oracleErrsOnLevels()
	case typeAliases:
		if !b.rules.AliasSpecialCase {
			return "it applies the aliases rule of versions 1 to 5 to all"
		}
	}
	return ""
}

func (b *duel) oracleErrsOnMember() string {
	k := b.event
	var content struct{ Membership string }
	if err := json.Unmarshal([]byte(k.content), &content); err != nil {
		b.t.Fatal(err)
	}
	current := b.members[k.key]
	known := map[string]bool{
		"": true, "invite": true, "public": true, "knock": b.rules.Knock,
		"restricted": b.rules.Restricted, "knock_restricted": b.rules.KnockRestricted,
	}
	switch {
	case content.Membership == "leave" && k.sender == k.key && (current == "" || current == "leave"):
		return "it lets those leave who are not there (marked NOTSPEC in its source)"
	case content.Membership == "leave" && k.sender == k.key && current == "knock" && !b.rules.Knock:
		return "it knows knocking in every version"
	case content.Membership == "leave" && k.sender != k.key && current == "ban":
		return "it lifts bans without looking at the kick level and the user's level"
	case content.Membership == "join" && k.sender != k.key && k.key == alice:
		return "it wants the creator's first join to be of the creator"
	case content.Membership == "join" && !known[b.rule]:
		return "it lets members and the invited join under join rules that the version does not know"
	case content.Membership == "join" && b.rule == "public" && current == "knock":
		return "it does not let those who knocked into a public room"
	case content.Membership == "knock" && b.rule == "knock_restricted" && !b.rules.KnockRestricted:
		return "it knows knock_restricted in every version with knocking"
	}
	return ""
}

func (b *duel) oracleErrsOnLevels() string {
	if b.levels == "" {
		return ""
	}
	was, err := b.scene.event(levels(b.levels)).PowerLevels()
	if err != nil {
		b.t.Fatal(err)
	}
	is, err := b.scene.event(b.event).PowerLevels()
	if err != nil {
		b.t.Fatal(err)
	}
	for name := range levelProperties {
		if was.named[name].set != is.named[name].set {
			return "it compares with the default where a property is added or removed"
		}
	}
	if was.named[levelUsersDefault] != is.named[levelUsersDefault] {
		return "it does not check users_default"
	}
	if !sameKeys(was.users, is.users) || !sameKeys(was.events, is.events) {
		return "it compares with the default where an entry is added or removed"
	}
	if fmt.Sprint(was.notifications) != fmt.Sprint(is.notifications) {
		return "it refuses to change notifications of the sender's own level"
	}
	return ""
}

func sameKeys(a, b map[string]int64) bool {
	for key := range a {
		if _, ok := b[key]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}

// compare checks that both agree. It returns our verdict, and whether it was compared.
func (b *duel) compare() (allowed, compared bool) {
	b.t.Helper()
	ours := b.ours()
	if b.oracleErrs() != "" {
		return ours == nil, false
	}
	if theirs := b.oracle(); (ours == nil) != (theirs == nil) {
		b.t.Errorf("version %s\nstate  %+v\nevent  %+v\nours   %v\noracle %v", b.rules.Version, b.state, b.event, ours, theirs)
	}
	return ours == nil, true
}

func TestAuthorisationAgreesWithTheOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type tally struct{ allowed, refused, excluded int }
	tallies := make(map[string]*tally)
	for range 12_000 {
		data := make([]byte, 80)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		b := newDuel(t, data)
		key := "version " + string(b.rules.Version) + " " + b.event.typ
		if tallies[key] == nil {
			tallies[key] = &tally{}
		}
		switch allowed, compared := b.compare(); {
		case !compared:
			tallies[key].excluded++
		case allowed:
			tallies[key].allowed++
		default:
			tallies[key].refused++
		}
		if t.Failed() {
			return
		}
	}
	for key, n := range tallies {
		total := n.allowed + n.refused + n.excluded
		onlyExcluded := strings.HasSuffix(key, typeAliases) && n.excluded == total
		if !onlyExcluded && (n.allowed == 0 || n.refused == 0 || n.excluded*2 > total) {
			t.Errorf("%s: %d allowed, %d refused, %d excluded: too little was compared", key, n.allowed, n.refused, n.excluded)
		}
	}
}

// FuzzAuthorisationAgreesWithTheOracle runs with
// go test -fuzz FuzzAuthorisationAgreesWithTheOracle -fuzztime 5m.
func FuzzAuthorisationAgreesWithTheOracle(f *testing.F) {
	for v := range byte(11) {
		for kind := range byte(12) {
			f.Add([]byte{v, 0, 0, 0, 0, 0, 0, kind, kind, 1, 2, 3, 4, 5, 6, 7, kind, 8, 9, 10})
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { newDuel(t, data).compare() })
}
