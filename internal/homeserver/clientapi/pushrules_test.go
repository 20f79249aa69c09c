// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestPushRulesAreReadable(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	rules := client + "/pushrules/"
	if all, ok := alice.Get(rules).OK().Value("global", "override").([]any); !ok || len(all) != 10 {
		t.Errorf("override rules: %v", all)
	}
	if all, ok := alice.Get(rules + "global/").OK().Value("underride").([]any); !ok || len(all) != 5 {
		t.Errorf("underride rules: %v", all)
	}
	alice.Get(rules + "global/override/.m.rule.master").OK().
		Equal(`{"rule_id":".m.rule.master","default":true,"enabled":false,"conditions":[],"actions":[]}`)
	alice.Get(rules + "global/override/.m.rule.master/enabled").OK().Equal(`{"enabled":false}`)
	alice.Get(rules + "global/underride/.m.rule.message/actions").OK().Equal(`{"actions":["notify"]}`)
	alice.Get(rules+"global/override/.m.rule.none").Refused(404, "M_NOT_FOUND")
	alice.Get(rules+"global/sideways/.m.rule.master").Refused(400, "M_INVALID_PARAM")
	if alice.Get(client+"/user/{user}/account_data/m.push_rules").OK().Value("global") == nil {
		t.Error("m.push_rules is not in the account data")
	}
}
