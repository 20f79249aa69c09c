// SPDX-License-Identifier: Apache-2.0

// Package adminapi is what administrators and their tools call besides the
// specification: registration by shared secret and registration tokens, in the
// form that tools for Synapse know, and what only this server has, below
// /_foyer/admin.
package adminapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

// API is the administration API of one replica.
type API struct{ accounts *accounts.Service }

// New returns the API over the given service.
func New(a *accounts.Service) *API { return &API{a} }

// Routes returns the endpoints that take an administrator's access token.
func (a *API) Routes() []httpapi.Route {
	return append(a.registrationTokenRoutes(), httpapi.Route{
		Method: "GET", Path: "/_foyer/admin/v1/deactivations", Auth: httpapi.Admin, Handler: httpapi.JSON(a.deactivations),
	})
}

// maxBody bounds requests; nothing in them is long.
const maxBody = 64 << 10

// SharedSecretRoutes returns the endpoints that take the shared secret. They
// belong where only those who run the server reach them.
func (a *API) SharedSecretRoutes() []httpapi.Route {
	const register = "/_synapse/admin/v1/register"
	return []httpapi.Route{
		{Method: "GET", Path: register, Auth: httpapi.Public, Handler: httpapi.JSON(a.nonce)},
		// Limited so that nobody tries secrets.
		{Method: "POST", Path: register, Auth: httpapi.Public, Limit: httpapi.LimitMessage, MaxBody: maxBody, Handler: httpapi.JSON(a.register)},
	}
}

type nonceResponse struct {
	Nonce string `json:"nonce"`
}

// nonce returns what the HMAC of a registration has to begin with.
//
// GET /_synapse/admin/v1/register.
func (a *API) nonce(context.Context, httpapi.Caller, *httpapi.Empty) (*nonceResponse, error) {
	return &nonceResponse{a.accounts.Nonce()}, nil
}

type registerRequest struct {
	Nonce        string  `json:"nonce" required:"true"`
	Username     string  `json:"username" required:"true"`
	Password     string  `json:"password" required:"true"`
	MAC          string  `json:"mac" required:"true"`
	DisplayName  *string `json:"displayname"`
	UserType     *string `json:"user_type"`
	Admin        bool    `json:"admin"`
	InhibitLogin bool    `json:"inhibit_login"`
}

type registerResponse struct {
	UserID      event.UserID     `json:"user_id"`
	AccessToken string           `json:"access_token,omitempty"`
	DeviceID    string           `json:"device_id,omitempty"`
	HomeServer  event.ServerName `json:"home_server"`
}

// register creates an account for whoever knows the shared secret.
//
// POST /_synapse/admin/v1/register.
func (a *API) register(ctx context.Context, caller httpapi.Caller, r *registerRequest) (*registerResponse, error) {
	s, err := a.accounts.RegisterBySecret(ctx, accounts.SecretRegistration{
		Nonce: r.Nonce, Username: r.Username, Password: r.Password, MAC: r.MAC, DisplayName: r.DisplayName,
		UserType: r.UserType, Admin: r.Admin, NoSession: r.InhibitLogin, Device: accounts.NewDevice{Caller: caller},
	})
	if err != nil {
		return nil, err
	}
	return &registerResponse{s.UserID, s.AccessToken, s.DeviceID, s.UserID.Server()}, nil
}

type deactivation struct {
	UserID      string `json:"user_id"`
	Erase       bool   `json:"erase"`
	RequestedTS int64  `json:"requested_ts"`
	Attempts    int64  `json:"failed_attempts"`
	Failure     string `json:"last_failure,omitempty"`
}

type deactivationsResponse struct {
	Deactivations []deactivation `json:"deactivations"`
}

// deactivations lists the accounts whose traces are still being removed.
//
// GET /_foyer/admin/v1/deactivations.
func (a *API) deactivations(ctx context.Context, _ httpapi.Caller, _ *httpapi.Empty) (*deactivationsResponse, error) {
	list, err := a.accounts.Deactivations(ctx)
	if err != nil {
		return nil, err
	}
	res := &deactivationsResponse{Deactivations: make([]deactivation, len(list))}
	for i, d := range list {
		res.Deactivations[i] = deactivation(d)
	}
	return res, nil
}
