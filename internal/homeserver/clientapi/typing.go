// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (a *API) typingRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "PUT", Path: "/_matrix/client/v3/rooms/{roomId}/typing/{userId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Quiet: true, Handler: httpapi.JSON(a.setTyping)},
	}
}

type setTypingRequest struct {
	RoomID event.RoomID `path:"roomId"`
	UserID event.UserID `path:"userId"`
	Typing bool         `json:"typing" required:"true"`
	// Timeout is in milliseconds.
	Timeout *int64 `json:"timeout"`
}

// setTyping notes that the caller types in a room, or no longer does.
//
// PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid
func (a *API) setTyping(ctx context.Context, caller httpapi.Caller, r *setTypingRequest) (*httpapi.Empty, error) {
	if r.UserID != caller.UserID {
		return nil, matrixerr.Forbidden("you cannot type for another user")
	}
	d := stream.DefaultTyping
	if r.Timeout != nil {
		if *r.Timeout < 0 {
			return nil, matrixerr.InvalidParam("timeout must not be negative")
		}
		d = time.Duration(min(*r.Timeout, stream.MaxTyping.Milliseconds())) * time.Millisecond
	}
	if !r.Typing {
		d = 0
	}
	return nil, a.stream.SetTyping(ctx, caller.UserID, r.RoomID, d)
}
