// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gmsl "github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// The oracle is gomatrixserverlib at the version of go.mod, for versions 1 to 11.
// Where it is known to be wrong the tests do not ask it:
//
//   - it folds the case of keys (encoding/json) and takes the first or the last of
//     a doubled key, depending on the place;
//   - its canonical form writes keys without escapes, keeps doubled keys and lone
//     surrogates, and turns -0.5 into 0.5;
//   - its redaction passes content through float64, and drops
//     third_party_invite.signed in version 11, which the specification keeps;
//   - it refuses members that begin with "_" and checks the numbers in unsigned;
//   - it panics on some ids and on some content that is no object.
const lastOracleVersion = 11

func oracleVersions() []RoomVersion { return SupportedVersions()[:lastOracleVersion] }

// askable reports whether the oracle is right about the canonical event raw.
func askable(raw []byte, v RoomVersion) bool {
	if _, err := Canonical(raw, true); err != nil {
		return false
	}
	plain := true
	var walk func(value []byte)
	walk = func(value []byte) {
		if o, ok := ParseObject(value); ok {
			o.Each(func(key string, v []byte) bool {
				for _, r := range key {
					plain = plain && r >= ' ' && r < 0x7f && r != '"' && r != '\\' && (r < 'A' || r > 'Z')
				}
				walk(v)
				return plain
			})
		}
		EachElement(value, func(v []byte) bool { walk(v); return plain })
	}
	walk(raw)
	o, _ := ParseObject(raw)
	o.Each(func(key string, value []byte) bool {
		switch key {
		case "sticky", "msc4354_sticky", "prev_state_events":
			plain = false
		case "redacts", "state_key":
			_, ok := StringValue(value)
			plain = plain && ok
		}
		plain = plain && !strings.HasPrefix(key, "_")
		return plain
	})
	content, _ := o.Object("content")
	_, thirdParty := content.Get("third_party_invite")
	return plain && !(thirdParty && v == "11")
}

// compareWithOracle checks our view of an event against the oracle's.
func compareWithOracle(ours *Event, raw []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the oracle panicked: %v", p)
		}
	}()
	theirs, err := gmsl.MustGetRoomVersion(gmsl.RoomVersion(ours.Rules().Version)).NewEventFromUntrustedJSON(raw)
	if err != nil {
		return fmt.Errorf("the oracle refuses it: %w", err)
	}
	if ours.HashOK() == theirs.Redacted() {
		return fmt.Errorf("our hash is right: %v, theirs is not: %v", ours.HashOK(), theirs.Redacted())
	}
	if string(ours.ID()) != theirs.EventID() {
		return fmt.Errorf("our id %s, theirs %s", ours.ID(), theirs.EventID())
	}
	if !theirs.Redacted() && !bytes.Equal(ours.JSON(), theirs.JSON()) {
		return fmt.Errorf("our JSON   %s\ntheir JSON %s", ours.JSON(), theirs.JSON())
	}
	theirs.Redact()
	redacted, err := gmsl.CanonicalJSON(theirs.JSON())
	if err != nil {
		return fmt.Errorf("the oracle's redacted event: %w", err)
	}
	if !bytes.Equal(ours.Redacted().JSON(), redacted) {
		return fmt.Errorf("our redacted   %s\ntheir redacted %s", ours.Redacted().JSON(), redacted)
	}
	return nil
}

// generator makes random events whose types and keys are those that matter.
type generator struct{ *rand.Rand }

func (g generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) eventType() string {
	return g.pick("m.room.member", "m.room.create", "m.room.join_rules", "m.room.power_levels", "m.room.aliases",
		"m.room.history_visibility", "m.room.redaction", "m.room.message", "x", "")
}

func (g generator) value(depth int) any {
	switch n := g.IntN(9); {
	case n < 2 && depth > 0:
		return g.object(depth - 1)
	case n < 3 && depth > 0:
		list := make([]any, g.IntN(4))
		for i := range list {
			list[i] = g.value(depth - 1)
		}
		return list
	case n < 6:
		return g.pick("", "join", "public", "@a:domain", "日本語 😀", "\"quoted\"\\\n\x00\x7f", "<a href='&'>", "\u2028")
	case n < 8:
		return g.Int64N(2*maxSafeInteger) - maxSafeInteger
	default:
		return []any{nil, true, false}[g.IntN(3)]
	}
}

func (g generator) object(depth int) map[string]any {
	o := map[string]any{}
	for range g.IntN(8) {
		key := g.pick("membership", "creator", "join_rule", "allow", "join_authorised_via_users_server", "aliases", "users", "users_default",
			"events", "events_default", "state_default", "ban", "kick", "redact", "invite", "notifications", "history_visibility", "redacts",
			"body", "signed", "room_version", "", "a b")
		o[key] = g.value(depth)
	}
	return o
}

func (g generator) draft(t *testing.T, v RoomVersion) Draft {
	d := draft(t, v)
	d.Type = g.eventType()
	content, err := json.Marshal(g.object(3))
	if err != nil {
		t.Fatal(err)
	}
	d.Content, d.Depth, d.OriginServerTS = content, g.Int64N(maxSafeInteger), g.Int64N(maxSafeInteger)
	if g.IntN(2) == 0 {
		key := g.pick("", "@u:domain", "ключ", "\x00")
		d.StateKey = &key
	}
	if d.Type == typeRedaction && g.IntN(3) > 0 {
		d.Redacts = "$x:domain"
	}
	return d
}

func TestEventsThatWeBuildAreWhatTheOracleThinks(t *testing.T) {
	g, signer := generator{rand.New(rand.NewPCG(1, 2))}, specSigner(t)
	for _, v := range oracleVersions() {
		for range 300 {
			e, err := rules(t, v).Build(g.draft(t, v), signer)
			if err != nil {
				t.Fatal(err)
			}
			if err := compareWithOracle(e, e.JSON()); err != nil {
				t.Fatalf("version %s: %v\n%s", v, err, e.JSON())
			}
			if err := gmsl.VerifyJSON("domain", "ed25519:1", signer.public(), e.Redacted().JSON()); err != nil {
				t.Fatalf("version %s: the oracle on our signature: %v", v, err)
			}
		}
	}
}

func TestEventsThatTheOracleBuildsAreSoundForUs(t *testing.T) {
	g, signer := generator{rand.New(rand.NewPCG(3, 4))}, specSigner(t)
	for _, v := range oracleVersions() {
		for range 100 {
			d := g.draft(t, v)
			builder := gmsl.MustGetRoomVersion(gmsl.RoomVersion(v)).NewEventBuilder()
			builder.SenderID, builder.RoomID, builder.Type, builder.StateKey = string(d.Sender), string(d.RoomID), d.Type, d.StateKey
			builder.Depth, builder.Content, builder.Redacts = d.Depth, spec.RawJSON(d.Content), string(d.Redacts)
			builder.PrevEvents, builder.AuthEvents = []string{"$p:domain"}, []string{"$c:domain", "$m:domain"}
			theirs, err := builder.Build(time.UnixMilli(d.OriginServerTS), "domain", "ed25519:1", signer.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := rules(t, v).Parse(theirs.JSON())
			if err != nil {
				t.Fatalf("version %s: %v\n%s", v, err, theirs.JSON())
			}
			if err := compareWithOracle(ours, theirs.JSON()); err != nil {
				t.Fatalf("version %s: %v\n%s", v, err, theirs.JSON())
			}
			if err := ours.VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
				t.Fatalf("version %s: %v", v, err)
			}
		}
	}
}

func TestCanonicalFormIsTheOracles(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	for range 2000 {
		raw, err := json.Marshal(g.object(4))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Canonical(raw, true)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		theirs, err := gmsl.CanonicalJSON(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("ours   %s\ntheirs %s", ours, theirs)
		}
	}
}

func FuzzAgainstOracle(f *testing.F) {
	signer := specSigner(f)
	for i, v := range oracleVersions() {
		d := draft(f, v)
		d.Type = []string{"m.room.member", "m.room.power_levels", "m.room.redaction", "m.room.create"}[i%4]
		d.Content = []byte(`{"membership":"join","users":{"@a:b":1},"redacts":"$a","creator":"@a:b"}`)
		e, err := rules(f, v).Build(d, signer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), e.JSON())
		f.Add(uint8(i), setMember(e.JSON(), "unsigned", []byte(`{"age":1}`)))
		f.Add(uint8(i), setMember(e.JSON(), "origin", []byte(`"domain"`)))
		f.Add(uint8(i), setMember(e.JSON(), "content", []byte(`{"join_rule":"x","allow":[]}`)))
	}
	f.Fuzz(func(t *testing.T, version uint8, raw []byte) {
		v := oracleVersions()[int(version)%lastOracleVersion]
		ours, err := rules(t, v).Parse(raw)
		if err != nil {
			return
		}
		canonical, err := Canonical(raw, false) // doubled keys are gone, which the oracle reads otherwise
		if err != nil || !askable(canonical, v) {
			return
		}
		if err := compareWithOracle(ours, canonical); err != nil {
			t.Fatalf("version %s: %v\n%s", v, err, canonical)
		}
	})
}
