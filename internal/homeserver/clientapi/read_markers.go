// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (a *API) readMarkerRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/rooms/{roomId}/read_markers", Auth: httpapi.User, Limit: httpapi.LimitMessage, Quiet: true, Handler: httpapi.JSON(a.setReadMarkers)},
	}
}

type setReadMarkersRequest struct {
	RoomID      event.RoomID  `path:"roomId"`
	FullyRead   event.EventID `json:"m.fully_read"`
	Read        event.EventID `json:"m.read"`
	ReadPrivate event.EventID `json:"m.read.private"`
}

// setReadMarkers notes how far the caller has read a room, in several ways at once.
//
// POST /_matrix/client/v3/rooms/{roomId}/read_markers
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidread_markers
func (a *API) setReadMarkers(ctx context.Context, caller httpapi.Caller, r *setReadMarkersRequest) (*httpapi.Empty, error) {
	var markers []stream.Marker
	for _, m := range []stream.Marker{
		{Type: stream.MarkerFullyRead, EventID: r.FullyRead},
		{Type: stream.ReceiptRead, EventID: r.Read},
		{Type: stream.ReceiptReadPrivate, EventID: r.ReadPrivate},
	} {
		if m.EventID != "" {
			markers = append(markers, m)
		}
	}
	return nil, a.stream.SetMarkers(ctx, caller.UserID, r.RoomID, markers)
}
