// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) reportRoutes() []httpapi.Route {
	const v3 = "/_matrix/client/v3/"
	return []httpapi.Route{
		{Method: "POST", Path: v3 + "rooms/{roomId}/report", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.reportRoom)},
		{Method: "POST", Path: v3 + "rooms/{roomId}/report/{eventId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.reportEvent)},
		{Method: "POST", Path: v3 + "users/{userId}/report", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.reportUser)},
	}
}

type reportRoomRequest struct {
	RoomID event.RoomID `path:"roomId"`
	Reason string       `json:"reason" required:"true"`
}

// reportRoom tells the administrators of a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/report
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreport
// As the specification allows, the answer does not tell whether there is such a room.
func (a *API) reportRoom(ctx context.Context, caller httpapi.Caller, r *reportRoomRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.ReportRoom(ctx, caller.UserID, r.RoomID, r.Reason)
}

type reportEventRequest struct {
	RoomID  event.RoomID `path:"roomId"`
	EventID string       `path:"eventId"`
	// Reason was optional before v1.18, and clients still leave it out.
	Reason string `json:"reason"`
}

// reportEvent tells the administrators of an event.
//
// POST /_matrix/client/v3/rooms/{roomId}/report/{eventId}
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreporteventid
func (a *API) reportEvent(ctx context.Context, caller httpapi.Caller, r *reportEventRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.ReportEvent(ctx, caller.UserID, r.RoomID, event.EventID(r.EventID), r.Reason)
}

type reportUserRequest struct {
	UserID event.UserID `path:"userId"`
	Reason string       `json:"reason" required:"true"`
}

// reportUser tells the administrators of a user. Local users are known by
// their profiles anyway, so that an unknown one is told from them.
//
// POST /_matrix/client/v3/users/{userId}/report
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3usersuseridreport
func (a *API) reportUser(ctx context.Context, caller httpapi.Caller, r *reportUserRequest) (*httpapi.Empty, error) {
	if r.UserID.Server() == a.rooms.ServerName() {
		exists, err := a.accounts.Exists(ctx, r.UserID)
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, matrixerr.NotFound("user not found")
		}
	}
	return nil, a.rooms.ReportUser(ctx, caller.UserID, r.UserID, r.Reason)
}
