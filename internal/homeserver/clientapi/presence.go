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

func (a *API) presenceRoutes() []httpapi.Route {
	const path = "/_matrix/client/v3/presence/{userId}/status"
	return []httpapi.Route{
		{Method: "GET", Path: path, Auth: httpapi.User, Handler: httpapi.JSON(a.presence)},
		{Method: "PUT", Path: path, Auth: httpapi.User, Limit: httpapi.LimitMessage, Quiet: true, Handler: httpapi.JSON(a.setPresence)},
	}
}

type presenceRequest struct {
	UserID event.UserID `path:"userId"`
}

type presenceResponse struct {
	Presence stream.PresenceState `json:"presence"`
	// LastActiveAgo is in milliseconds.
	LastActiveAgo   *int64 `json:"last_active_ago,omitempty"`
	StatusMsg       string `json:"status_msg,omitempty"`
	CurrentlyActive bool   `json:"currently_active,omitempty"`
}

// presence says whether a user is there. Where presence is switched off
// everybody is offline.
//
// GET /_matrix/client/v3/presence/{userId}/status
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3presenceuseridstatus
func (a *API) presence(ctx context.Context, caller httpapi.Caller, r *presenceRequest) (*presenceResponse, error) {
	p, err := a.stream.PresenceOf(ctx, caller.UserID, r.UserID)
	if err != nil {
		return nil, err
	}
	res := &presenceResponse{Presence: p.State, StatusMsg: p.Status, CurrentlyActive: p.State == stream.PresenceOnline}
	if !p.Active.IsZero() {
		ago := max(0, a.now().Sub(p.Active)) / time.Millisecond
		res.LastActiveAgo = (*int64)(&ago)
	}
	return res, nil
}

type setPresenceRequest struct {
	UserID    event.UserID         `path:"userId"`
	Presence  stream.PresenceState `json:"presence" required:"true"`
	StatusMsg *string              `json:"status_msg"`
}

// setPresence says whether the caller is there.
//
// PUT /_matrix/client/v3/presence/{userId}/status
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3presenceuseridstatus
func (a *API) setPresence(_ context.Context, caller httpapi.Caller, r *setPresenceRequest) (*httpapi.Empty, error) {
	if r.UserID != caller.UserID {
		return nil, matrixerr.Forbidden("you cannot be there for another user")
	}
	if !r.Presence.Valid() {
		return nil, matrixerr.InvalidParam("presence is offline, online or unavailable")
	}
	to := stream.Presence{State: r.Presence}
	if r.StatusMsg != nil {
		to.Status = *r.StatusMsg
	}
	return nil, a.stream.SetPresence(caller.UserID, caller.DeviceID, to)
}
