// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) upgradeRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/rooms/{roomId}/upgrade", Auth: httpapi.User, Limit: httpapi.LimitInvite, Handler: httpapi.JSON(a.upgradeRoom)},
	}
}

type upgradeRequest struct {
	RoomID             event.RoomID      `path:"roomId"`
	Version            event.RoomVersion `json:"new_version" required:"true"`
	AdditionalCreators []event.UserID    `json:"additional_creators"`
}

type upgradeResponse struct {
	Replacement event.RoomID `json:"replacement_room"`
}

// upgradeRoom replaces a room by one of another version.
//
// POST /_matrix/client/v3/rooms/{roomId}/upgrade
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidupgrade
func (a *API) upgradeRoom(ctx context.Context, caller httpapi.Caller, r *upgradeRequest) (*upgradeResponse, error) {
	id, err := a.rooms.Upgrade(ctx, rooms.UpgradeRequest{
		RoomID: r.RoomID, Sender: caller.UserID, Version: r.Version, AdditionalCreators: r.AdditionalCreators,
	})
	if err != nil {
		return nil, err
	}
	return &upgradeResponse{id}, nil
}
