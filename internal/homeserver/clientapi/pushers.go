// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
)

func (a *API) pusherRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/pushers", Auth: httpapi.User, Handler: httpapi.JSON(a.pushers)},
		{Method: "POST", Path: "/_matrix/client/v3/pushers/set", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setPusher)},
	}
}

type pushersResponse struct {
	Pushers []push.Pusher `json:"pushers"`
}

// pushers returns where the caller's notifications are sent.
//
// GET /_matrix/client/v3/pushers
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
func (a *API) pushers(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*pushersResponse, error) {
	all, err := a.push.Pushers(ctx, caller.UserID)
	return &pushersResponse{Pushers: all}, err
}

type setPusherRequest struct {
	Body json.RawMessage `body:"raw"`
}

// setPusher makes, changes or deletes a pusher of the caller. Pushers of the
// kind "email" are refused: this server sends no mail.
//
// POST /_matrix/client/v3/pushers/set
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
func (a *API) setPusher(ctx context.Context, caller httpapi.Caller, r *setPusherRequest) (*httpapi.Empty, error) {
	return nil, a.push.SetPusher(ctx, caller.UserID, caller.DeviceID, r.Body)
}
