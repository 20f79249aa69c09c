// SPDX-License-Identifier: Apache-2.0

package event

import (
	"slices"
	"strings"
	"testing"
)

// between lists the versions from first to last.
func between(first, last int) []RoomVersion { return SupportedVersions()[first-1 : last] }

func TestRedactionKeepsWhatTheVersionSays(t *testing.T) {
	levels := `"ban":1,"events":{"a":1},"events_default":2,%s"kick":3,"redact":4,"state_default":5,"users":{"@a:b":1},"users_default":6`
	withInvite, withoutInvite := strings.Replace(levels, "%s", `"invite":9,`, 1), strings.Replace(levels, "%s", "", 1)
	tests := []struct {
		name, typ, content string
		versions           []RoomVersion
		want               string
	}{
		{"a message keeps nothing", "m.room.message", `{"body":"x","membership":"join","redacts":"$x"}`, between(1, 12), `{}`},
		{"a member keeps its membership", "m.room.member", `{"membership":"join","displayname":"x","join_authorised_via_users_server":"@a:b"}`, between(1, 8), `{"membership":"join"}`},
		{
			"and who authorised the join", "m.room.member", `{"membership":"join","displayname":"x","join_authorised_via_users_server":"@a:b"}`, between(9, 12),
			`{"join_authorised_via_users_server":"@a:b","membership":"join"}`,
		},
		{"a third-party invite goes", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"x","signed":{"token":"t"}}}`, between(1, 10), `{"membership":"invite"}`},
		{
			"or keeps what is signed", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"x","signed":{"token":"t"},"z":1}}`, between(11, 12),
			`{"membership":"invite","third_party_invite":{"signed":{"token":"t"}}}`,
		},
		{"a third-party invite that is no object goes", "m.room.member", `{"membership":"invite","third_party_invite":[1]}`, between(1, 12), `{"membership":"invite"}`},
		{"create keeps its creator", "m.room.create", `{"creator":"@a:b","m.federate":false}`, between(1, 10), `{"creator":"@a:b"}`},
		{"create keeps all", "m.room.create", `{"creator":"@a:b","m.federate":false}`, between(11, 12), `{"creator":"@a:b","m.federate":false}`},
		{"join rules keep the rule", "m.room.join_rules", `{"join_rule":"restricted","allow":[],"x":1}`, between(1, 7), `{"join_rule":"restricted"}`},
		{"and whom they allow", "m.room.join_rules", `{"join_rule":"restricted","allow":[],"x":1}`, between(8, 12), `{"allow":[],"join_rule":"restricted"}`},
		{"power levels lose invite and notifications", "m.room.power_levels", `{` + withInvite + `,"notifications":{"room":1}}`, between(1, 10), `{` + withoutInvite + `}`},
		{"power levels keep invite", "m.room.power_levels", `{` + withInvite + `,"notifications":{"room":1}}`, between(11, 12), `{` + withInvite + `}`},
		{"aliases stay", "m.room.aliases", `{"aliases":["#a:b"],"x":1}`, between(1, 5), `{"aliases":["#a:b"]}`},
		{"aliases go", "m.room.aliases", `{"aliases":["#a:b"],"x":1}`, between(6, 12), `{}`},
		{"history visibility stays", "m.room.history_visibility", `{"history_visibility":"shared","x":1}`, between(1, 12), `{"history_visibility":"shared"}`},
		{"a redaction forgets its target", "m.room.redaction", `{"redacts":"$x","reason":"y"}`, between(1, 10), `{}`},
		{"a redaction keeps its target", "m.room.redaction", `{"redacts":"$x","reason":"y"}`, between(11, 12), `{"redacts":"$x"}`},
		{"keys are exact", "m.room.member", `{"Membership":"join","membership ":"x"}`, between(1, 12), `{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range test.versions {
				d := draft(t, v)
				d.Type, d.StateKey, d.Content = test.typ, ptr("@k:b"), []byte(test.content)
				e := mustBuild(t, v, d)
				redacted := e.Redacted()
				if got := string(redacted.Content()); got != test.want {
					t.Errorf("version %s: %s, want %s", v, got, test.want)
				}
				if redacted.ID() != e.ID() || redacted.Type() != e.Type() || redacted.Tuple() != e.Tuple() || redacted.RoomID() != e.RoomID() ||
					!slices.Equal(redacted.AuthEvents(), e.AuthEvents()) || !slices.Equal(redacted.PrevEvents(), e.PrevEvents()) {
					t.Errorf("version %s: %s became %s", v, e.JSON(), redacted.JSON())
				}
				if err := redacted.VerifySignature("domain", "ed25519:1", specSigner(t).public()); err != nil {
					t.Errorf("version %s: %v", v, err)
				}
			}
		})
	}
}

func TestRedactionKeepsTheTopLevelFieldsOfTheVersion(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.StateKey, d.Unsigned = ptr(""), []byte(`{"age":1}`)
		raw := mustBuild(t, v, d).JSON()
		for _, key := range []string{"membership", "origin", "prev_state", "redacts", "sticky", "Type"} {
			raw = setMember(raw, key, []byte(`"x"`))
		}
		var keys []string
		o, _ := ParseObject(mustParse(t, v, raw).Redacted().JSON())
		o.Each(func(key string, _ []byte) bool { keys = append(keys, key); return true })
		want := []string{"auth_events", "content", "depth", "hashes", "origin_server_ts", "prev_events", "room_id", "sender", "signatures", "state_key", "type"}
		if v == "1" || v == "2" {
			want = append(want, "event_id")
		}
		if v != "11" && v != "12" {
			want = append(want, "membership", "origin", "prev_state")
		}
		slices.Sort(want)
		if !slices.Equal(keys, want) {
			t.Errorf("version %s: %v, want %v", v, keys, want)
		}
	}
}

func TestRoomVersionsDifferAsTheSpecificationSays(t *testing.T) {
	from := func(first int) []RoomVersion { return between(first, 12) }
	tests := []struct {
		name string
		has  func(r *Rules) bool
		want []RoomVersion
	}{
		{"event ids are fields", func(r *Rules) bool { return r.EventIDFormat == EventIDField }, between(1, 2)},
		{"event ids are hashes in the common alphabet", func(r *Rules) bool { return r.EventIDFormat == EventIDHash }, between(3, 3)},
		{"event ids are URL-safe hashes", func(r *Rules) bool { return r.EventIDFormat == EventIDHashURL }, from(4)},
		{"state resolution v1", func(r *Rules) bool { return r.StateResolution == StateResolutionV1 }, between(1, 1)},
		{"state resolution v2", func(r *Rules) bool { return r.StateResolution == StateResolutionV2 }, between(2, 11)},
		{"state resolution v2.1", func(r *Rules) bool { return r.StateResolution == StateResolutionV2Point1 }, from(12)},
		{"redactions are authorised on receipt", func(r *Rules) bool { return r.RedactionAuthRule }, between(1, 2)},
		{"aliases have a rule", func(r *Rules) bool { return r.AliasSpecialCase }, between(1, 5)},
		{"keys must be valid at the time", func(r *Rules) bool { return r.EnforceKeyValidity }, from(5)},
		{"numbers are strict", func(r *Rules) bool { return r.StrictCanonicalJSON && r.MaxDepth == 1<<53-1 }, from(6)},
		{"notification levels are checked", func(r *Rules) bool { return r.NotificationLevels }, from(6)},
		{"knocking exists", func(r *Rules) bool { return r.Knock }, from(7)},
		{"restricted joins exist", func(r *Rules) bool { return r.Restricted }, from(8)},
		{"knock_restricted exists", func(r *Rules) bool { return r.KnockRestricted }, from(10)},
		{"power levels are integers", func(r *Rules) bool { return r.IntegerPowerLevels }, from(10)},
		{"the sender of create is the creator", func(r *Rules) bool { return r.CreatorIsSender }, from(11)},
		{"redacts is in content", func(r *Rules) bool { return r.RedactsInContent }, from(11)},
		{"creators are privileged", func(r *Rules) bool { return r.PrivilegedCreators }, from(12)},
		{"the room id is a hash", func(r *Rules) bool { return r.RoomIDIsCreateHash }, from(12)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []RoomVersion
			for _, v := range SupportedVersions() {
				if r := rules(t, v); test.has(r) {
					got = append(got, v)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("versions %v, want %v", got, test.want)
			}
		})
	}
	if r, ok := RulesFor("13"); ok || r != nil {
		t.Error("version 13 is supported")
	}
	if rules(t, "11").Version != "11" {
		t.Error("a row has the name of another")
	}
}
