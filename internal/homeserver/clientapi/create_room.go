// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) createRoomRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/createRoom", Auth: httpapi.User, Limit: httpapi.LimitInvite, Handler: httpapi.JSON(a.createRoom)},
	}
}

// maxInvites and maxInitialState bound what one request makes.
const (
	maxInvites      = 200
	maxInitialState = 500
)

type createRoomRequest struct {
	Visibility      string                `json:"visibility"`
	AliasName       string                `json:"room_alias_name"`
	Name            *string               `json:"name"`
	Topic           *string               `json:"topic"`
	Invite          []event.UserID        `json:"invite"`
	InviteThirdID   []json.RawMessage     `json:"invite_3pid"`
	RoomVersion     event.RoomVersion     `json:"room_version"`
	CreationContent json.RawMessage       `json:"creation_content"`
	InitialState    []initialStateRequest `json:"initial_state"`
	Preset          string                `json:"preset"`
	IsDirect        bool                  `json:"is_direct"`
	PowerLevels     json.RawMessage       `json:"power_level_content_override"`
}

type initialStateRequest struct {
	Type     string          `json:"type" required:"true"`
	StateKey string          `json:"state_key"`
	Content  json.RawMessage `json:"content" required:"true"`
}

// Validate checks what needs no knowledge of the server.
func (r *createRoomRequest) Validate() error {
	switch {
	case r.Visibility != "" && r.Visibility != "public" && r.Visibility != "private":
		return matrixerr.InvalidParam("visibility is public or private")
	case len(r.InviteThirdID) > 0:
		return matrixerr.New(http.StatusForbidden, "M_THREEPID_DENIED", "this server invites no third-party identifiers")
	case len(r.Invite) > maxInvites:
		return matrixerr.InvalidParam("too many invitations at once")
	case len(r.InitialState) > maxInitialState:
		return matrixerr.InvalidParam("too much initial state")
	default:
		return nil
	}
}

type createRoomResponse struct {
	RoomID event.RoomID `json:"room_id"`
}

// createRoom makes a room of which the caller is the first member.
//
// POST /_matrix/client/v3/createRoom
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
// Third-party invites are refused: there is no identity server.
func (a *API) createRoom(ctx context.Context, caller httpapi.Caller, r *createRoomRequest) (*createRoomResponse, error) {
	create := rooms.CreateRequest{
		Creator: caller.UserID, Public: r.Visibility == "public", Preset: r.Preset, Version: r.RoomVersion,
		AliasName: r.AliasName, Name: r.Name, Topic: r.Topic, Invite: r.Invite, IsDirect: r.IsDirect,
		CreationContent: present(r.CreationContent), PowerLevels: present(r.PowerLevels),
	}
	for _, i := range r.InitialState {
		create.InitialState = append(create.InitialState, rooms.InitialState{Type: i.Type, StateKey: i.StateKey, Content: i.Content})
	}
	id, err := a.rooms.Create(ctx, create)
	if err != nil {
		return nil, err
	}
	return &createRoomResponse{id}, nil
}

// present is raw, or nil where a client wrote null for nothing.
func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
