// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) stateRoutes() []httpapi.Route {
	const state = "/_matrix/client/v3/rooms/{roomId}/state"
	return []httpapi.Route{
		{Method: "GET", Path: state, Auth: httpapi.User, Handler: httpapi.JSON(a.state)},
		{Method: "GET", Path: state + "/{eventType}/{stateKey?}", Auth: httpapi.User, Handler: httpapi.JSON(a.stateEvent)},
		{Method: "PUT", Path: state + "/{eventType}/{stateKey?}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setState)},
	}
}

type stateRequest struct {
	RoomID event.RoomID `path:"roomId"`
}

// state returns the state of a room, or what it was when the caller left.
//
// GET /_matrix/client/v3/rooms/{roomId}/state
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
func (a *API) state(ctx context.Context, caller httpapi.Caller, r *stateRequest) (*eventList, error) {
	access, err := a.rooms.Access(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	state, err := a.rooms.State(ctx, access)
	if err != nil {
		return nil, err
	}
	nids, err := state.NIDs(ctx)
	if err != nil {
		return nil, err
	}
	events, err := a.rooms.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	return &eventList{api: a, events: events, viewer: viewer(caller)}, nil
}

type stateEventRequest struct {
	RoomID   event.RoomID `path:"roomId"`
	Type     string       `path:"eventType"`
	StateKey string       `path:"stateKey"`
	Format   string       `query:"format"`
}

// Validate checks the format.
func (r *stateEventRequest) Validate() error {
	if r.Format != "" && r.Format != "content" && r.Format != "event" {
		return matrixerr.InvalidParam("format is content or event")
	}
	return nil
}

// stateEvent returns one piece of the state of a room.
//
// GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey
func (a *API) stateEvent(ctx context.Context, caller httpapi.Caller, r *stateEventRequest) (*json.RawMessage, error) {
	access, err := a.rooms.Access(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	state, err := a.rooms.State(ctx, access)
	if err != nil {
		return nil, err
	}
	ev, err := state.Event(ctx, event.StateKey{Type: r.Type, Key: r.StateKey})
	if err != nil {
		return nil, err
	}
	if ev == nil {
		return nil, matrixerr.NotFound("the room has no such state")
	}
	answer := json.RawMessage(ev.Content())
	if r.Format == "event" {
		answer = a.rooms.ClientEvent(nil, ev, viewer(caller))
	}
	return &answer, nil
}

type setStateRequest struct {
	RoomID   event.RoomID    `path:"roomId"`
	Type     string          `path:"eventType"`
	StateKey string          `path:"stateKey"`
	Content  json.RawMessage `body:"raw"`
}

// setState sends a state event. One that changes nothing is not sent again.
//
// PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
func (a *API) setState(ctx context.Context, caller httpapi.Caller, r *setStateRequest) (*sendResponse, error) {
	return sent(a.rooms.Send(ctx, rooms.SendRequest{
		RoomID: r.RoomID, Sender: caller.UserID, Type: r.Type, StateKey: &r.StateKey, Content: r.Content,
	}))
}
