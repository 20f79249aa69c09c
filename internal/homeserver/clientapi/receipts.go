// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (a *API) receiptRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Quiet: true, Handler: httpapi.JSON(a.setReceipt)},
	}
}

type setReceiptRequest struct {
	RoomID  event.RoomID  `path:"roomId"`
	Type    string        `path:"receiptType"`
	EventID event.EventID `path:"eventId"`
	// ThreadID is raw because a wrong type is an invalid parameter here.
	ThreadID json.RawMessage `json:"thread_id"`
}

// Validate checks the type and the thread.
func (r *setReceiptRequest) Validate() error {
	switch r.Type {
	case stream.ReceiptRead, stream.ReceiptReadPrivate:
	case stream.MarkerFullyRead:
		if r.ThreadID != nil {
			return matrixerr.InvalidParam("m.fully_read takes no thread_id")
		}
	default:
		return matrixerr.InvalidParam("unknown type of receipt")
	}
	if r.ThreadID != nil && r.thread() == "" {
		return matrixerr.InvalidParam("thread_id must be a non-empty string")
	}
	return nil
}

// thread returns the thread, "" if there is none.
func (r *setReceiptRequest) thread() string {
	thread, _ := event.StringValue(r.ThreadID)
	return thread
}

// setReceipt notes how far the caller has read a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid
func (a *API) setReceipt(ctx context.Context, caller httpapi.Caller, r *setReceiptRequest) (*httpapi.Empty, error) {
	marker := stream.Marker{Type: r.Type, EventID: r.EventID, Thread: r.thread()}
	return nil, a.stream.SetMarkers(ctx, caller.UserID, r.RoomID, []stream.Marker{marker})
}
