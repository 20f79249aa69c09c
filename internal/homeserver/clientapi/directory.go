// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func (a *API) directoryRoutes() []httpapi.Route {
	const directory = "/_matrix/client/v3/directory/"
	return []httpapi.Route{
		{Method: "GET", Path: directory + "room/{roomAlias}", Auth: httpapi.Public, Handler: httpapi.JSON(a.roomOfAlias)},
		{Method: "PUT", Path: directory + "room/{roomAlias}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.addAlias)},
		{Method: "DELETE", Path: directory + "room/{roomAlias}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.deleteAlias)},
		{Method: "GET", Path: directory + "list/room/{roomId}", Auth: httpapi.Public, Handler: httpapi.JSON(a.roomVisibility)},
		{Method: "PUT", Path: directory + "list/room/{roomId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setRoomVisibility)},
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/aliases", Auth: httpapi.User, Handler: httpapi.JSON(a.roomAliases)},
	}
}

type aliasRequest struct {
	Alias event.RoomAlias `path:"roomAlias"`
}

type aliasResponse struct {
	RoomID  event.RoomID       `json:"room_id"`
	Servers []event.ServerName `json:"servers"`
}

// roomOfAlias returns the room that an alias points to.
//
// GET /_matrix/client/v3/directory/room/{roomAlias}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias
func (a *API) roomOfAlias(ctx context.Context, _ httpapi.Caller, r *aliasRequest) (*aliasResponse, error) {
	room, err := a.rooms.AliasRoom(ctx, r.Alias)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.NotFound("room alias not found")
	}
	return &aliasResponse{room, []event.ServerName{a.rooms.ServerName()}}, err
}

type addAliasRequest struct {
	Alias  event.RoomAlias `path:"roomAlias"`
	RoomID event.RoomID    `json:"room_id" required:"true"`
}

// addAlias makes an alias point to a room of the caller.
//
// PUT /_matrix/client/v3/directory/room/{roomAlias}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias
func (a *API) addAlias(ctx context.Context, caller httpapi.Caller, r *addAliasRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.AddAlias(ctx, caller.UserID, r.Alias, r.RoomID)
}

// deleteAlias deletes an alias.
//
// DELETE /_matrix/client/v3/directory/room/{roomAlias}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias
func (a *API) deleteAlias(ctx context.Context, caller httpapi.Caller, r *aliasRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.DeleteAlias(ctx, caller.UserID, caller.Admin, r.Alias)
}

type roomRequest struct {
	RoomID event.RoomID `path:"roomId"`
}

type aliasesResponse struct {
	Aliases []string `json:"aliases"`
}

// roomAliases returns the aliases of a room.
//
// GET /_matrix/client/v3/rooms/{roomId}/aliases
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases
func (a *API) roomAliases(ctx context.Context, caller httpapi.Caller, r *roomRequest) (*aliasesResponse, error) {
	aliases, err := a.rooms.Aliases(ctx, caller.UserID, r.RoomID)
	if aliases == nil {
		aliases = []string{}
	}
	return &aliasesResponse{aliases}, err
}

const (
	visibilityPublic  = "public"
	visibilityPrivate = "private"
)

type visibilityResponse struct {
	Visibility string `json:"visibility"`
}

// roomVisibility tells whether a room is in the room directory.
//
// GET /_matrix/client/v3/directory/list/room/{roomId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
func (a *API) roomVisibility(ctx context.Context, _ httpapi.Caller, r *roomRequest) (*visibilityResponse, error) {
	public, err := a.rooms.IsPublic(ctx, r.RoomID)
	if public {
		return &visibilityResponse{visibilityPublic}, err
	}
	return &visibilityResponse{visibilityPrivate}, err
}

type setVisibilityRequest struct {
	RoomID     event.RoomID `path:"roomId"`
	Visibility string       `json:"visibility"`
}

// Validate checks the visibility; without one the room becomes public.
func (r *setVisibilityRequest) Validate() error {
	switch r.Visibility {
	case "", visibilityPublic, visibilityPrivate:
		return nil
	default:
		return matrixerr.InvalidParam("visibility is public or private")
	}
}

// setRoomVisibility puts a room into the room directory or takes it out.
//
// PUT /_matrix/client/v3/directory/list/room/{roomId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid
func (a *API) setRoomVisibility(ctx context.Context, caller httpapi.Caller, r *setVisibilityRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.SetPublic(ctx, caller.UserID, caller.Admin, r.RoomID, r.Visibility != visibilityPrivate)
}
