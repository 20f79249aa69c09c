// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) logoutRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/logout", Auth: httpapi.User, WhileLocked: true, Handler: httpapi.JSON(a.logout)},
		{Method: "POST", Path: "/_matrix/client/v3/logout/all", Auth: httpapi.User, WhileLocked: true, Handler: httpapi.JSON(a.logoutAll)},
	}
}

// logout ends the session and deletes its device.
//
// POST /_matrix/client/v3/logout
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout
func (a *API) logout(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*httpapi.Empty, error) {
	return nil, a.accounts.Logout(ctx, caller)
}

// logoutAll ends all sessions of the caller.
//
// POST /_matrix/client/v3/logout/all
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall
func (a *API) logoutAll(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*httpapi.Empty, error) {
	return nil, a.accounts.LogoutAll(ctx, caller)
}
