// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// maxRules is how many rules a user may have.
	maxRules = 10_000
	// maxRuleIDBytes is the longest id of a rule.
	maxRuleIDBytes = 300
	// maxRuleBytes is how large actions, conditions and pattern may be together.
	maxRuleBytes = 1024
)

// RuleKey names a rule of a user.
type RuleKey struct {
	User     event.UserID
	Kind, ID string
}

func (k RuleKey) row() store.PushRule {
	return store.PushRule{UserID: string(k.User), Kind: k.Kind, ID: k.ID}
}

// NewRule is what a client makes a rule of.
type NewRule struct {
	// Body is a JSON object with actions, and conditions or a pattern.
	Body json.RawMessage
	// Before and After name a rule that is to be the next less or the next more important one.
	Before, After string
}

// Rules returns the rules of a user, predefined ones included.
func (s *Service) Rules(ctx context.Context, user event.UserID) (*Ruleset, error) {
	rows, err := s.store.PushRules(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read push rules: %w", err)
	}
	return ruleset(user, rows), nil
}

// ruleset puts the predefined rules and what a user made of them together.
func ruleset(user event.UserID, rows []store.PushRule) *Ruleset {
	rules := Defaults(user)
	own := &Ruleset{}
	for i := range rows {
		row := &rows[i]
		if row.Builtin {
			rules.amend(row)
		} else if list := own.list(row.Kind); list != nil {
			*list = append(*list, userRule(row))
		}
	}
	for _, kind := range []string{kindOverride, kindContent, kindRoom, kindSender, kindUnderride} {
		list := rules.list(kind)
		*list = arrange(kind, *own.list(kind), *list)
	}
	return rules
}

// arrange puts a user's rules of a kind before the predefined ones; only the
// master rule stays above all.
//
// https://spec.matrix.org/v1.19/client-server-api/#predefined-rules
func arrange(kind string, own, predefined []Rule) []Rule {
	if kind != kindOverride || len(own) == 0 {
		return append(own[:len(own):len(own)], predefined...)
	}
	all := append([]Rule{predefined[0]}, own...)
	return append(all, predefined[1:]...)
}

// amend applies what a user changed of a predefined rule. A rule that this
// version does not have any more is passed over.
func (r *Ruleset) amend(row *store.PushRule) {
	rules, _ := r.Kind(row.Kind)
	for i := range rules {
		if rules[i].ID != row.ID {
			continue
		}
		rules[i].Enabled = row.Enabled
		if len(row.Actions) > 0 {
			rules[i].Actions = elements(row.Actions)
		}
	}
}

func userRule(row *store.PushRule) Rule {
	r := Rule{ID: row.ID, Enabled: row.Enabled, Actions: elements(row.Actions), Pattern: row.Pattern}
	if row.Kind == kindOverride || row.Kind == kindUnderride {
		r.Conditions = elements(row.Conditions)
	}
	return r
}

// elements returns the elements of a JSON list, never nil.
func elements(list []byte) []json.RawMessage {
	all := []json.RawMessage{}
	event.EachElement(list, func(raw []byte) bool {
		all = append(all, raw)
		return true
	})
	return all
}

// Rule returns one rule.
//
// Errors for clients: invalid parameter for an unknown kind, not found.
func (s *Service) Rule(ctx context.Context, key RuleKey) (*Rule, error) {
	if err := key.checkKind(); err != nil {
		return nil, err
	}
	rules, err := s.Rules(ctx, key.User)
	if err != nil {
		return nil, err
	}
	r, ok := rules.Find(key.Kind, key.ID)
	if !ok {
		return nil, errNoRule()
	}
	return &r, nil
}

func errNoRule() error { return matrixerr.NotFound("there is no such push rule") }

func (k RuleKey) checkKind() error {
	if (&Ruleset{}).list(k.Kind) == nil {
		return matrixerr.InvalidParam("kind is override, content, room, sender or underride")
	}
	return nil
}

// PutRule makes a rule, or changes one that exists.
//
// Errors for clients: invalid parameter for kinds and ids that cannot be,
// missing parameter, bad JSON, M_UNKNOWN when there is no rule to be put
// next to.
func (s *Service) PutRule(ctx context.Context, key RuleKey, r NewRule) error {
	row, err := key.newRow(r.Body)
	if err != nil {
		return err
	}
	err = s.store.PutPushRule(ctx, row, store.PushRulePlace{Before: r.Before, After: r.After, Limit: maxRules})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "you have no push rule to put it before or after")
	case errors.Is(err, store.ErrTooMany):
		return matrixerr.InvalidParam("you have as many push rules as one may have")
	case err != nil:
		return fmt.Errorf("store push rule: %w", err)
	}
	return nil
}

// newRow checks a new rule.
func (k RuleKey) newRow(body []byte) (store.PushRule, error) {
	row := k.row()
	if err := k.checkKind(); err != nil {
		return row, err
	}
	switch {
	case k.ID == "" || len(k.ID) > maxRuleIDBytes:
		return row, matrixerr.InvalidParam("the rule id has 1 to 300 bytes")
	case k.ID[0] == '.':
		return row, matrixerr.InvalidParam("rule ids that begin with a dot are reserved")
	case strings.ContainsAny(k.ID, `/\`):
		return row, matrixerr.InvalidParam("rule ids hold neither slashes nor backslashes")
	}
	canonical, err := event.Canonical(body, false)
	if err != nil {
		return row, matrixerr.BadJSON("rule cannot be stored: " + err.Error())
	}
	rule, _ := event.ParseObject(canonical)
	if row.Actions, err = readActions(rule); err != nil {
		return row, err
	}
	row.Conditions = []byte("[]")
	switch k.Kind {
	case kindContent:
		row.Pattern, err = readPattern(rule)
	case kindOverride, kindUnderride:
		row.Conditions, err = readConditions(rule)
	}
	if err == nil && len(row.Actions)+len(row.Conditions)+len(row.Pattern) > maxRuleBytes {
		err = matrixerr.InvalidParam("the rule is larger than 1024 bytes")
	}
	return row, err
}

// readActions returns the list of actions, each of which has to be known.
func readActions(rule event.Object) ([]byte, error) {
	list, ok := rule.Get("actions")
	if !ok {
		return nil, matrixerr.MissingParam("actions")
	}
	valid := true
	if !event.EachElement(list, func(raw []byte) bool {
		valid = isAction(raw)
		return valid
	}) {
		return nil, matrixerr.BadJSON("actions is no list")
	}
	if !valid {
		return nil, matrixerr.InvalidParam("an action is notify or sets a tweak")
	}
	return list, nil
}

// isAction allows what was an action once, because clients still send it; it does nothing.
func isAction(raw []byte) bool {
	if name, ok := event.StringValue(raw); ok {
		return name == "notify" || name == "dont_notify" || name == "coalesce"
	}
	action, _ := event.ParseObject(raw)
	_, ok := action.String("set_tweak")
	return ok
}

func readPattern(rule event.Object) (string, error) {
	raw, ok := rule.Get("pattern")
	if !ok {
		return "", matrixerr.MissingParam("pattern")
	}
	pattern, ok := event.StringValue(raw)
	if !ok {
		return "", matrixerr.BadJSON("pattern is no string")
	}
	return pattern, nil
}

// readConditions returns the list of conditions. What this server does not
// know is kept: it matches nothing.
func readConditions(rule event.Object) ([]byte, error) {
	list, ok := rule.Get("conditions")
	if !ok {
		return []byte("[]"), nil
	}
	valid := true
	if !event.EachElement(list, func(raw []byte) bool {
		c, _ := event.ParseObject(raw)
		_, valid = c.String("kind")
		return valid
	}) {
		return nil, matrixerr.BadJSON("conditions is no list")
	}
	if !valid {
		return nil, matrixerr.BadJSON("a condition is an object with a kind")
	}
	return list, nil
}

// DeleteRule deletes a rule of the user's own.
//
// Errors for clients: invalid parameter for an unknown kind, not found.
func (s *Service) DeleteRule(ctx context.Context, key RuleKey) error {
	if err := key.checkKind(); err != nil {
		return err
	}
	err := s.store.DeletePushRule(ctx, key.row())
	if errors.Is(err, store.ErrNotFound) {
		return matrixerr.NotFound("you have made no such push rule")
	}
	if err != nil {
		return fmt.Errorf("delete push rule: %w", err)
	}
	return nil
}

// EnableRule switches a rule on or off.
//
// Errors for clients: invalid parameter for an unknown kind, not found.
func (s *Service) EnableRule(ctx context.Context, key RuleKey, enabled bool) error {
	return s.changeRule(ctx, key, func(r *store.PushRule) { r.Enabled = enabled })
}

// SetRuleActions changes what a rule does; actions is a JSON list.
//
// Errors for clients: bad JSON, invalid parameter, not found.
func (s *Service) SetRuleActions(ctx context.Context, key RuleKey, actions json.RawMessage) error {
	canonical, err := event.Canonical([]byte(`{"actions":`+string(actions)+`}`), false)
	if err != nil {
		return matrixerr.BadJSON("actions cannot be stored: " + err.Error())
	}
	o, _ := event.ParseObject(canonical)
	list, err := readActions(o)
	if err != nil {
		return err
	}
	if len(list) > maxRuleBytes {
		return matrixerr.InvalidParam("the rule is larger than 1024 bytes")
	}
	return s.changeRule(ctx, key, func(r *store.PushRule) { r.Actions = list })
}

func (s *Service) changeRule(ctx context.Context, key RuleKey, change func(*store.PushRule)) error {
	if err := key.checkKind(); err != nil {
		return err
	}
	var fallback *store.PushRule
	if r, ok := Defaults(key.User).Find(key.Kind, key.ID); ok {
		row := key.row()
		row.Builtin, row.Enabled = true, r.Enabled
		row.Actions, row.Conditions = []byte{}, []byte{}
		fallback = &row
	}
	err := s.store.ChangePushRule(ctx, key.row(), fallback, change)
	if errors.Is(err, store.ErrNotFound) {
		return errNoRule()
	}
	if err != nil {
		return fmt.Errorf("change push rule: %w", err)
	}
	return nil
}
