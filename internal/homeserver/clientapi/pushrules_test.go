// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const pushRules = client + "/pushrules/global/"

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
	s.Client().Get(rules).Refused(401, "M_MISSING_TOKEN")
	s.Client().Put(pushRules+"content/x", `{"actions":[],"pattern":"x"}`).Refused(401, "M_MISSING_TOKEN")
}

// ruleIDs lists the rules of a kind in their order, without predefined ones.
func ruleIDs(t *testing.T, c *homeservertest.Client, kind string) []string {
	t.Helper()
	all, _ := c.Get(client + "/pushrules/global/").OK().Value(kind).([]any)
	ids := []string{}
	for _, r := range all {
		rule, _ := r.(map[string]any)
		if id, _ := rule["rule_id"].(string); !strings.HasPrefix(id, ".m.rule") {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestPushRulesAreMadeChangedAndDeleted(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		cake := pushRules + "content/cake%20lie"
		alice.Put(cake, `{"actions":["notify",{"set_tweak":"sound","value":"bing"}],"pattern":"cake*lie","conditions":[{"kind":"x"}]}`).OK().Equal(`{}`)
		alice.Get(cake).OK().Equal(`{"rule_id":"cake lie","default":false,"enabled":true,"pattern":"cake*lie",
			"actions":["notify",{"set_tweak":"sound","value":"bing"}]}`)
		bob.Get(cake).Refused(404, "M_NOT_FOUND")
		alice.Put(cake+"/enabled", `{"enabled":false}`).OK().Equal(`{}`)
		alice.Put(cake, `{"actions":[],"pattern":"pie"}`).OK()
		alice.Get(cake).OK().Equal(`{"rule_id":"cake lie","default":false,"enabled":false,"pattern":"pie","actions":[]}`)
		alice.Put(cake+"/actions", `{"actions":["notify"]}`).OK().Equal(`{}`)
		alice.Get(cake + "/actions").OK().Equal(`{"actions":["notify"]}`)
		bob.Do("DELETE", cake, nil).Refused(404, "M_NOT_FOUND")
		alice.Do("DELETE", cake, nil).OK().Equal(`{}`)
		alice.Get(cake).Refused(404, "M_NOT_FOUND")
		alice.Do("DELETE", cake, nil).Refused(404, "M_NOT_FOUND")

		room := pushRules + "room/" + url.PathEscape("!abc:"+homeservertest.ServerName)
		alice.Put(room, `{"actions":["dont_notify"]}`).OK()
		alice.Get(room).OK().Equal(`{"rule_id":"!abc:` + homeservertest.ServerName + `","default":false,"enabled":true,"actions":["dont_notify"]}`)
		alice.Put(pushRules+"underride/u", `{"actions":["notify"],"conditions":[{"kind":"org.example.new","key":1}]}`).OK()
		alice.Get(pushRules + "underride/u").OK().
			Equal(`{"rule_id":"u","default":false,"enabled":true,"actions":["notify"],"conditions":[{"kind":"org.example.new","key":1}]}`)
		alice.Put(pushRules+"override/o", `{"actions":[]}`).OK()
		alice.Get(pushRules + "override/o").OK().Equal(`{"rule_id":"o","default":false,"enabled":true,"actions":[],"conditions":[]}`)
		s.Restart()
		alice.Get(pushRules + "override/o/enabled").OK().Equal(`{"enabled":true}`)
	})
}

func TestPredefinedPushRulesCanBeChangedButNotDeleted(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		rule := pushRules + "underride/.m.rule.message"
		alice.Put(rule+"/enabled", `{"enabled":false}`).OK()
		alice.Get(rule + "/enabled").OK().Equal(`{"enabled":false}`)
		alice.Get(rule + "/actions").OK().Equal(`{"actions":["notify"]}`)
		alice.Put(rule+"/actions", `{"actions":[]}`).OK()
		alice.Get(rule).OK().Equal(`{"rule_id":".m.rule.message","default":true,"enabled":false,"actions":[],
			"conditions":[{"kind":"event_match","key":"type","pattern":"m.room.message"}]}`)
		alice.Do("DELETE", rule, nil).Refused(404, "M_NOT_FOUND")
		alice.Put(pushRules+"underride/.m.rule.none/enabled", `{"enabled":false}`).Refused(404, "M_NOT_FOUND")
		alice.Put(pushRules+"override/.m.rule.message/enabled", `{"enabled":false}`).Refused(404, "M_NOT_FOUND")
		alice.Put(pushRules+"override/.m.rule.master/enabled", `{"enabled":true}`).OK()
		alice.Put(pushRules+"override/mine", `{"actions":[]}`).OK()
		all, _ := alice.Get(client + "/pushrules/global").OK().Value("override").([]any)
		first, _ := all[0].(map[string]any)
		second, _ := all[1].(map[string]any)
		if first["rule_id"] != ".m.rule.master" || first["enabled"] != true || second["rule_id"] != "mine" || len(all) != 11 {
			t.Errorf("override rules begin with %v, %v of %d", first, second, len(all))
		}
	})
}

func TestPushRulesAreOrdered(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		put := func(id, where string) {
			t.Helper()
			alice.Put(pushRules+"content/"+id+where, `{"actions":[],"pattern":"x"}`).OK()
		}
		check := func(want ...string) {
			t.Helper()
			if got := ruleIDs(t, alice, "content"); !slices.Equal(got, want) {
				t.Errorf("rules are %v, want %v", got, want)
			}
		}
		put("a", "")
		put("b", "")
		check("b", "a")
		put("c", "?before=a")
		check("b", "c", "a")
		put("d", "?after=a")
		check("b", "c", "a", "d")
		put("e", "?after=b")
		check("b", "e", "c", "a", "d")
		put("f", "?before=b&after=d")
		check("f", "b", "e", "c", "a", "d")
		put("d", "?before=f")
		check("d", "f", "b", "e", "c", "a")
		put("b", "")
		check("d", "f", "b", "e", "c", "a")
		put("e", "?before=e")
		check("d", "f", "b", "e", "c", "a")
		alice.Put(pushRules+"sender/z?before=a", `{"actions":[]}`).Refused(400, "M_UNKNOWN")
	})
}

func TestThereIsAlwaysRoomBetweenTwoPushRules(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		want := []string{"top", "bottom"}
		alice.Put(pushRules+"content/bottom", `{"actions":[],"pattern":"x"}`).OK()
		alice.Put(pushRules+"content/top", `{"actions":[],"pattern":"x"}`).OK()
		for i := range 50 {
			id, where, at := fmt.Sprintf("r%d", i), "?after=top", 1
			if i%2 == 1 {
				where, at = "?before=bottom", len(want)-1
			}
			alice.Put(pushRules+"content/"+id+where, `{"actions":[],"pattern":"x"}`).OK()
			want = slices.Insert(want, at, id)
		}
		if got := ruleIDs(t, alice, "content"); !slices.Equal(got, want) {
			t.Errorf("rules are %v, want %v", got, want)
		}
	})
}

func TestH62PushRulesThatCannotBe(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		valid := `{"actions":["notify"],"pattern":"x"}`
		for name, c := range map[string]struct{ path, body, errcode string }{
			"an id with a dot":             {"content/.x", valid, "M_INVALID_PARAM"},
			"a predefined rule":            {"underride/.m.rule.message", valid, "M_INVALID_PARAM"},
			"an id with a slash":           {"content/a%2Fb", valid, "M_INVALID_PARAM"},
			"an id with a backslash":       {"content/a%5Cb", valid, "M_INVALID_PARAM"},
			"an id that is too long":       {"content/" + strings.Repeat("x", 301), valid, "M_INVALID_PARAM"},
			"a kind that does not exist":   {"sideways/x", valid, "M_INVALID_PARAM"},
			"before a rule that is absent": {"content/x?before=y", valid, "M_UNKNOWN"},
			"after a rule that is absent":  {"content/x?after=y", valid, "M_UNKNOWN"},
			"before a predefined rule":     {"underride/x?before=.m.rule.message", valid, "M_UNKNOWN"},
			"no actions":                   {"content/x", `{"pattern":"x"}`, "M_MISSING_PARAM"},
			"actions that are no list":     {"content/x", `{"actions":"notify","pattern":"x"}`, "M_BAD_JSON"},
			"an action that is unknown":    {"content/x", `{"actions":["explode"],"pattern":"x"}`, "M_INVALID_PARAM"},
			"an action that is a number":   {"content/x", `{"actions":[1],"pattern":"x"}`, "M_INVALID_PARAM"},
			"an action without a tweak":    {"content/x", `{"actions":[{"value":1}],"pattern":"x"}`, "M_INVALID_PARAM"},
			"no pattern":                   {"content/x", `{"actions":[]}`, "M_MISSING_PARAM"},
			"a pattern that is a number":   {"content/x", `{"actions":[],"pattern":1}`, "M_BAD_JSON"},
			"conditions that are no list":  {"override/x", `{"actions":[],"conditions":{}}`, "M_BAD_JSON"},
			"a condition without a kind":   {"override/x", `{"actions":[],"conditions":[{"key":"type"}]}`, "M_BAD_JSON"},
			"a rule of two kilobytes":      {"content/x", `{"actions":[],"pattern":"` + strings.Repeat("x", 2000) + `"}`, "M_INVALID_PARAM"},
			"a list":                       {"content/x", `[]`, "M_BAD_JSON"},
			"what is not JSON":             {"content/x", `{`, "M_NOT_JSON"},
			"enabled that is missing":      {"content/x/enabled", `{}`, "M_MISSING_PARAM"},
			"enabled that is text":         {"content/x/enabled", `{"enabled":"yes"}`, "M_BAD_JSON"},
			"actions that are missing":     {"content/x/actions", `{}`, "M_MISSING_PARAM"},
			"actions that are none":        {"content/x/actions", `{"actions":{}}`, "M_BAD_JSON"},
		} {
			t.Run(name, func(t *testing.T) {
				alice.With(t).Put(pushRules+c.path, c.body).Refused(400, c.errcode)
			})
		}
		alice.Put(pushRules+"content/x/enabled", `{"enabled":true}`).Refused(404, "M_NOT_FOUND")
		alice.Put(pushRules+"content/x/actions", `{"actions":[]}`).Refused(404, "M_NOT_FOUND")
		if all := ruleIDs(t, alice, "content"); len(all) != 0 {
			t.Errorf("rules were made all the same: %v", all)
		}
	})
}

func TestChangedPushRulesAreSynced(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		since := alice.Get(client + "/sync").OK().String("next_batch")
		alice.Put(pushRules+"content/x", `{"actions":[],"pattern":"x"}`).OK()
		for _, path := range []string{"/sync?since=" + since, "/sync"} {
			var answer struct {
				AccountData struct {
					Events []struct {
						Type    string
						Content struct {
							Global struct {
								Content []struct {
									ID string `json:"rule_id"`
								}
							}
						}
					}
				} `json:"account_data"`
			}
			alice.Get(client + path).OK().JSON(&answer)
			events := answer.AccountData.Events
			if len(events) != 1 || events[0].Type != "m.push_rules" || len(events[0].Content.Global.Content) != 1 {
				t.Errorf("%s tells %+v", path, events)
			}
		}
	})
}
