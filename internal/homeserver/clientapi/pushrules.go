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
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/pushrules", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRules)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRules)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/global", Auth: httpapi.User, Handler: httpapi.JSON(a.globalPushRules)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/global/", Auth: httpapi.User, Handler: httpapi.JSON(a.globalPushRules)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRule)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRuleEnabled)},
		{Method: "GET", Path: "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions", Auth: httpapi.User, Handler: httpapi.JSON(a.pushRuleActions)},
	}
}

type pushRulesResponse struct {
	Global *push.Ruleset `json:"global"`
}

// pushRules returns all rules of the caller.
//
// GET /_matrix/client/v3/pushrules/
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrules
func (a *API) pushRules(_ context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*pushRulesResponse, error) {
	return &pushRulesResponse{Global: push.Defaults(caller.UserID)}, nil
}

// globalPushRules returns the global rules of the caller, which are all.
//
// GET /_matrix/client/v3/pushrules/global/
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobal
func (a *API) globalPushRules(_ context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*push.Ruleset, error) {
	return push.Defaults(caller.UserID), nil
}

type pushRuleRequest struct {
	Kind   string `path:"kind"`
	RuleID string `path:"ruleId"`
}

func (r *pushRuleRequest) find(caller httpapi.Caller) (*push.Rule, error) {
	rules := push.Defaults(caller.UserID)
	if _, ok := rules.Kind(r.Kind); !ok {
		return nil, matrixerr.InvalidParam("kind is override, content, room, sender or underride")
	}
	rule, ok := rules.Find(r.Kind, r.RuleID)
	if !ok {
		return nil, matrixerr.NotFound("there is no such push rule")
	}
	return &rule, nil
}

// pushRule returns one rule of the caller.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleid
func (a *API) pushRule(_ context.Context, caller httpapi.Caller, r *pushRuleRequest) (*push.Rule, error) {
	return r.find(caller)
}

// pushRuleEnabled says whether a rule of the caller is in force.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled
func (a *API) pushRuleEnabled(_ context.Context, caller httpapi.Caller, r *pushRuleRequest) (*enabled, error) {
	rule, err := r.find(caller)
	if err != nil {
		return nil, err
	}
	return &enabled{Enabled: rule.Enabled}, nil
}

type pushRuleActionsResponse struct {
	Actions []json.RawMessage `json:"actions"`
}

// pushRuleActions returns what a rule of the caller does.
//
// GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions
func (a *API) pushRuleActions(_ context.Context, caller httpapi.Caller, r *pushRuleRequest) (*pushRuleActionsResponse, error) {
	rule, err := r.find(caller)
	if err != nil {
		return nil, err
	}
	return &pushRuleActionsResponse{Actions: rule.Actions}, nil
}
