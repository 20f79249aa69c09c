// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
)

func (a *API) pushRuleRoutes() []httpapi.Route {
	const (
		rules = "/_matrix/client/v3/pushrules"
		rule  = rules + "/global/{kind}/{ruleId}"
	)
	return []httpapi.Route{
		{Method: "GET", Path: rules, Auth: httpapi.User, Handler: httpapi.JSON(a.pushRules)},
		{Method: "GET", Path: rules + "/", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRules)},
		{Method: "GET", Path: rules + "/global", Auth: httpapi.User, Handler: httpapi.JSON(a.globalPushRules)},
		{Method: "GET", Path: rules + "/global/", Auth: httpapi.User, Handler: httpapi.JSON(a.globalPushRules)},
		{Method: "GET", Path: rule, Auth: httpapi.User, Handler: httpapi.JSON(a.pushRule)},
		{Method: "PUT", Path: rule, Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.putPushRule)},
		{Method: "DELETE", Path: rule, Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.deletePushRule)},
		{Method: "GET", Path: rule + "/enabled", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRuleEnabled)},
		{Method: "PUT", Path: rule + "/enabled", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.enablePushRule)},
		{Method: "GET", Path: rule + "/actions", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRuleActions)},
		{Method: "PUT", Path: rule + "/actions", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setPushRuleActions)},
	}
}

type pushRulesResponse struct {
	Global *push.Ruleset `json:"global"`
}

// pushRules returns all rules of the caller.
//
// GET /_matrix/client/v3/pushrules/
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrules
func (a *API) pushRules(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*pushRulesResponse, error) {
	rules, err := a.push.Rules(ctx, caller.UserID)
	return &pushRulesResponse{Global: rules}, err
}

// globalPushRules returns the global rules of the caller, which are all.
//
// GET /_matrix/client/v3/pushrules/global/
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobal
func (a *API) globalPushRules(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*push.Ruleset, error) {
	return a.push.Rules(ctx, caller.UserID)
}

type pushRuleRequest struct {
	Kind   string `path:"kind"`
	RuleID string `path:"ruleId"`
}

func (r *pushRuleRequest) key(caller httpapi.Caller) push.RuleKey {
	return push.RuleKey{User: caller.UserID, Kind: r.Kind, ID: r.RuleID}
}

// pushRule returns one rule of the caller.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleid
func (a *API) pushRule(ctx context.Context, caller httpapi.Caller, r *pushRuleRequest) (*push.Rule, error) {
	return a.push.Rule(ctx, r.key(caller))
}

type putPushRuleRequest struct {
	Kind   string          `path:"kind"`
	RuleID string          `path:"ruleId"`
	Before string          `query:"before"`
	After  string          `query:"after"`
	Body   json.RawMessage `body:"raw"`
}

// putPushRule makes or changes a rule of the caller.
//
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
func (a *API) putPushRule(ctx context.Context, caller httpapi.Caller, r *putPushRuleRequest) (*httpapi.Empty, error) {
	key := push.RuleKey{User: caller.UserID, Kind: r.Kind, ID: r.RuleID}
	return nil, a.push.PutRule(ctx, key, push.NewRule{Body: r.Body, Before: r.Before, After: r.After})
}

// deletePushRule deletes a rule that the caller made. Predefined rules can
// only be switched off.
//
// DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid
func (a *API) deletePushRule(ctx context.Context, caller httpapi.Caller, r *pushRuleRequest) (*httpapi.Empty, error) {
	return nil, a.push.DeleteRule(ctx, r.key(caller))
}

// pushRuleEnabled says whether a rule of the caller is in force.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled
func (a *API) pushRuleEnabled(ctx context.Context, caller httpapi.Caller, r *pushRuleRequest) (*enabled, error) {
	rule, err := a.push.Rule(ctx, r.key(caller))
	if err != nil {
		return nil, err
	}
	return &enabled{Enabled: rule.Enabled}, nil
}

type enablePushRuleRequest struct {
	Kind    string `path:"kind"`
	RuleID  string `path:"ruleId"`
	Enabled *bool  `json:"enabled"`
}

// Validate wants enabled to be said.
func (r *enablePushRuleRequest) Validate() error {
	if r.Enabled == nil {
		return matrixerr.MissingParam("enabled")
	}
	return nil
}

// enablePushRule switches a rule of the caller on or off.
//
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled
func (a *API) enablePushRule(ctx context.Context, caller httpapi.Caller, r *enablePushRuleRequest) (*httpapi.Empty, error) {
	return nil, a.push.EnableRule(ctx, push.RuleKey{User: caller.UserID, Kind: r.Kind, ID: r.RuleID}, *r.Enabled)
}

type pushRuleActionsResponse struct {
	Actions []json.RawMessage `json:"actions"`
}

// pushRuleActions returns what a rule of the caller does.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions
func (a *API) pushRuleActions(ctx context.Context, caller httpapi.Caller, r *pushRuleRequest) (*pushRuleActionsResponse, error) {
	rule, err := a.push.Rule(ctx, r.key(caller))
	if err != nil {
		return nil, err
	}
	return &pushRuleActionsResponse{Actions: rule.Actions}, nil
}

type setPushRuleActionsRequest struct {
	Kind    string          `path:"kind"`
	RuleID  string          `path:"ruleId"`
	Actions json.RawMessage `json:"actions"`
}

// Validate wants actions to be said.
func (r *setPushRuleActionsRequest) Validate() error {
	if len(r.Actions) == 0 {
		return matrixerr.MissingParam("actions")
	}
	return nil
}

// setPushRuleActions changes what a rule of the caller does.
//
// PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions
func (a *API) setPushRuleActions(ctx context.Context, caller httpapi.Caller, r *setPushRuleActionsRequest) (*httpapi.Empty, error) {
	return nil, a.push.SetRuleActions(ctx, push.RuleKey{User: caller.UserID, Kind: r.Kind, ID: r.RuleID}, r.Actions)
}
