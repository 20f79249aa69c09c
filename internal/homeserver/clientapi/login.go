// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

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
	}
}

const loginPassword = "m.login.password"

type loginFlow struct {
	Type string `json:"type"`
}

type loginFlowsResponse struct {
	Flows []loginFlow `json:"flows"`
}

// loginFlows lists the ways to sign in.
//
// GET /_matrix/client/v3/login
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login
func (a *API) loginFlows(context.Context, httpapi.Caller, *httpapi.Empty) (*loginFlowsResponse, error) {
	return &loginFlowsResponse{Flows: []loginFlow{{loginPassword}}}, nil
}

type loginRequest struct {
	Type       string              `json:"type" required:"true"`
	Identifier accounts.Identifier `json:"identifier"`
	// User is the deprecated form of identifier.
	User       string  `json:"user"`
	Password   *string `json:"password"`
	DeviceID   string  `json:"device_id"`
	DeviceName string  `json:"initial_device_display_name"`
}

// Validate checks what the type of sign-in needs.
func (r *loginRequest) Validate() error {
	switch {
	case r.Type != loginPassword:
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
	UserID      event.UserID             `json:"user_id"`
	AccessToken string                   `json:"access_token,omitempty"`
	DeviceID    string                   `json:"device_id,omitempty"`
	HomeServer  event.ServerName         `json:"home_server,omitempty"`
	WellKnown   *wellKnownClientResponse `json:"well_known,omitempty"`
}

// login signs a user in by password.
//
// POST /_matrix/client/v3/login
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login
func (a *API) login(ctx context.Context, caller httpapi.Caller, r *loginRequest) (*sessionResponse, error) {
	user := r.Identifier.User
	if r.Identifier.Type == "" {
		user = r.User
	}
	s, err := a.accounts.Login(ctx, accounts.Login{
		User: user, Password: *r.Password, DeviceID: r.DeviceID, DeviceName: r.DeviceName, Caller: caller,
	})
	if err != nil {
		return nil, err
	}
	return a.sessionResponse(s), nil
}

func (a *API) sessionResponse(s *accounts.Session) *sessionResponse {
	res := &sessionResponse{
		UserID: s.UserID, AccessToken: s.AccessToken, DeviceID: s.DeviceID, HomeServer: s.UserID.Server(),
	}
	if a.config.WellKnown.Enabled && s.AccessToken != "" {
		res.WellKnown = &wellKnownClientResponse{}
		res.WellKnown.Homeserver.BaseURL = a.config.PublicBaseURL
	}
	return res
}
