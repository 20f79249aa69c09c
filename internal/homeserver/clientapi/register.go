// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// The registration limit is counted where an account is about to be created,
// not for each of the requests that lead there.
func (a *API) registerRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/register", Auth: httpapi.Public, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.register)},
		{Method: "GET", Path: "/_matrix/client/v3/register/available", Auth: httpapi.Public, Limit: httpapi.LimitLogin, Handler: httpapi.JSON(a.usernameAvailable)},
		{Method: "GET", Path: "/_matrix/client/v1/register/m.login.registration_token/validity", Auth: httpapi.Public, Limit: httpapi.LimitLogin, Handler: httpapi.JSON(a.registrationTokenValidity)},
	}
}

type registerRequest struct {
	Kind         string         `query:"kind"`
	Username     *string        `json:"username"`
	Password     string         `json:"password"`
	DeviceID     string         `json:"device_id"`
	DeviceName   string         `json:"initial_device_display_name"`
	InhibitLogin bool           `json:"inhibit_login"`
	RefreshToken bool           `json:"refresh_token"`
	Auth         *accounts.Auth `json:"auth"`
}

// Validate refuses guests, of which this server has none.
func (r *registerRequest) Validate() error {
	switch r.Kind {
	case "", "user":
		return nil
	case "guest":
		return matrixerr.Forbidden("guest accounts are not allowed on this server")
	default:
		return matrixerr.InvalidParam("kind is neither user nor guest")
	}
}

// register creates an account.
//
// POST /_matrix/client/v3/register
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
func (a *API) register(ctx context.Context, caller httpapi.Caller, r *registerRequest) (*sessionResponse, error) {
	s, err := a.accounts.Register(ctx, accounts.Registration{
		Localpart: r.Username, Password: r.Password, NoSession: r.InhibitLogin, Auth: r.Auth,
		Device: accounts.NewDevice{ID: r.DeviceID, Name: r.DeviceName, Refresh: r.RefreshToken, Caller: caller},
	})
	if err != nil {
		return nil, err
	}
	return a.sessionResponse(s), nil
}

type usernameAvailableRequest struct {
	Username string `query:"username" required:"true"`
}

type usernameAvailableResponse struct {
	Available bool `json:"available"`
}

// usernameAvailable says whether a user name can be registered.
//
// GET /_matrix/client/v3/register/available
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable
func (a *API) usernameAvailable(ctx context.Context, _ httpapi.Caller, r *usernameAvailableRequest) (*usernameAvailableResponse, error) {
	if err := a.accounts.Available(ctx, r.Username); err != nil {
		return nil, err
	}
	return &usernameAvailableResponse{Available: true}, nil
}

type tokenValidityRequest struct {
	Token string `query:"token" required:"true"`
}

type tokenValidityResponse struct {
	Valid bool `json:"valid"`
}

// registrationTokenValidity says whether one could register with a token now.
//
// GET /_matrix/client/v1/register/m.login.registration_token/validity
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity
func (a *API) registrationTokenValidity(ctx context.Context, _ httpapi.Caller, r *tokenValidityRequest) (*tokenValidityResponse, error) {
	valid, err := a.accounts.RegistrationTokenValid(ctx, r.Token)
	if err != nil {
		return nil, err
	}
	return &tokenValidityResponse{valid}, nil
}
