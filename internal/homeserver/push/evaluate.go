// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// outcome is what a rule says to do.
type outcome struct {
	notify, highlight bool
	// sound is the JSON value of the sound tweak, nil for none.
	sound json.RawMessage
	// tweaks are all of them by name.
	tweaks map[string]json.RawMessage
	// actions are the actions as the rule has them.
	actions []json.RawMessage
}

// silence is the outcome when no rule matches.
var silence = &outcome{} //nolint:gochecknoglobals // a constant

// newOutcome reads actions. What is no action of the specification does nothing.
//
// https://spec.matrix.org/v1.19/client-server-api/#actions
func newOutcome(actions []json.RawMessage) *outcome {
	o := &outcome{actions: actions, tweaks: map[string]json.RawMessage{}}
	for _, raw := range actions {
		if name, ok := event.StringValue(raw); ok {
			o.notify = o.notify || name == "notify"
			continue
		}
		action, _ := event.ParseObject(raw)
		tweak, ok := action.String("set_tweak")
		if !ok {
			continue
		}
		value, given := action.Get("value")
		if !given && tweak == "highlight" {
			value = []byte("true")
		} else if !given {
			continue
		}
		o.tweaks[tweak] = value
	}
	o.highlight = o.notify && string(o.tweaks["highlight"]) == "true"
	o.sound = o.tweaks["sound"]
	return o
}

// compiledRule is a rule in force.
type compiledRule struct {
	id         string
	conditions []condition
	outcome    *outcome
}

func (r *compiledRule) matches(ctx context.Context, q *question) (bool, error) {
	for _, holds := range r.conditions {
		if ok, err := holds(ctx, q); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// compiled is a rule set that is ready for events. It is read only.
type compiled struct {
	before []compiledRule // override and content
	// byRoom and bySender need no search: at most one rule of them applies.
	byRoom, bySender map[string]*outcome
	after            []compiledRule // underride
}

// compile prepares a rule set; rules that are switched off are left out.
func compile(rules *Ruleset) *compiled {
	c := &compiled{byRoom: map[string]*outcome{}, bySender: map[string]*outcome{}}
	for _, r := range rules.Override {
		c.before = appendRule(c.before, r)
	}
	for _, r := range rules.Content {
		if r.Enabled {
			holds := match(newPath(bodyPath), newGlob(r.Pattern))
			c.before = append(c.before, compiledRule{r.ID, []condition{holds}, newOutcome(r.Actions)})
		}
	}
	for _, r := range rules.Room {
		if r.Enabled {
			c.byRoom[r.ID] = newOutcome(r.Actions)
		}
	}
	for _, r := range rules.Sender {
		if r.Enabled {
			c.bySender[r.ID] = newOutcome(r.Actions)
		}
	}
	for _, r := range rules.Underride {
		c.after = appendRule(c.after, r)
	}
	return c
}

func appendRule(all []compiledRule, r Rule) []compiledRule {
	if !r.Enabled {
		return all
	}
	compiled := compiledRule{id: r.ID, outcome: newOutcome(r.Actions)}
	for _, raw := range r.Conditions {
		compiled.conditions = append(compiled.conditions, newCondition(raw))
	}
	return append(all, compiled)
}

// evaluate returns what the first rule that matches says, never nil. Nobody
// is notified of one's own events.
//
// https://spec.matrix.org/v1.19/client-server-api/#push-rules
func (c *compiled) evaluate(ctx context.Context, s *subject, user event.UserID) (*outcome, error) {
	if s.Sender() == user {
		return silence, nil
	}
	q := &question{subject: s, user: user, budget: maxSteps}
	found, err := first(ctx, q, c.before)
	if found != nil || err != nil {
		return found, err
	}
	if o := c.byRoom[string(s.RoomID())]; o != nil {
		return o, nil
	}
	if o := c.bySender[string(s.Sender())]; o != nil {
		return o, nil
	}
	found, err = first(ctx, q, c.after)
	if found == nil {
		found = silence
	}
	return found, err
}

// first returns the outcome of the first rule that matches, nil if none does.
func first(ctx context.Context, q *question, rules []compiledRule) (*outcome, error) {
	for i := range rules {
		ok, err := rules[i].matches(ctx, q)
		if err != nil {
			return nil, err
		}
		if ok {
			return rules[i].outcome, nil
		}
	}
	return nil, nil
}

// general is what the predefined rules say to everybody alike.
type general struct {
	before, after *compiled
	mention       *outcome
}

// general outcomes of an event.
type generalOutcome struct {
	*outcome
	// mentioned are the local users to whom mention applies instead.
	mentioned []string
}

// newGeneral splits the predefined rules at the one that says something else
// to each user. The rule for invitations concerns only users who are not in
// the room, and those are evaluated one by one. The rules for rooms of two
// differ from the rules for all rooms in the sound alone, which counts do not know.
func newGeneral() *general {
	g := &general{}
	rules := Defaults("")
	first, rest := &Ruleset{}, &Ruleset{}
	into := first
	for _, r := range rules.Underride {
		if r.ID != ruleOneToOne && r.ID != ruleEncryptedOneToOne {
			rest.Underride = append(rest.Underride, r)
		}
	}
	for _, r := range rules.Override {
		switch r.ID {
		case ruleInviteForMe:
		case ruleUserMention:
			g.mention, into = newOutcome(r.Actions), rest
		default:
			into.Override = append(into.Override, r)
		}
	}
	g.before, g.after = compile(first), compile(rest)
	return g
}

// evaluate applies the predefined rules; local tells which users are ours.
func (g *general) evaluate(ctx context.Context, s *subject, local func(user string) bool) (generalOutcome, error) {
	q := &question{subject: s, budget: maxSteps}
	found, err := first(ctx, q, g.before.before)
	if err != nil || found != nil {
		return generalOutcome{outcome: found}, err
	}
	o, err := g.after.evaluate(ctx, s, "")
	if err != nil {
		return generalOutcome{}, err
	}
	list, _ := s.value(newPath(`content.m\.mentions.user_ids`))
	var mentioned []string
	event.EachElement(list, func(raw []byte) bool {
		if user, ok := event.StringValue(raw); ok && local(user) && user != string(s.Sender()) {
			mentioned = append(mentioned, user)
		}
		return true
	})
	return generalOutcome{o, mentioned}, nil
}
