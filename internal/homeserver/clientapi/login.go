// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// maxAuthBody bounds requests with passwords; nothing in them is long.
const maxAuthBody = 64 << 10

func (a *API) loginRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/login", Auth: httpapi.Public, Handler: httpapi.JSON(a.loginFlows)},
		{Method: "POST", Path: "/_matrix/client/v3/login", Auth: httpapi.Public, Limit: httpapi.LimitLogin, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.login)},
		{Method: "POST", Path: "/_matrix/client/v1/login/get_token", Auth: httpapi.User, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.newLoginToken)},
		{Method: "POST", Path: "/_matrix/client/v3/refresh", Auth: httpapi.Public, Limit: httpapi.LimitMessage, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.refresh)},
	}
}

const (
	flowPassword = "m.login.password"
	flowToken    = "m.login.token" //nolint:gosec // the name of a flow
)

type loginFlow struct {
	Type     string `json:"type"`
	GetToken bool   `json:"get_login_token,omitempty"`
}

type loginFlowsResponse struct {
	Flows []loginFlow `json:"flows"`
}

// loginFlows lists the ways to sign in.
//
// GET /_matrix/client/v3/login
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login
func (a *API) loginFlows(context.Context, httpapi.Caller, *httpapi.Empty) (*loginFlowsResponse, error) {
	return &loginFlowsResponse{Flows: []loginFlow{{Type: flowPassword}, {Type: flowToken, GetToken: true}}}, nil
}

type loginRequest struct {
	Type       string              `json:"type" required:"true"`
	Identifier accounts.Identifier `json:"identifier"`
	// User is the deprecated form of identifier.
	User         string  `json:"user"`
	Password     *string `json:"password"`
	Token        string  `json:"token"`
	DeviceID     string  `json:"device_id"`
	DeviceName   string  `json:"initial_device_display_name"`
	RefreshToken bool    `json:"refresh_token"`
}

// Validate checks what the type of sign-in needs.
func (r *loginRequest) Validate() error {
	switch {
	case r.Type == flowToken && r.Token != "":
		return nil
	case r.Type == flowToken:
		return matrixerr.MissingParam("token")
	case r.Type != flowPassword:
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "unknown type of login")
	case r.Identifier.Type != "" && r.Identifier.Type != "m.id.user":
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "only m.id.user is supported as an identifier")
	case r.Identifier.Type == "" && r.User == "":
		return matrixerr.MissingParam("identifier")
	case r.Password == nil:
		return matrixerr.MissingParam("password")
	}
	return nil
}

// sessionResponse answers a sign-in and a registration.
type sessionResponse struct {
	UserID       event.UserID             `json:"user_id"`
	AccessToken  string                   `json:"access_token,omitempty"`
	RefreshToken string                   `json:"refresh_token,omitempty"`
	ExpiresInMS  int64                    `json:"expires_in_ms,omitempty"`
	DeviceID     string                   `json:"device_id,omitempty"`
	HomeServer   event.ServerName         `json:"home_server,omitempty"`
	WellKnown    *wellKnownClientResponse `json:"well_known,omitempty"`
}

// login signs a user in by password or by a token of newLoginToken.
//
// POST /_matrix/client/v3/login
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login
func (a *API) login(ctx context.Context, caller httpapi.Caller, r *loginRequest) (*sessionResponse, error) {
	l := accounts.Login{Device: accounts.NewDevice{
		ID: r.DeviceID, Name: r.DeviceName, Refresh: r.RefreshToken, Caller: caller,
	}}
	if r.Type == flowToken {
		l.Token = r.Token
	} else {
		l.User, l.Password = r.User, *r.Password
		if r.Identifier.Type != "" {
			l.User = r.Identifier.User
		}
	}
	s, err := a.accounts.Login(ctx, l)
	if err != nil {
		return nil, err
	}
	return a.sessionResponse(s), nil
}

func (a *API) sessionResponse(s *accounts.Session) *sessionResponse {
	res := &sessionResponse{
		UserID: s.UserID, AccessToken: s.AccessToken, DeviceID: s.DeviceID, HomeServer: s.UserID.Server(),
		RefreshToken: s.RefreshToken, ExpiresInMS: s.Expires.Milliseconds(),
	}
	if a.config.WellKnown.Enabled && s.AccessToken != "" {
		res.WellKnown = &wellKnownClientResponse{}
		res.WellKnown.Homeserver.BaseURL = a.config.PublicBaseURL
	}
	return res
}

type newLoginTokenRequest struct {
	Auth json.RawMessage `json:"auth"`
}

type newLoginTokenResponse struct {
	LoginToken  string `json:"login_token"`
	ExpiresInMS int64  `json:"expires_in_ms"`
}

// newLoginToken gives the caller a token that signs in another client once.
//
// POST /_matrix/client/v1/login/get_token
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
func (a *API) newLoginToken(ctx context.Context, caller httpapi.Caller, r *newLoginTokenRequest) (*newLoginTokenResponse, error) {
	if err := a.accounts.Confirm(ctx, caller.UserID, "login/get_token", r.Auth); err != nil {
		return nil, err
	}
	token, err := a.accounts.NewLoginToken(ctx, caller.UserID)
	if err != nil {
		return nil, err
	}
	return &newLoginTokenResponse{token, accounts.LoginTokenLife.Milliseconds()}, nil
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token" required:"true"`
}

type refreshResponse struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresInMS  int64  `json:"expires_in_ms"`
}

// refresh exchanges a refresh token for new tokens.
//
// POST /_matrix/client/v3/refresh
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh
func (a *API) refresh(ctx context.Context, _ httpapi.Caller, r *refreshRequest) (*refreshResponse, error) {
	s, err := a.accounts.Refresh(ctx, r.RefreshToken)
	if err != nil {
		return nil, err
	}
	return &refreshResponse{s.AccessToken, s.RefreshToken, s.Expires.Milliseconds()}, nil
}
