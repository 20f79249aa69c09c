// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"errors"
	"slices"
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
