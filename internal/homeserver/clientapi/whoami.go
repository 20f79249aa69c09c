// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) whoamiRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/account/whoami", Auth: httpapi.User, Handler: httpapi.JSON(a.whoami)},
	}
}

type whoamiResponse struct {
	UserID   event.UserID `json:"user_id"`
	DeviceID string       `json:"device_id,omitempty"`
	IsGuest  bool         `json:"is_guest"`
}

// whoami says whom an access token belongs to.
//
// GET /_matrix/client/v3/account/whoami
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami
func (a *API) whoami(_ context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*whoamiResponse, error) {
	return &whoamiResponse{UserID: caller.UserID, DeviceID: caller.DeviceID}, nil
}
