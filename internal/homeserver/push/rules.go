// SPDX-License-Identifier: Apache-2.0

// Package push decides what users are notified of. It keeps their push rules,
// evaluates them, counts what is unread and tells push gateways.
//
// https://spec.matrix.org/v1.19/client-server-api/#push-rules
package push

import (
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Rule is one push rule.
type Rule struct {
	ID      string `json:"rule_id"`
	Default bool   `json:"default"`
	Enabled bool   `json:"enabled"`
	// Conditions is nil for rules of kinds that have none.
	Conditions []json.RawMessage `json:"conditions,omitzero"`
	// Pattern is of content rules.
	Pattern string            `json:"pattern,omitempty"`
	Actions []json.RawMessage `json:"actions"`
}

// Ruleset is the rules of a user by kind, most important first.
type Ruleset struct {
	Override  []Rule `json:"override"`
	Content   []Rule `json:"content"`
	Room      []Rule `json:"room"`
	Sender    []Rule `json:"sender"`
	Underride []Rule `json:"underride"`
}

// The kinds of rules, most important first.
const (
	kindOverride  = "override"
	kindContent   = "content"
	kindRoom      = "room"
	kindSender    = "sender"
	kindUnderride = "underride"
)

// Kind returns the rules of one kind; false if there is no such kind.
func (r *Ruleset) Kind(kind string) ([]Rule, bool) {
	list := r.list(kind)
	if list == nil {
		return nil, false
	}
	return *list, true
}

// list returns where the rules of a kind are, nil if there is no such kind.
func (r *Ruleset) list(kind string) *[]Rule {
	switch kind {
	case kindOverride:
		return &r.Override
	case kindContent:
		return &r.Content
	case kindRoom:
		return &r.Room
	case kindSender:
		return &r.Sender
	case kindUnderride:
		return &r.Underride
	default:
		return nil
	}
}

// Find returns the rule of a kind and an id.
func (r *Ruleset) Find(kind, id string) (Rule, bool) {
	rules, _ := r.Kind(kind)
	for _, rule := range rules {
		if rule.ID == id {
			return rule, true
		}
	}
	return Rule{}, false
}

// AccountData returns the content of the m.push_rules account data.
func (r *Ruleset) AccountData() (json.RawMessage, error) {
	raw, err := json.Marshal(struct {
		Global *Ruleset `json:"global"`
	}{r})
	if err != nil {
		return nil, fmt.Errorf("encode push rules: %w", err)
	}
	return raw, nil
}

// The predefined rules whose outcome depends on whom it is for.
const (
	ruleMaster      = ".m.rule.master"
	ruleInviteForMe = ".m.rule.invite_for_me"
	ruleUserMention = ".m.rule.is_user_mention"

	ruleOneToOne          = ".m.rule.room_one_to_one"
	ruleEncryptedOneToOne = ".m.rule.encrypted_room_one_to_one"
)

// Defaults returns the predefined rules of the specification for a user. The
// rules for legacy mentions are not among them since version 1.17 (MSC4210).
func Defaults(user event.UserID) *Ruleset {
	return &Ruleset{
		Override: []Rule{
			{ID: ruleMaster, Default: true, Conditions: []json.RawMessage{}, Actions: actions()},
			rule(".m.rule.suppress_notices", actions(), matches("content.msgtype", "m.notice")),
			rule(ruleInviteForMe, actions(notify, soundDefault),
				matches("type", "m.room.member"), matches("content.membership", "invite"), matches("state_key", string(user))),
			rule(".m.rule.member_event", actions(), matches("type", "m.room.member")),
			rule(ruleUserMention, actions(notify, soundDefault, highlight),
				holds(conditionPropertyContains, `content.m\.mentions.user_ids`, text(string(user)))),
			rule(".m.rule.is_room_mention", actions(notify, highlight),
				holds(conditionPropertyIs, `content.m\.mentions.room`, "true"),
				json.RawMessage(`{"kind":"sender_notification_permission","key":"room"}`)),
			rule(".m.rule.tombstone", actions(notify, highlight), matches("type", "m.room.tombstone"), matches("state_key", "")),
			rule(".m.rule.reaction", actions(), matches("type", "m.reaction")),
			rule(".m.rule.room.server_acl", actions(), matches("type", "m.room.server_acl"), matches("state_key", "")),
			rule(".m.rule.suppress_edits", actions(),
				holds(conditionPropertyIs, `content.m\.relates_to.rel_type`, `"m.replace"`)),
		},
		Content: []Rule{}, Room: []Rule{}, Sender: []Rule{},
		Underride: []Rule{
			rule(".m.rule.call", actions(notify, soundRing), matches("type", "m.call.invite")),
			rule(ruleEncryptedOneToOne, actions(notify, soundDefault), twoMembers(), matches("type", "m.room.encrypted")),
			rule(ruleOneToOne, actions(notify, soundDefault), twoMembers(), matches("type", "m.room.message")),
			rule(".m.rule.message", actions(notify), matches("type", "m.room.message")),
			rule(".m.rule.encrypted", actions(notify), matches("type", "m.room.encrypted")),
		},
	}
}

const (
	notify       = `"notify"`
	soundDefault = `{"set_tweak":"sound","value":"default"}`
	soundRing    = `{"set_tweak":"sound","value":"ring"}`
	highlight    = `{"set_tweak":"highlight"}`
)

func rule(id string, actions []json.RawMessage, conditions ...json.RawMessage) Rule {
	return Rule{ID: id, Default: true, Enabled: true, Conditions: conditions, Actions: actions}
}

func actions(list ...string) []json.RawMessage {
	all := make([]json.RawMessage, 0, len(list))
	for _, a := range list {
		all = append(all, json.RawMessage(a))
	}
	return all
}

func text(s string) string { return string(event.AppendString(nil, s)) }

func matches(key, pattern string) json.RawMessage {
	return json.RawMessage(`{"kind":"event_match","key":` + text(key) + `,"pattern":` + text(pattern) + `}`)
}

// holds is a condition that compares a property of the event with a JSON value.
func holds(kind, key, value string) json.RawMessage {
	return json.RawMessage(`{"kind":"` + kind + `","key":` + text(key) + `,"value":` + value + `}`)
}

func twoMembers() json.RawMessage { return json.RawMessage(`{"kind":"room_member_count","is":"2"}`) }
