// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const testRoom, testHashRoom = RoomID("!r:domain"), RoomID("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

// draft returns a message that every room version accepts.
func draft(t testing.TB, v RoomVersion) Draft {
	t.Helper()
	d := Draft{
		RoomID: testRoom, Type: "m.room.message", Sender: "@u:domain", Content: []byte(`{"msgtype":"m.text","body":"hello"}`),
		PrevEvents: []Reference{{ID: "$p:domain", Hash: make([]byte, 32)}},
		AuthEvents: []Reference{{ID: "$c:domain", Hash: make([]byte, 32)}, {ID: "$m:domain", Hash: make([]byte, 32)}},
		Depth:      7, OriginServerTS: 1700000000000,
	}
	if rules(t, v).RoomIDIsCreateHash {
		d.RoomID = testHashRoom
	}
	return d
}

func mustBuild(t testing.TB, v RoomVersion, d Draft) *Event {
	t.Helper()
	e, err := rules(t, v).Build(d, specSigner(t))
	if err != nil {
		t.Fatalf("version %s: %v", v, err)
	}
	return e
}

func mustParse(t testing.TB, v RoomVersion, raw []byte) *Event {
	t.Helper()
	e, err := rules(t, v).Parse(raw)
	if err != nil {
		t.Fatalf("version %s: %v\n%s", v, err, raw)
	}
	return e
}

func ptr(s string) *string { return &s }

// sameEvent compares what the getters say.
func sameEvent(t *testing.T, got, want *Event) {
	t.Helper()
	gotKey, gotState := got.StateKey()
	wantKey, wantState := want.StateKey()
	same := got.ID() == want.ID() && got.RoomID() == want.RoomID() && got.Type() == want.Type() && gotKey == wantKey && gotState == wantState &&
		got.Sender() == want.Sender() && bytes.Equal(got.Content(), want.Content()) && got.OriginServerTS() == want.OriginServerTS() &&
		got.Depth() == want.Depth() && slices.Equal(got.PrevEvents(), want.PrevEvents()) && slices.Equal(got.AuthEvents(), want.AuthEvents()) &&
		got.Redacts() == want.Redacts() && got.Rules() == want.Rules() && bytes.Equal(got.JSON(), want.JSON()) &&
		bytes.Equal(got.Unsigned(), want.Unsigned()) && got.Membership() == want.Membership() && got.HashOK() == want.HashOK()
	if !same {
		t.Errorf("got  %s %s\nwant %s %s", got.ID(), got.JSON(), want.ID(), want.JSON())
	}
}

func TestBuiltEventsSurviveTheWireAndTheDatabase(t *testing.T) {
	signer := specSigner(t)
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.Type, d.StateKey, d.Content = "m.room.member", ptr("@u:domain"), []byte(` {"membership":"join", "displayname":"\u00e9\n"} `)
		built := mustBuild(t, v, d)
		if !built.HashOK() || built.Membership() != "join" || !built.IsState(StateKey{"m.room.member", "@u:domain"}) ||
			built.Tuple() != (StateKey{"m.room.member", "@u:domain"}) || built.IsState(StateKey{"m.room.member", ""}) {
			t.Errorf("version %s: %s", v, built.JSON())
		}
		if got := string(built.Content()); got != `{"displayname":"é\n","membership":"join"}` {
			t.Errorf("version %s: content %s", v, got)
		}
		if built.RoomID() != d.RoomID || built.Depth() != 7 || built.OriginServerTS() != 1700000000000 || built.Sender() != "@u:domain" {
			t.Errorf("version %s: fields of %s", v, built.JSON())
		}
		if !slices.Equal(built.PrevEvents(), []EventID{"$p:domain"}) || !slices.Equal(built.AuthEvents(), []EventID{"$c:domain", "$m:domain"}) {
			t.Errorf("version %s: references %v, %v", v, built.PrevEvents(), built.AuthEvents())
		}
		if err := built.VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
			t.Errorf("version %s: %v", v, err)
		}
		sameEvent(t, mustParse(t, v, built.JSON()), built)
		loaded, err := rules(t, v).Load(built.ID(), bytes.Clone(built.JSON()))
		if err != nil {
			t.Fatal(err)
		}
		sameEvent(t, loaded, built)
	}
}

func TestEventIDsHaveTheFormOfTheirVersion(t *testing.T) {
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		id := string(e.ID())
		switch e.Rules().EventIDFormat {
		case EventIDField:
			if !strings.HasSuffix(id, ":domain") || len(e.Reference().Hash) != 32 || !bytes.Contains(e.JSON(), []byte(`"event_id":"`+id+`"`)) {
				t.Errorf("version %s: %s in %s", v, id, e.JSON())
			}
		case EventIDHash, EventIDHashURL:
			if len(id) != 44 || strings.Contains(id, ":") || e.Reference().Hash != nil || bytes.Contains(e.JSON(), []byte("event_id")) {
				t.Errorf("version %s: %s in %s", v, id, e.JSON())
			}
		}
		if v != "3" && strings.ContainsAny(id, "+/") {
			t.Errorf("version %s: %s is not URL-safe", v, id)
		}
		if e.Redacted().ID() != e.ID() {
			t.Errorf("version %s: the redacted event has another id", v)
		}
		if again := mustParse(t, v, e.Redacted().JSON()); again.ID() != e.ID() {
			t.Errorf("version %s: parsed in its redacted form the event is %s, not %s", v, again.ID(), e.ID())
		}
	}
}

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

func TestUnsignedOfOurOwnIsKept(t *testing.T) {
	d := draft(t, "11")
	d.Unsigned = []byte(`{"b":1,"a":2}`)
	e := mustBuild(t, "11", d)
	if string(e.Unsigned()) != `{"a":2,"b":1}` || !bytes.HasSuffix(e.JSON(), []byte(`,"unsigned":{"a":2,"b":1}}`)) || !e.HashOK() {
		t.Errorf("%s", e.JSON())
	}
	if redacted := e.Redacted(); redacted.Unsigned() != nil || redacted.Rules() != e.Rules() {
		t.Errorf("redacted: %s", redacted.JSON())
	}
}

func TestCreateEventOfVersion12MakesTheRoomID(t *testing.T) {
	d := Draft{Type: "m.room.create", StateKey: ptr(""), Sender: "@u:domain", Content: []byte(`{"room_version":"12"}`), Depth: 1}
	e := mustBuild(t, "12", d)
	if string(e.RoomID()) != "!"+string(e.ID()[1:]) || e.RoomID().createEventID() != e.ID() || bytes.Contains(e.JSON(), []byte("room_id")) {
		t.Errorf("room %s of %s: %s", e.RoomID(), e.ID(), e.JSON())
	}
	if parsed := mustParse(t, "12", e.JSON()); parsed.RoomID() != e.RoomID() {
		t.Errorf("parsed: room %s", parsed.RoomID())
	}
	if e.Redacted().RoomID() != e.RoomID() {
		t.Errorf("redacted: room %s", e.Redacted().RoomID())
	}
	signed, err := e.Sign(Signer{Server: "other", KeyID: "ed25519:2", PrivateKey: specSigner(t).PrivateKey})
	if err != nil || signed.RoomID() != e.RoomID() || signed.ID() != e.ID() {
		t.Errorf("signed again: %v", err)
	}
	if _, err := rules(t, "11").Build(d, specSigner(t)); !errors.Is(err, ErrBadJSON) {
		t.Errorf("version 11 without room_id: %v", err)
	}
}

func TestRedactsIsWhereTheVersionWantsIt(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.Type, d.Redacts, d.Content = "m.room.redaction", "$x:domain", []byte(`{"reason":"spam"}`)
		e := mustBuild(t, v, d)
		if e.Redacts() != "$x:domain" {
			t.Errorf("version %s: redacts %q", v, e.Redacts())
		}
		inContent := bytes.Contains(e.Content(), []byte(`"redacts":"$x:domain"`))
		if inContent != e.Rules().RedactsInContent || bytes.Count(e.JSON(), []byte("redacts")) != 1 {
			t.Errorf("version %s: %s", v, e.JSON())
		}
		if kept := e.Redacted().Redacts() != ""; kept != (v == "11" || v == "12") {
			t.Errorf("version %s: redacted it redacts %q", v, e.Redacted().Redacts())
		}
		client := string(e.AppendClient(nil, ClientView{}))
		want := `{"content":{"reason":"spam","redacts":"$x:domain"},"event_id":"` + string(e.ID()) + `","origin_server_ts":1700000000000,"redacts":"$x:domain","room_id":"` +
			string(d.RoomID) + `","sender":"@u:domain","type":"m.room.redaction"}`
		if client != want {
			t.Errorf("version %s:\n%s\n%s", v, client, want)
		}
	}
	message := draft(t, "11")
	message.Content = []byte(`{"redacts":"$x"}`)
	if e := mustBuild(t, "11", message); e.Redacts() != "" {
		t.Error("a message redacts")
	}
}

func TestClientFormat(t *testing.T) {
	d := draft(t, "10")
	d.Type, d.StateKey, d.Content, d.Unsigned = "m.room.topic", ptr("k\""), []byte(`{"topic":"\u0000<\u00e9>"}`), []byte(`{"age":1}`)
	e := mustBuild(t, "10", d)
	full := `{"content":{"topic":"\u0000<é>"},"event_id":"` + string(e.ID()) + `","origin_server_ts":1700000000000,"room_id":"!r:domain","sender":"@u:domain","state_key":"k\"","type":"m.room.topic"`
	tests := []struct {
		name string
		view ClientView
		want string
	}{
		{"without unsigned, the event's own is not shown", ClientView{}, full + `}`},
		{"with unsigned", ClientView{Unsigned: []byte(`{"age":12}`)}, full + `,"unsigned":{"age":12}}`},
		{"for sync, without the room", ClientView{OmitRoomID: true}, strings.Replace(full, `"room_id":"!r:domain",`, "", 1) + `}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(e.AppendClient([]byte("before "), test.view)); got != "before "+test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	want := `{"content":{"topic":"\u0000<é>"},"sender":"@u:domain","state_key":"k\"","type":"m.room.topic"}`
	if got := string(e.AppendStripped(nil)); got != want {
		t.Errorf("stripped %s, want %s", got, want)
	}
}

func TestLoadRefusesWhatIsNoEvent(t *testing.T) {
	for _, raw := range []string{"", "{", "[]", `{"type":5}`, `{"content":[]}`, `{"depth":"1"}`, `{"prev_events":{}}`, `{"auth_events":[5]}`} {
		if e, err := rules(t, "11").Load("$x", []byte(raw)); !errors.Is(err, ErrBadJSON) || e != nil {
			t.Errorf("%s: %v, %v", raw, e, err)
		}
	}
}

// H40: an event over 65,536 bytes, or a type or state key over 255, is too large.
func TestH40LargeEventsAreRefused(t *testing.T) {
	long := strings.Repeat("é", 128) // 256 bytes, 128 characters
	tests := []struct {
		name   string
		change func(d *Draft)
		want   error
	}{
		{"a type of 255 bytes", func(d *Draft) { d.Type = long[:254] + "x" }, nil},
		{"a type of 256 bytes", func(d *Draft) { d.Type = long }, ErrTooLarge},
		{"a state key of 255 bytes", func(d *Draft) { d.StateKey = ptr(long[:254] + "x") }, nil},
		{"a state key of 256 bytes", func(d *Draft) { d.StateKey = ptr(long) }, ErrTooLarge},
		{"a sender of 256 bytes", func(d *Draft) { d.Sender = UserID("@" + strings.Repeat("a", 248) + ":domain") }, ErrTooLarge},
		{"a room id of 256 bytes", func(d *Draft) { d.RoomID = RoomID("!" + strings.Repeat("a", 248) + ":domain") }, ErrTooLarge},
		{"21 previous events", func(d *Draft) { d.PrevEvents = slices.Repeat(d.PrevEvents, 21) }, ErrTooLarge},
		{"11 auth events", func(d *Draft) { d.AuthEvents = slices.Repeat(d.AuthEvents[:1], 11) }, ErrTooLarge},
		{"content of 65 KiB", func(d *Draft) { d.Content = []byte(`{"body":"` + strings.Repeat("a", 65<<10) + `"}`) }, ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range SupportedVersions() {
				d := draft(t, v)
				test.change(&d)
				if e, err := rules(t, v).Build(d, specSigner(t)); !errors.Is(err, test.want) || (e != nil) != (err == nil) {
					t.Errorf("version %s: %v", v, err)
				}
			}
		})
	}
}

func TestTheSizeLimitIsExact(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.Content = []byte(`{"body":""}`)
		room := maxEvent - len(mustBuild(t, v, d).JSON())
		for over, want := range []error{nil, ErrTooLarge} {
			d.Content = []byte(`{"body":"` + strings.Repeat("a", room+over) + `"}`)
			if _, err := rules(t, v).Build(d, specSigner(t)); !errors.Is(err, want) {
				t.Errorf("version %s, %d bytes over: %v", v, over, err)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(d *Draft, s *Signer)
		want   error
	}{
		{"content that is no object", func(d *Draft, _ *Signer) { d.Content = []byte(`[]`) }, ErrBadJSON},
		{"no content", func(d *Draft, _ *Signer) { d.Content = nil }, ErrBadJSON},
		{"unsigned that is no object", func(d *Draft, _ *Signer) { d.Unsigned = []byte(`5`) }, ErrBadJSON},
		{"a negative depth", func(d *Draft, _ *Signer) { d.Depth = -1 }, ErrBadJSON},
		{"a depth of 2^53", func(d *Draft, _ *Signer) { d.Depth = 1 << 53 }, ErrBadJSON},
		{"a time of 2^53", func(d *Draft, _ *Signer) { d.OriginServerTS = 1 << 53 }, ErrBadJSON},
		{"a type that is not UTF-8", func(d *Draft, _ *Signer) { d.Type = "\xff" }, ErrBadJSON},
		{"a state key that is not UTF-8", func(d *Draft, _ *Signer) { d.StateKey = ptr("\xff") }, ErrBadJSON},
		{"a reference that is not UTF-8", func(d *Draft, _ *Signer) { d.PrevEvents = []Reference{{ID: "$\xff"}} }, ErrBadJSON},
		{"a reference that is no event id", func(d *Draft, _ *Signer) { d.PrevEvents = []Reference{{ID: "x"}} }, ErrInvalidID},
		{"a sender that is no user id", func(d *Draft, _ *Signer) { d.Sender = "u" }, ErrInvalidID},
		{"a room id that is none", func(d *Draft, _ *Signer) { d.RoomID = "r" }, ErrInvalidID},
		{"no room id", func(d *Draft, _ *Signer) { d.RoomID = "" }, ErrBadJSON},
		{"no key", func(_ *Draft, s *Signer) { s.PrivateKey = nil }, ErrSignature},
		{"a key id without algorithm", func(_ *Draft, s *Signer) { s.KeyID = "1" }, ErrSignature},
		{"no server", func(_ *Draft, s *Signer) { s.Server = "" }, ErrSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range SupportedVersions() {
				d, s := draft(t, v), specSigner(t)
				test.change(&d, &s)
				if e, err := rules(t, v).Build(d, s); !errors.Is(err, test.want) || e != nil {
					t.Errorf("version %s: %v, %v", v, e, err)
				}
			}
		})
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

// H84: an event whose hash is wrong is good only in its redacted form; one without
// the sender's signature is good for nothing.
func TestH84HashAndSignatureAreVerified(t *testing.T) {
	signer := specSigner(t)
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		tampered := mustParse(t, v, bytes.Replace(e.JSON(), []byte("hello"), []byte("jello"), 1))
		if tampered.HashOK() || tampered.ID() != e.ID() {
			t.Errorf("version %s: other content has hash ok %v and id %s", v, tampered.HashOK(), tampered.ID())
		}
		if err := tampered.VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
			t.Errorf("version %s: the signature covers the redacted event only: %v", v, err)
		}
		if bytes.Contains(tampered.Redacted().JSON(), []byte("jello")) {
			t.Errorf("version %s: %s", v, tampered.Redacted().JSON())
		}
		for name, raw := range map[string][]byte{
			"no signature":       setMember(e.JSON(), "signatures", []byte(`{}`)),
			"another server":     bytes.Replace(e.JSON(), []byte(`"signatures":{"domain"`), []byte(`"signatures":{"evil"`), 1),
			"a short signature":  setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":"AAAA"}}`)),
			"no string":          setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":5}}`)),
			"not base64":         setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":"`+strings.Repeat("!", 86)+`"}}`)),
			"a changed depth":    setMember(e.JSON(), "depth", []byte("8")),
			"another state":      setMember(e.JSON(), "state_key", []byte(`""`)),
			"signatures no list": setMember(e.JSON(), "signatures", []byte(`{"domain":[]}`)),
		} {
			if err := mustParse(t, v, raw).VerifySignature("domain", "ed25519:1", signer.public()); !errors.Is(err, ErrSignature) {
				t.Errorf("version %s, %s: %v", v, name, err)
			}
		}
		if err := e.VerifySignature("domain", "ed25519:1", signer.public()[:31]); !errors.Is(err, ErrSignature) {
			t.Errorf("version %s, a short key: %v", v, err)
		}
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
			{"state_key", "null"}, {"state_key", "5"}, {"hashes", `{"sha256":5}`}, {"hashes", `{"sha256":"AAAA"}`}, {"hashes", `{"md5":"x"}`},
			{"prev_events", `["$a",5]`}, {"prev_events", `[["$a"]]`}, {"prev_events", `[["$a",{},{}]]`}, {"auth_events", `[{}]`},
		} {
			if _, err := rules(t, v).Parse(setMember(valid, bad[0], []byte(bad[1]))); !errors.Is(err, ErrBadJSON) {
				t.Errorf("version %s, %s is %s: %v", v, bad[0], bad[1], err)
			}
		}
	}
}

func TestSigners(t *testing.T) {
	tests := []struct {
		name    string
		typ     string
		content string
		old     []ServerName // versions 1 and 2
		middle  []ServerName // versions 3 to 7
		modern  []ServerName // version 8 on
	}{
		{"a message needs its sender's server", "m.room.message", `{"join_authorised_via_users_server":"@x:other"}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender"}},
		{"a restricted join needs the authorising server", "m.room.member", `{"membership":"join","join_authorised_via_users_server":"@x:other"}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender", "other"}},
		{"an authorising server that is the sender's counts once", "m.room.member", `{"membership":"join","join_authorised_via_users_server":"@x:sender"}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender"}},
		{"an authorising user that is none can never be satisfied", "m.room.member", `{"membership":"join","join_authorised_via_users_server":5}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender", ""}},
		{"an invite needs its sender's server", "m.room.member", `{"membership":"invite"}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender"}},
		{"an invite from a third-party invite does not", "m.room.member", `{"membership":"invite","third_party_invite":{}}`,
			[]ServerName{"domain"}, []ServerName{}, []ServerName{}},
		{"a join cannot pass for one", "m.room.member", `{"membership":"join","third_party_invite":{}}`,
			[]ServerName{"sender", "domain"}, []ServerName{"sender"}, []ServerName{"sender"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, v := range SupportedVersions() {
				d := draft(t, v)
				d.Type, d.StateKey, d.Sender, d.Content = test.typ, ptr("@u:sender"), "@u:sender", []byte(test.content)
				want := test.modern
				if i < 2 {
					want = test.old
				} else if i < 7 {
					want = test.middle
				}
				if got := mustBuild(t, v, d).Signers(); !slices.Equal(got, want) {
					t.Errorf("version %s: %q, want %q", v, got, want)
				}
			}
		})
	}
}

func TestSignAddsToTheSignatures(t *testing.T) {
	first := specSigner(t)
	seed := bytes.Repeat([]byte{7}, 32)
	second := Signer{Server: "other", KeyID: "ed25519:b", PrivateKey: ed25519.NewKeyFromSeed(seed)}
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		signed, err := e.Sign(second)
		if err != nil {
			t.Fatal(err)
		}
		signed = mustParse(t, v, signed.JSON())
		if signed.ID() != e.ID() || !signed.HashOK() {
			t.Errorf("version %s: %s", v, signed.JSON())
		}
		for _, s := range []Signer{first, second} {
			if err := signed.VerifySignature(s.Server, s.KeyID, s.public()); err != nil {
				t.Errorf("version %s: %v", v, err)
			}
			if got := signed.KeyIDs(s.Server); !slices.Equal(got, []string{s.KeyID}) {
				t.Errorf("version %s: keys of %s are %v", v, s.Server, got)
			}
		}
		if err := signed.VerifySignature("other", "ed25519:b", first.public()); !errors.Is(err, ErrSignature) {
			t.Errorf("version %s, another's key: %v", v, err)
		}
	}
}

func TestSignedObjects(t *testing.T) {
	signer := specSigner(t)
	signer.Server = "@u:domain" // users sign too
	signed, err := SignJSON([]byte(`{"b":1,"unsigned":{"x":1.5},"signatures":{"@u:domain":{"ed25519:0":"old","curve:1":"x"},"a":{}}}`), signer)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := ParseObject(signed)
	if got := KeyIDs(o, "@u:domain"); !slices.Equal(got, []string{"ed25519:0", "ed25519:1"}) {
		t.Errorf("keys %v", got)
	}
	if unsigned, _ := o.Get("unsigned"); string(unsigned) != `{"x":1.5}` {
		t.Errorf("unsigned %s", unsigned)
	}
	if err := VerifyJSON(signed, "@u:domain", "ed25519:1", signer.public()); err != nil {
		t.Error(err)
	}
	if err := VerifyJSON(setMember(signed, "unsigned", []byte(`{}`)), "@u:domain", "ed25519:1", signer.public()); err != nil {
		t.Errorf("unsigned is not covered: %v", err)
	}
	for name, obj := range map[string][]byte{"changed": setMember(signed, "b", []byte("2")), "unsigned by anyone": []byte(`{}`), "signatures of a wrong type": []byte(`{"signatures":5}`)} {
		if err := VerifyJSON(obj, "@u:domain", "ed25519:1", signer.public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, obj := range []string{"", "[]", `{"a":1.5}`, "5"} {
		if _, err := SignJSON([]byte(obj), signer); !errors.Is(err, ErrBadJSON) {
			t.Errorf("signing %q: %v", obj, err)
		}
	}
	if err := VerifyJSON([]byte("[]"), "a", "ed25519:1", signer.public()); !errors.Is(err, ErrBadJSON) {
		t.Errorf("verifying an array: %v", err)
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
