// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) summaryRoutes() []httpapi.Route {
	// The names of MSC3266 before it was accepted, which clients still use.
	const unstable = "/_matrix/client/unstable/im.nheko.summary/"
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v1/room_summary/{roomIdOrAlias}", Auth: httpapi.User, Handler: httpapi.JSON(a.roomSummary)},
		{Method: "GET", Path: unstable + "summary/{roomIdOrAlias}", Auth: httpapi.User, Handler: httpapi.JSON(a.unstableRoomSummary)},
		{Method: "GET", Path: unstable + "rooms/{roomIdOrAlias}/summary", Auth: httpapi.User, Handler: httpapi.JSON(a.unstableRoomSummary)},
	}
}

// roomSummary is the specification's RoomSummary.
type roomSummary struct {
	publicRoom
	AllowedRooms []event.RoomID    `json:"allowed_room_ids,omitempty"`
	Encryption   string            `json:"encryption,omitempty"`
	Version      event.RoomVersion `json:"room_version"`
}

func newRoomSummary(s *rooms.Summary) roomSummary {
	return roomSummary{newPublicRoom(s), s.AllowedRooms, s.Encryption, s.Version}
}

type summaryRequest struct {
	RoomIDOrAlias string `path:"roomIdOrAlias"`
}

type summaryResponse struct {
	roomSummary
	Membership string `json:"membership"`
}

// roomSummary returns what a room shows of itself to those who may join it.
//
// GET /_matrix/client/v1/room_summary/{roomIdOrAlias}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
// The parameter via is of no use while every room is on this server.
func (a *API) roomSummary(ctx context.Context, caller httpapi.Caller, r *summaryRequest) (*summaryResponse, error) {
	room, err := a.resolveRoom(ctx, r.RoomIDOrAlias)
	if err != nil {
		return nil, err
	}
	summary, membership, err := a.rooms.RoomSummary(ctx, caller.UserID, room)
	if err != nil {
		return nil, err
	}
	return &summaryResponse{newRoomSummary(summary), membership}, nil
}

type unstableSummaryResponse struct {
	summaryResponse
	UnstableEncryption string            `json:"im.nheko.summary.encryption,omitempty"`
	UnstableVersion    event.RoomVersion `json:"im.nheko.summary.room_version"`
}

// unstableRoomSummary is roomSummary with the members' names of MSC3266 as well.
//
// GET /_matrix/client/unstable/im.nheko.summary/summary/{roomIdOrAlias}
// GET /_matrix/client/unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary
// https://github.com/matrix-org/matrix-spec-proposals/pull/3266
func (a *API) unstableRoomSummary(ctx context.Context, caller httpapi.Caller, r *summaryRequest) (*unstableSummaryResponse, error) {
	summary, err := a.roomSummary(ctx, caller, r)
	if err != nil {
		return nil, err
	}
	return &unstableSummaryResponse{*summary, summary.Encryption, summary.Version}, nil
}
