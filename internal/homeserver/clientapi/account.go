// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) accountRoutes() []httpapi.Route {
	const account = "/_matrix/client/v3/account/"
	return []httpapi.Route{
		{Method: "POST", Path: account + "password", Auth: httpapi.User, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.changePassword)},
		{Method: "POST", Path: account + "deactivate", Auth: httpapi.User, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.deactivate)},
		{Method: "GET", Path: account + "3pid", Auth: httpapi.User, Handler: httpapi.JSON(a.threePIDs)},
	}
}

type changePasswordRequest struct {
	Auth        json.RawMessage `json:"auth"`
	NewPassword string          `json:"new_password"`
	// LogoutDevices is true if absent.
	LogoutDevices *bool `json:"logout_devices"`
}

// changePassword sets the caller's password.
//
// POST /_matrix/client/v3/account/password
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword
// Deviation: a caller without an access token, who would prove an e-mail
// address, is refused: this server knows none.
func (a *API) changePassword(ctx context.Context, caller httpapi.Caller, r *changePasswordRequest) (*httpapi.Empty, error) {
	// A password that cannot be set is refused before the old one is asked for.
	if r.NewPassword != "" || len(r.Auth) > 0 {
		if err := accounts.CheckPassword(r.NewPassword); err != nil {
			return nil, err
		}
	}
	if err := a.accounts.Confirm(ctx, caller.UserID, "account/password", r.Auth); err != nil {
		return nil, err
	}
	return nil, a.accounts.ChangePassword(ctx, accounts.PasswordChange{
		New: r.NewPassword, SignOut: r.LogoutDevices == nil || *r.LogoutDevices, Caller: caller,
	})
}

type deactivateRequest struct {
	Auth  json.RawMessage `json:"auth"`
	Erase bool            `json:"erase"`
}

type deactivateResponse struct {
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// deactivate ends the caller's account.
//
// POST /_matrix/client/v3/account/deactivate
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
// Deviation: a caller without an access token is refused: this server knows
// no other proof than the password. With erase, what the user sent is still
// served whole to those who join later; the wish is kept with the account.
func (a *API) deactivate(ctx context.Context, caller httpapi.Caller, r *deactivateRequest) (*deactivateResponse, error) {
	operation := "account/deactivate"
	if r.Erase {
		operation += " and erase"
	}
	if err := a.accounts.Confirm(ctx, caller.UserID, operation, r.Auth); err != nil {
		return nil, err
	}
	// There is no identity server from which anything would have to be removed.
	return &deactivateResponse{"success"}, a.accounts.Deactivate(ctx, caller.UserID, r.Erase)
}

type threePIDsResponse struct {
	ThreePIDs []struct{} `json:"threepids"`
}

// threePIDs lists the caller's e-mail addresses and phone numbers, of which
// this server keeps none.
//
// GET /_matrix/client/v3/account/3pid
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3account3pid
func (a *API) threePIDs(context.Context, httpapi.Caller, *httpapi.Empty) (*threePIDsResponse, error) {
	return &threePIDsResponse{ThreePIDs: []struct{}{}}, nil
}
