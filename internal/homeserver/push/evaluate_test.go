// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// fakeRoom is a room of two, where only @admin:x may notify everybody.
type fakeRoom struct {
	members int
	may     bool
	name    string
	err     error
}

func (r fakeRoom) MemberCount(context.Context) (int, error)        { return r.members, r.err }
func (r fakeRoom) MayNotify(context.Context, string) (bool, error) { return r.may, r.err }
func (r fakeRoom) DisplayName(context.Context, event.UserID) (string, error) {
	return r.name, r.err
}

const user = event.UserID("@alice:x")

// newEvent returns an event of @bob:x in !r:x; members are more members of its JSON.
func newEvent(t *testing.T, typ, content, members string) *event.Event {
	t.Helper()
	rules, ok := event.RulesFor("11")
	if !ok {
		t.Fatal("room version 11 is unknown")
	}
	raw, err := event.Canonical([]byte(`{"type":"`+typ+`","content":`+content+`,"sender":"@bob:x","room_id":"!r:x"`+members+`}`), false)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := rules.Load("$id", raw)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestConditions(t *testing.T) {
	ev := newEvent(t, "m.test", `{"body":"Hello World","n":5,"list":["a",1,true,null],"m.dotted":{"a\\b":"x"},"yes":true,"nothing":null,"text":"5"}`, `,"state_key":"k"`)
	plain := fakeRoom{members: 2, name: "World"}
	for name, c := range map[string]struct {
		condition string
		room      fakeRoom
		want      bool
	}{
		"a type":                                  {`{"kind":"event_match","key":"type","pattern":"m.*"}`, plain, true},
		"a type is matched whole":                 {`{"kind":"event_match","key":"type","pattern":"test"}`, plain, false},
		"a word of the body":                      {`{"kind":"event_match","key":"content.body","pattern":"hello"}`, plain, true},
		"half a word of the body":                 {`{"kind":"event_match","key":"content.body","pattern":"hell"}`, plain, false},
		"the room":                                {`{"kind":"event_match","key":"room_id","pattern":"!r:x"}`, plain, true},
		"the state key":                           {`{"kind":"event_match","key":"state_key","pattern":"k"}`, plain, true},
		"a number is no text":                     {`{"kind":"event_match","key":"content.n","pattern":"5"}`, plain, false},
		"what is absent":                          {`{"kind":"event_match","key":"content.absent","pattern":"*"}`, plain, false},
		"an escaped dot and backslash":            {`{"kind":"event_match","key":"content.m\\.dotted.a\\\\b","pattern":"x"}`, plain, true},
		"a dot that is not escaped":               {`{"kind":"event_match","key":"content.m.dotted.a\\\\b","pattern":"x"}`, plain, false},
		"a pattern is missing":                    {`{"kind":"event_match","key":"type"}`, plain, false},
		"a key is missing":                        {`{"kind":"event_match","pattern":"*"}`, plain, false},
		"a number is":                             {`{"kind":"event_property_is","key":"content.n","value":5}`, plain, true},
		"a text is no number":                     {`{"kind":"event_property_is","key":"content.text","value":5}`, plain, false},
		"a boolean is":                            {`{"kind":"event_property_is","key":"content.yes","value":true}`, plain, true},
		"null is":                                 {`{"kind":"event_property_is","key":"content.nothing","value":null}`, plain, true},
		"null is not absent":                      {`{"kind":"event_property_is","key":"content.absent","value":null}`, plain, false},
		"a property is case-sensitive":            {`{"kind":"event_property_is","key":"content.body","value":"hello world"}`, plain, false},
		"a compound value":                        {`{"kind":"event_property_is","key":"content.list","value":["a"]}`, plain, false},
		"a list contains a text":                  {`{"kind":"event_property_contains","key":"content.list","value":"a"}`, plain, true},
		"a list contains null":                    {`{"kind":"event_property_contains","key":"content.list","value":null}`, plain, true},
		"a list does not contain":                 {`{"kind":"event_property_contains","key":"content.list","value":"1"}`, plain, false},
		"a text contains nothing":                 {`{"kind":"event_property_contains","key":"content.body","value":"Hello World"}`, plain, false},
		"the display name":                        {`{"kind":"contains_display_name"}`, plain, true},
		"another display name":                    {`{"kind":"contains_display_name"}`, fakeRoom{name: "Wor"}, false},
		"a display name is no pattern":            {`{"kind":"contains_display_name"}`, fakeRoom{name: "*"}, false},
		"no display name":                         {`{"kind":"contains_display_name"}`, fakeRoom{}, false},
		"two members":                             {`{"kind":"room_member_count","is":"2"}`, plain, true},
		"exactly two members":                     {`{"kind":"room_member_count","is":"==2"}`, plain, true},
		"fewer than two members":                  {`{"kind":"room_member_count","is":"<2"}`, plain, false},
		"two members at most":                     {`{"kind":"room_member_count","is":"<=2"}`, plain, true},
		"more than one member":                    {`{"kind":"room_member_count","is":">1"}`, plain, true},
		"three members at least":                  {`{"kind":"room_member_count","is":">=3"}`, plain, false},
		"a count that is none":                    {`{"kind":"room_member_count","is":"=<2"}`, plain, false},
		"a count without a number":                {`{"kind":"room_member_count","is":"<"}`, plain, false},
		"no count":                                {`{"kind":"room_member_count"}`, plain, false},
		"a sender who may notify":                 {`{"kind":"sender_notification_permission","key":"room"}`, fakeRoom{may: true}, true},
		"a sender who may not notify":             {`{"kind":"sender_notification_permission","key":"room"}`, plain, false},
		"a kind that does not exist yet":          {`{"kind":"org.example","key":"type"}`, plain, false},
		"a kind of another case":                  {`{"KIND":"event_match","key":"type","pattern":"*"}`, plain, false},
		"a key of the same name in another place": {`{"kind":"event_match","key":"body","pattern":"*"}`, plain, false},
	} {
		q := &question{subject: newSubject(ev, c.room), user: user, budget: maxSteps}
		if got, err := newCondition([]byte(c.condition))(t.Context(), q); err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestTheDefaultRules(t *testing.T) {
	two, many, admin := fakeRoom{members: 2}, fakeRoom{members: 3}, fakeRoom{members: 3, may: true}
	for name, c := range map[string]struct {
		typ, content, more string
		room               fakeRoom
		notify, highlight  bool
		sound              string
	}{
		"a message":                     {"m.room.message", `{"body":"x"}`, "", many, true, false, ""},
		"a message between two":         {"m.room.message", `{"body":"x"}`, "", two, true, false, `"default"`},
		"an encrypted message":          {"m.room.encrypted", `{}`, "", many, true, false, ""},
		"an encrypted one between two":  {"m.room.encrypted", `{}`, "", two, true, false, `"default"`},
		"a notice":                      {"m.room.message", `{"msgtype":"m.notice"}`, "", two, false, false, ""},
		"a notice with a mention":       {"m.room.message", `{"msgtype":"m.notice","m.mentions":{"user_ids":["@alice:x"]}}`, "", two, false, false, ""},
		"a mention":                     {"m.room.message", `{"m.mentions":{"user_ids":["@carol:x","@alice:x"]}}`, "", many, true, true, `"default"`},
		"a mention of another":          {"m.room.message", `{"m.mentions":{"user_ids":["@carol:x"]}}`, "", many, true, false, ""},
		"a name in the text":            {"m.room.message", `{"body":"alice"}`, "", many, true, false, ""},
		"everybody, by an admin":        {"m.room.message", `{"m.mentions":{"room":true}}`, "", admin, true, true, ""},
		"everybody, by somebody":        {"m.room.message", `{"m.mentions":{"room":true}}`, "", many, true, false, ""},
		"a reaction":                    {"m.reaction", `{}`, "", two, false, false, ""},
		"an edit":                       {"m.room.message", `{"m.relates_to":{"rel_type":"m.replace","event_id":"$x"}}`, "", two, false, false, ""},
		"an edit with a mention":        {"m.room.message", `{"m.mentions":{"user_ids":["@alice:x"]},"m.relates_to":{"rel_type":"m.replace"}}`, "", two, true, true, `"default"`},
		"the end of the room":           {"m.room.tombstone", `{}`, `,"state_key":""`, many, true, true, ""},
		"a tombstone that is no state":  {"m.room.tombstone", `{}`, "", many, false, false, ""},
		"an invite":                     {"m.room.member", `{"membership":"invite"}`, `,"state_key":"@alice:x"`, many, true, false, `"default"`},
		"an invite of another":          {"m.room.member", `{"membership":"invite"}`, `,"state_key":"@carol:x"`, many, false, false, ""},
		"a join":                        {"m.room.member", `{"membership":"join"}`, `,"state_key":"@carol:x"`, many, false, false, ""},
		"a call":                        {"m.call.invite", `{}`, "", many, true, false, `"ring"`},
		"a server ACL":                  {"m.room.server_acl", `{}`, `,"state_key":""`, many, false, false, ""},
		"a topic":                       {"m.room.topic", `{}`, `,"state_key":""`, many, false, false, ""},
		"what does not exist yet":       {"org.example", `{}`, "", two, false, false, ""},
		"mentions that are no list":     {"m.room.message", `{"m.mentions":{"user_ids":"@alice:x"}}`, "", many, true, false, ""},
		"mentions of everybody as text": {"m.room.message", `{"m.mentions":{"room":"true"}}`, "", admin, true, false, ""},
	} {
		s := newSubject(newEvent(t, c.typ, c.content, c.more), c.room)
		got, err := compile(Defaults(user)).evaluate(t.Context(), s, user)
		if err != nil || got.notify != c.notify || got.highlight != c.highlight || string(got.sound) != c.sound {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if c.typ == "m.room.member" {
			continue // what concerns invited users alone
		}
		all, err := newGeneral().evaluate(t.Context(), s, func(string) bool { return true })
		mentioned := false
		for _, u := range all.mentioned {
			mentioned = mentioned || u == string(user)
		}
		if err != nil || (all.notify || mentioned) != c.notify || (all.highlight || mentioned) != c.highlight {
			t.Errorf("%s, for everybody together: %+v, %v", name, all, err)
		}
	}
}

func TestNobodyIsNotifiedOfOnesOwnEvents(t *testing.T) {
	s := newSubject(newEvent(t, "m.room.message", `{"m.mentions":{"user_ids":["@bob:x"]}}`, ""), fakeRoom{members: 2})
	if o, err := compile(Defaults("@bob:x")).evaluate(t.Context(), s, "@bob:x"); err != nil || o.notify {
		t.Errorf("notified: %+v, %v", o, err)
	}
	all, err := newGeneral().evaluate(t.Context(), s, func(string) bool { return true })
	if err != nil || len(all.mentioned) != 0 {
		t.Errorf("mentioned oneself: %+v, %v", all, err)
	}
}

func TestTheMostImportantRuleDecides(t *testing.T) {
	quiet, loud := []json.RawMessage{}, []json.RawMessage{[]byte(`"notify"`), []byte(`{"set_tweak":"highlight","value":true}`)}
	always := []json.RawMessage{}
	message := newEvent(t, "m.room.message", `{"body":"cake"}`, "")
	for name, c := range map[string]struct {
		change            func(r *Ruleset)
		notify, highlight bool
	}{
		"an override over a content rule": {func(r *Ruleset) {
			r.Override = append([]Rule{{ID: "o", Enabled: true, Conditions: always, Actions: quiet}}, r.Override...)
			r.Content = []Rule{{ID: "c", Enabled: true, Pattern: "cake", Actions: loud}}
		}, false, false},
		"a content rule over a room rule": {func(r *Ruleset) {
			r.Content = []Rule{{ID: "c", Enabled: true, Pattern: "cake", Actions: loud}}
			r.Room = []Rule{{ID: "!r:x", Enabled: true, Actions: quiet}}
		}, true, true},
		"a room rule over a sender rule": {func(r *Ruleset) {
			r.Room = []Rule{{ID: "!r:x", Enabled: true, Actions: quiet}}
			r.Sender = []Rule{{ID: "@bob:x", Enabled: true, Actions: loud}}
		}, false, false},
		"a sender rule over an underride": {func(r *Ruleset) {
			r.Sender = []Rule{{ID: "@bob:x", Enabled: true, Actions: quiet}}
		}, false, false},
		"a rule that is switched off": {func(r *Ruleset) {
			r.Room = []Rule{{ID: "!r:x", Actions: quiet}}
		}, true, false},
		"a rule of another room": {func(r *Ruleset) {
			r.Room = []Rule{{ID: "!other:x", Enabled: true, Actions: quiet}}
		}, true, false},
		"the master rule": {func(r *Ruleset) { r.Override[0].Enabled = true }, false, false},
		"a highlight that is taken back": {func(r *Ruleset) {
			r.Content = []Rule{{ID: "c", Enabled: true, Pattern: "cake", Actions: actions(notify, `{"set_tweak":"highlight","value":false}`)}}
		}, true, false},
		"a highlight without a notification": {func(r *Ruleset) {
			r.Content = []Rule{{ID: "c", Enabled: true, Pattern: "cake", Actions: actions(highlight)}}
		}, false, false},
		"what was an action once": {func(r *Ruleset) {
			r.Content = []Rule{{ID: "c", Enabled: true, Pattern: "cake", Actions: actions(`"dont_notify"`, `"coalesce"`)}}
		}, false, false},
	} {
		rules := Defaults(user)
		c.change(rules)
		o, err := compile(rules).evaluate(t.Context(), newSubject(message, fakeRoom{members: 3}), user)
		if err != nil || o.notify != c.notify || o.highlight != c.highlight {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestAnErrorIsNoOutcome(t *testing.T) {
	failure := errors.New("no database")
	s := newSubject(newEvent(t, "m.room.message", `{}`, ""), fakeRoom{err: failure})
	if _, err := compile(Defaults(user)).evaluate(t.Context(), s, user); !errors.Is(err, failure) {
		t.Errorf("for one user: %v", err)
	}
	s = newSubject(newEvent(t, "m.room.message", `{"m.mentions":{"room":true}}`, ""), fakeRoom{err: failure})
	if _, err := newGeneral().evaluate(t.Context(), s, func(string) bool { return true }); !errors.Is(err, failure) {
		t.Errorf("for all: %v", err)
	}
}
