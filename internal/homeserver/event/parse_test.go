// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"testing"
)

func TestUnsignedOfPeersIsReadableButNotKept(t *testing.T) {
	for _, v := range SupportedVersions() {
		built := mustBuild(t, v, draft(t, v))
		raw := setMember(built.JSON(), "unsigned", []byte(`{"age":1.5}`)) // no other server minds a fraction here
		for key, value := range map[string]string{"age_ts": "5", "outlier": "true", "destinations": "[]"} {
			raw = setMember(raw, key, []byte(value))
		}
		if v != "1" && v != "2" {
			raw = setMember(raw, "event_id", []byte(`"$forged"`))
		}
		e := mustParse(t, v, raw)
		if string(e.Unsigned()) != `{"age":1.5}` || !bytes.Equal(e.JSON(), built.JSON()) || e.ID() != built.ID() || !e.HashOK() {
			t.Errorf("version %s: %s with unsigned %s", v, e.JSON(), e.Unsigned())
		}
		if e := mustParse(t, v, setMember(built.JSON(), "unsigned", []byte(`5`))); e.Unsigned() != nil {
			t.Errorf("version %s: unsigned %s", v, e.Unsigned())
		}
	}
}

// H80: a depth that is none is an error for that event.
func TestH80DepthIsAnIntegerInRange(t *testing.T) {
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		limit := strconv.FormatInt(e.Rules().MaxDepth, 10)
		for depth, want := range map[string]error{
			"0": nil, limit: nil, "-1": ErrBadJSON, `"1"`: ErrBadJSON, "1.5": ErrBadJSON, "null": ErrBadJSON, "9223372036854775808": ErrBadJSON, "1e999": ErrBadJSON,
		} {
			if _, err := rules(t, v).Parse(setMember(e.JSON(), "depth", []byte(depth))); !errors.Is(err, want) {
				t.Errorf("version %s, depth %s: %v", v, depth, err)
			}
		}
		_, err := rules(t, v).Parse(setMember(e.JSON(), "depth", []byte("9007199254740992")))
		if old := v < "6" && len(v) == 1; errors.Is(err, ErrBadJSON) == old {
			t.Errorf("version %s, depth 2^53: %v", v, err)
		}
	}
}

// H82: in version 12 a create event has no room_id, and no event lists it.
func TestH82Version12NamesTheRoomOnlyOnce(t *testing.T) {
	create := mustBuild(t, "12", Draft{Type: "m.room.create", StateKey: ptr(""), Sender: "@u:domain", Content: []byte(`{}`), Depth: 1})
	d := draft(t, "12")
	d.RoomID = create.RoomID()
	mustBuild(t, "12", d)
	d.AuthEvents = append(d.AuthEvents, create.Reference())
	if _, err := rules(t, "12").Build(d, specSigner(t)); !errors.Is(err, ErrBadJSON) {
		t.Errorf("create among auth_events: %v", err)
	}
	if _, err := rules(t, "12").Parse(setMember(create.JSON(), "room_id", []byte(`"`+string(create.RoomID())+`"`))); !errors.Is(err, ErrBadJSON) {
		t.Errorf("create with room_id: %v", err)
	}
	if _, err := rules(t, "12").Parse(setMember(mustBuild(t, "12", draft(t, "12")).JSON(), "room_id", []byte(`"!r:domain"`))); !errors.Is(err, ErrInvalidID) {
		t.Errorf("room id with a domain: %v", err)
	}
	if _, err := rules(t, "11").Parse(setMember(mustBuild(t, "11", draft(t, "11")).JSON(), "room_id", []byte(`"`+string(testHashRoom)+`"`))); !errors.Is(err, ErrInvalidID) {
		t.Errorf("version 11 with a hash as room id: %v", err)
	}
}

// H83: keys are exact, and of a key that comes twice the last counts.
func TestH83MembershipIsReadByItsExactKey(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"a key in upper case is another key", `{"membership":"leave","Membership":"join"}`, "leave"},
		{"the order does not matter", `{"Membership":"join","membership":"leave"}`, "leave"},
		{"a long s is no s", `{"membership":"leave","memberſhip":"join"}`, "leave"},
		{"only the wrong key", `{"MEMBERSHIP":"join"}`, ""},
		{"the last of two", `{"membership":"leave","membership":"join"}`, "join"},
		{"the last of two, one escaped", `{"membership":"join","membership":"leave"}`, "leave"},
		{"no string", `{"membership":["join"]}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range SupportedVersions() {
				d := draft(t, v)
				d.Type, d.StateKey = "m.room.member", ptr("@u:domain")
				valid := mustBuild(t, v, d).JSON()
				raw := bytes.Replace(valid, []byte(`{"body":"hello","msgtype":"m.text"}`), []byte(test.content), 1)
				e := mustParse(t, v, raw)
				if got := e.Membership(); got != test.want {
					t.Errorf("version %s: membership %q, want %q", v, got, test.want)
				}
				loaded, err := rules(t, v).Load(e.ID(), e.JSON())
				if err != nil || loaded.Membership() != test.want {
					t.Errorf("version %s, loaded: %q, %v", v, loaded.Membership(), err)
				}
				if got := mustParse(t, v, e.Redacted().JSON()).Membership(); got != test.want {
					t.Errorf("version %s, redacted: %q", v, got)
				}
			}
		})
	}
	twice := bytes.Replace(mustBuild(t, "11", draft(t, "11")).JSON(), []byte(`"sender":"@u:domain"`), []byte(`"sender":"@a:evil","Sender":"@b:evil","sender":"@u:domain"`), 1)
	if e := mustParse(t, "11", twice); e.Sender() != "@u:domain" {
		t.Errorf("sender %s", e.Sender())
	}
}

func TestParseRefusesMissingAndMistypedFields(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.StateKey = ptr("")
		valid := mustBuild(t, v, d).JSON()
		fields := []string{"auth_events", "content", "depth", "hashes", "origin_server_ts", "prev_events", "room_id", "sender", "signatures", "type"}
		if v == "1" || v == "2" {
			fields = append(fields, "event_id")
		}
		for _, field := range fields {
			missing := appendWithout(nil, valid, func(key string) bool { return key == field })
			if _, err := rules(t, v).Parse(missing); !errors.Is(err, ErrBadJSON) {
				t.Errorf("version %s without %s: %v", v, field, err)
			}
			for _, value := range []string{"null", "true", `[[[]]]`, `{"a":{}}`, "5.5"} {
				_, err := rules(t, v).Parse(setMember(valid, field, []byte(value)))
				free := value == `{"a":{}}` && (field == "content" || field == "signatures")
				if errors.Is(err, ErrBadJSON) == free {
					t.Errorf("version %s, %s is %s: %v", v, field, value, err)
				}
			}
		}
		for _, bad := range [][2]string{
			{"state_key", "null"},
			{"state_key", "5"},
			{"hashes", `{"sha256":5}`},
			{"hashes", `{"sha256":"AAAA"}`},
			{"hashes", `{"md5":"x"}`},
			{"prev_events", `["$a",5]`},
			{"prev_events", `[["$a"]]`},
			{"prev_events", `[["$a",{},{}]]`},
			{"auth_events", `[{}]`},
		} {
			if _, err := rules(t, v).Parse(setMember(valid, bad[0], []byte(bad[1]))); !errors.Is(err, ErrBadJSON) {
				t.Errorf("version %s, %s is %s: %v", v, bad[0], bad[1], err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for i, v := range SupportedVersions() {
		d := draft(f, v)
		d.StateKey, d.Redacts, d.Type = ptr("@u:domain"), "$x", []string{"m.room.member", "m.room.redaction", "m.room.create"}[i%3]
		e := mustBuild(f, v, d)
		f.Add(uint8(i), e.JSON())
		f.Add(uint8(i), setMember(e.JSON(), "content", []byte(`{"membership":"invite","third_party_invite":{"signed":{},"display_name":5},"join_authorised_via_users_server":"@"}`)))
		f.Add(uint8(i), setMember(e.JSON(), "unsigned", []byte(`{"age":1}`)))
		f.Add(uint8(i), e.JSON()[:len(e.JSON())/2])
	}
	f.Add(uint8(11), mustBuild(f, "12", Draft{Type: "m.room.create", StateKey: ptr(""), Sender: "@u:domain", Content: []byte(`{}`)}).JSON())
	signer := specSigner(f)
	f.Fuzz(func(t *testing.T, version uint8, raw []byte) {
		versions := SupportedVersions()
		r := rules(t, versions[int(version)%len(versions)])
		if e, err := r.Load("", bytes.Clone(raw)); err == nil {
			callEverything(t, e, signer)
		}
		e, err := r.Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrBadJSON) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrInvalidID) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		callEverything(t, e, signer)
		again, err := r.Parse(e.JSON())
		if err != nil || again.ID() != e.ID() || !bytes.Equal(again.JSON(), e.JSON()) {
			t.Fatalf("parsed again: %v\n%s", err, e.JSON())
		}
		redacted, err := r.Parse(e.Redacted().JSON())
		if err != nil || redacted.ID() != e.ID() || !bytes.Equal(redacted.Redacted().JSON(), redacted.JSON()) {
			t.Fatalf("redacted: %v\n%s", err, e.Redacted().JSON())
		}
		for _, out := range [][]byte{e.JSON(), e.Redacted().JSON(), e.Content(), e.AppendClient(nil, ClientView{}), e.AppendStripped(nil)} {
			if _, err := Canonical(out, r.StrictCanonicalJSON); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	})
}

// callEverything calls what must not panic, whatever the event.
func callEverything(t *testing.T, e *Event, signer Signer) {
	t.Helper()
	_, _ = e.StateKey()
	_ = e.IsState(e.Tuple())
	_, _, _, _ = e.ID().server(), e.RoomID().createEventID(), e.Sender().Server(), e.Redacts()
	_, _, _, _ = e.OriginServerTS(), e.Depth(), e.PrevEvents(), e.AuthEvents()
	_, _, _, _ = e.Rules(), e.Unsigned(), e.Membership(), e.Reference()
	_ = e.HashOK()
	_ = e.Redacted().AppendClient(e.AppendStripped(nil), ClientView{Unsigned: e.Unsigned()})
	for _, s := range e.Signers() {
		for _, id := range e.KeyIDs(s) {
			if err := e.VerifySignature(s, id, signer.public()); err != nil && !errors.Is(err, ErrSignature) {
				t.Fatal(err)
			}
		}
	}
	if signed, err := e.Sign(signer); err == nil && signed.ID() != e.ID() {
		t.Fatalf("signing made %s of %s", signed.ID(), e.ID())
	}
}

func TestEventIDsOfOldVersionsNeedAServer(t *testing.T) {
	for _, v := range between(1, 2) {
		raw := mustBuild(t, v, draft(t, v)).JSON()
		for _, id := range []string{"$a", "a:domain", "$a:b c", ""} {
			if _, err := rules(t, v).Parse(setMember(raw, "event_id", []byte(`"`+id+`"`))); !errors.Is(err, ErrInvalidID) {
				t.Errorf("version %s, %q: %v", v, id, err)
			}
		}
		if e := mustParse(t, v, setMember(raw, "event_id", []byte(`"$a:b"`))); e.ID() != "$a:b" || !slices.Equal(e.Signers(), []ServerName{"domain", "b"}) {
			t.Errorf("version %s: %s, signers %v", v, e.ID(), e.Signers())
		}
	}
}

func TestRedactsOfAWrongTypeIsRefusedWhereItCounts(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		message := mustBuild(t, v, d)
		d.Type = "m.room.redaction"
		_, err := rules(t, v).Parse(setMember(mustBuild(t, v, d).JSON(), "redacts", []byte("5")))
		if counts := !message.Rules().RedactsInContent; errors.Is(err, ErrBadJSON) != counts {
			t.Errorf("version %s: %v", v, err)
		}
		mustParse(t, v, setMember(message.JSON(), "redacts", []byte("5")))
	}
}
