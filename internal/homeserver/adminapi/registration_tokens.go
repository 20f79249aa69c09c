// SPDX-License-Identifier: Apache-2.0

package adminapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func (a *API) registrationTokenRoutes() []httpapi.Route {
	const base = "/_synapse/admin/v1/registration_tokens"
	return []httpapi.Route{
		{Method: "GET", Path: base, Auth: httpapi.Admin, Handler: httpapi.JSON(a.registrationTokens)},
		{Method: "POST", Path: base + "/new", Auth: httpapi.Admin, MaxBody: maxBody, Handler: httpapi.JSON(a.newRegistrationToken)},
		{Method: "GET", Path: base + "/{token}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.registrationToken)},
		{Method: "PUT", Path: base + "/{token}", Auth: httpapi.Admin, MaxBody: maxBody, Handler: httpapi.JSON(a.setRegistrationToken)},
		{Method: "DELETE", Path: base + "/{token}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.deleteRegistrationToken)},
	}
}

// tokenResponse is a registration token as Synapse shows it.
type tokenResponse struct {
	Token       string `json:"token"`
	UsesAllowed *int64 `json:"uses_allowed"`
	// Pending is always 0: a use counts when its account is created.
	Pending    int64  `json:"pending"`
	Completed  int64  `json:"completed"`
	ExpiryTime *int64 `json:"expiry_time"`
}

func newTokenResponse(t store.RegistrationToken) *tokenResponse {
	res := &tokenResponse{Token: t.Token, Completed: t.Completed}
	if t.UsesAllowed != store.AnyNumber {
		res.UsesAllowed = &t.UsesAllowed
	}
	if t.ExpiresTS != 0 {
		res.ExpiryTime = &t.ExpiresTS
	}
	return res
}

// answer is what most endpoints here end with.
func answer(t store.RegistrationToken, err error) (*tokenResponse, error) {
	if err != nil {
		return nil, err
	}
	return newTokenResponse(t), nil
}

type tokensRequest struct {
	Valid *bool `query:"valid"`
}

type tokensResponse struct {
	Tokens []*tokenResponse `json:"registration_tokens"`
}

// registrationTokens lists the tokens, or those that can or cannot be used now.
//
// GET /_synapse/admin/v1/registration_tokens.
func (a *API) registrationTokens(ctx context.Context, _ httpapi.Caller, r *tokensRequest) (*tokensResponse, error) {
	list, err := a.accounts.RegistrationTokenList(ctx, r.Valid)
	if err != nil {
		return nil, err
	}
	res := &tokensResponse{Tokens: make([]*tokenResponse, len(list))}
	for i, t := range list {
		res.Tokens[i] = newTokenResponse(t)
	}
	return res, nil
}

type newTokenRequest struct {
	Token       *string `json:"token"`
	Length      *int    `json:"length"`
	UsesAllowed *int64  `json:"uses_allowed"`
	ExpiryTime  *int64  `json:"expiry_time"`
}

// Validate refuses what is given and says nothing.
func (r *newTokenRequest) Validate() error {
	if r.Token != nil && *r.Token == "" || r.Length != nil && *r.Length == 0 {
		return matrixerr.InvalidParam("token and length must not be empty")
	}
	return nil
}

// newRegistrationToken makes a token.
//
// POST /_synapse/admin/v1/registration_tokens/new.
func (a *API) newRegistrationToken(ctx context.Context, _ httpapi.Caller, r *newTokenRequest) (*tokenResponse, error) {
	t := accounts.TokenRequest{UsesAllowed: r.UsesAllowed, ExpiresTS: r.ExpiryTime}
	if r.Token != nil {
		t.Token = *r.Token
	}
	if r.Length != nil {
		t.Length = *r.Length
	}
	return answer(a.accounts.AddRegistrationToken(ctx, t))
}

type tokenRequest struct {
	Token string `path:"token"`
}

// registrationToken returns a token.
//
// GET /_synapse/admin/v1/registration_tokens/{token}.
func (a *API) registrationToken(ctx context.Context, _ httpapi.Caller, r *tokenRequest) (*tokenResponse, error) {
	return answer(a.accounts.RegistrationToken(ctx, r.Token))
}

type setTokenRequest struct {
	Token string `path:"token"`
	// Absent: as it is; null: no limit.
	UsesAllowed json.RawMessage `json:"uses_allowed"`
	ExpiryTime  json.RawMessage `json:"expiry_time"`
}

// setRegistrationToken changes the limits of a token.
//
// PUT /_synapse/admin/v1/registration_tokens/{token}.
func (a *API) setRegistrationToken(ctx context.Context, _ httpapi.Caller, r *setTokenRequest) (*tokenResponse, error) {
	t := accounts.TokenRequest{Token: r.Token}
	for _, limit := range []struct {
		raw  json.RawMessage
		into **int64
	}{{r.UsesAllowed, &t.UsesAllowed}, {r.ExpiryTime, &t.ExpiresTS}} {
		if len(limit.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(limit.raw, limit.into); err != nil {
			return nil, matrixerr.InvalidParam("uses_allowed and expiry_time are numbers or null")
		}
	}
	return answer(a.accounts.SetRegistrationToken(ctx, t, len(r.UsesAllowed) > 0, len(r.ExpiryTime) > 0))
}

// deleteRegistrationToken forgets a token.
//
// DELETE /_synapse/admin/v1/registration_tokens/{token}.
func (a *API) deleteRegistrationToken(ctx context.Context, _ httpapi.Caller, r *tokenRequest) (*httpapi.Empty, error) {
	return nil, a.accounts.DeleteRegistrationToken(ctx, r.Token)
}
