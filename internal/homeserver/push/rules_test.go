// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/push"
)

func TestDefaultRulesAreThoseOfTheSpecification(t *testing.T) {
	rules := push.Defaults("@alice:example.com")
	want := map[string][]string{
		"override": {
			".m.rule.master", ".m.rule.suppress_notices", ".m.rule.invite_for_me", ".m.rule.member_event", ".m.rule.is_user_mention",
			".m.rule.is_room_mention", ".m.rule.tombstone", ".m.rule.reaction", ".m.rule.room.server_acl", ".m.rule.suppress_edits",
		},
		"content": {}, "room": {}, "sender": {},
		"underride": {
			".m.rule.call", ".m.rule.encrypted_room_one_to_one", ".m.rule.room_one_to_one", ".m.rule.message", ".m.rule.encrypted",
		},
	}
	for kind, ids := range want {
		got, ok := rules.Kind(kind)
		if !ok || len(got) != len(ids) {
			t.Fatalf("%s has %d rules, want %d", kind, len(got), len(ids))
		}
		for i, id := range ids {
			if got[i].ID != id || !got[i].Default || got[i].Enabled != (id != ".m.rule.master") {
				t.Errorf("rule %d of %s is %+v, want %s", i, kind, got[i], id)
			}
		}
	}
	if _, ok := rules.Kind("nonsense"); ok {
		t.Error("there is a kind that does not exist")
	}
}

func TestRulesNameTheUser(t *testing.T) {
	rules := push.Defaults(`@al"ice:example.com`)
	for id, want := range map[string]string{
		".m.rule.is_user_mention": `"value":"@al\"ice:example.com"`,
		".m.rule.invite_for_me":   `"pattern":"@al\"ice:example.com"`,
		".m.rule.tombstone":       `"key":"state_key","pattern":""`,
		".m.rule.master":          `"conditions":[]`,
	} {
		rule, ok := rules.Find("override", id)
		raw, err := json.Marshal(rule)
		if err != nil || !ok || !strings.Contains(string(raw), want) {
			t.Errorf("%s is %s, %v, want %s in it", id, raw, err, want)
		}
	}
}

func TestAccountDataHoldsTheGlobalRuleset(t *testing.T) {
	raw, err := push.Defaults("@a:x").AccountData()
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Global map[string][]map[string]any `json:"global"`
	}
	if err := json.Unmarshal(raw, &content); err != nil || len(content.Global) != 5 || len(content.Global["override"]) != 10 {
		t.Errorf("content is %s, %v", raw, err)
	}
}
