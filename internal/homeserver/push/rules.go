// SPDX-License-Identifier: Apache-2.0

// Package push holds the push rules that every user starts with.
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
	ID         string            `json:"rule_id"`
	Default    bool              `json:"default"`
	Enabled    bool              `json:"enabled"`
	Conditions []Condition       `json:"conditions,omitzero"`
	Pattern    string            `json:"pattern,omitempty"`
	Actions    []json.RawMessage `json:"actions"`
}

// Condition is what must hold for an override or underride rule to match.
type Condition struct {
	Kind    string          `json:"kind"`
	Key     string          `json:"key,omitempty"`
	Pattern *string         `json:"pattern,omitempty"`
	Is      string          `json:"is,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"`
}

// Ruleset is the rules of a user by kind, most important first.
type Ruleset struct {
	Override  []Rule `json:"override"`
	Content   []Rule `json:"content"`
	Room      []Rule `json:"room"`
	Sender    []Rule `json:"sender"`
	Underride []Rule `json:"underride"`
}

// Kind returns the rules of one kind; false if there is no such kind.
func (r *Ruleset) Kind(kind string) ([]Rule, bool) {
	switch kind {
	case "override":
		return r.Override, true
	case "content":
		return r.Content, true
	case "room":
		return r.Room, true
	case "sender":
		return r.Sender, true
	case "underride":
		return r.Underride, true
	default:
		return nil, false
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

// Defaults returns the predefined rules of the specification for a user. The
// rules for legacy mentions are not among them since version 1.17 (MSC4210).
func Defaults(user event.UserID) *Ruleset {
	me := json.RawMessage(event.AppendString(nil, string(user)))
	return &Ruleset{
		Override: []Rule{
			{ID: ".m.rule.master", Default: true, Conditions: []Condition{}, Actions: actions()},
			rule(".m.rule.suppress_notices", actions(), matches("content.msgtype", "m.notice")),
			rule(".m.rule.invite_for_me", actions(notify, soundDefault),
				matches("type", "m.room.member"), matches("content.membership", "invite"), matches("state_key", string(user))),
			rule(".m.rule.member_event", actions(), matches("type", "m.room.member")),
			rule(".m.rule.is_user_mention", actions(notify, soundDefault, highlight),
				Condition{Kind: "event_property_contains", Key: `content.m\.mentions.user_ids`, Value: me}),
			rule(".m.rule.is_room_mention", actions(notify, highlight),
				Condition{Kind: "event_property_is", Key: `content.m\.mentions.room`, Value: json.RawMessage("true")},
				Condition{Kind: "sender_notification_permission", Key: "room"}),
			rule(".m.rule.tombstone", actions(notify, highlight), matches("type", "m.room.tombstone"), matches("state_key", "")),
			rule(".m.rule.reaction", actions(), matches("type", "m.reaction")),
			rule(".m.rule.room.server_acl", actions(), matches("type", "m.room.server_acl"), matches("state_key", "")),
			rule(".m.rule.suppress_edits", actions(),
				Condition{Kind: "event_property_is", Key: `content.m\.relates_to.rel_type`, Value: json.RawMessage(`"m.replace"`)}),
		},
		Content: []Rule{}, Room: []Rule{}, Sender: []Rule{},
		Underride: []Rule{
			rule(".m.rule.call", actions(notify, soundRing), matches("type", "m.call.invite")),
			rule(".m.rule.encrypted_room_one_to_one", actions(notify, soundDefault), twoMembers(), matches("type", "m.room.encrypted")),
			rule(".m.rule.room_one_to_one", actions(notify, soundDefault), twoMembers(), matches("type", "m.room.message")),
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

func rule(id string, actions []json.RawMessage, conditions ...Condition) Rule {
	return Rule{ID: id, Default: true, Enabled: true, Conditions: conditions, Actions: actions}
}

func actions(list ...string) []json.RawMessage {
	all := make([]json.RawMessage, 0, len(list))
	for _, a := range list {
		all = append(all, json.RawMessage(a))
	}
	return all
}

func matches(key, pattern string) Condition {
	return Condition{Kind: "event_match", Key: key, Pattern: &pattern}
}

func twoMembers() Condition { return Condition{Kind: "room_member_count", Is: "2"} }
