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

func (a *API) hierarchyRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v1/rooms/{roomId}/hierarchy", Auth: httpapi.User, Handler: httpapi.JSON(a.hierarchy)},
	}
}

// How many rooms a page of a hierarchy has where the request does not say, and at most.
const (
	defaultHierarchy = 50
	maxHierarchy     = 100
)

type hierarchyRequest struct {
	RoomID        event.RoomID `path:"roomId"`
	From          string       `query:"from"`
	Limit         *int         `query:"limit"`
	MaxDepth      *int         `query:"max_depth"`
	SuggestedOnly bool         `query:"suggested_only"`
}

// Validate checks what needs no knowledge of the server.
func (r *hierarchyRequest) Validate() error {
	switch {
	case r.Limit != nil && *r.Limit <= 0:
		return matrixerr.InvalidParam("limit must be greater than zero")
	case r.MaxDepth != nil && *r.MaxDepth < 0:
		return matrixerr.InvalidParam("max_depth must not be negative")
	default:
		return nil
	}
}

// spaceRoom is the specification's SpaceHierarchyRoomsChunk.
type spaceRoom struct {
	roomSummary
	Children []json.RawMessage `json:"children_state"`
}

type hierarchyResponse struct {
	Rooms []spaceRoom `json:"rooms"`
	Next  string      `json:"next_batch,omitempty"`
}

// hierarchy returns a page of the rooms of a space.
//
// GET /_matrix/client/v1/rooms/{roomId}/hierarchy
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (a *API) hierarchy(ctx context.Context, caller httpapi.Caller, r *hierarchyRequest) (*hierarchyResponse, error) {
	q := rooms.HierarchyQuery{From: r.From, Limit: defaultHierarchy, MaxDepth: r.MaxDepth, SuggestedOnly: r.SuggestedOnly}
	if r.Limit != nil {
		q.Limit = min(*r.Limit, maxHierarchy)
	}
	page, err := a.rooms.Hierarchy(ctx, caller.UserID, r.RoomID, q)
	if err != nil {
		return nil, err
	}
	answer := &hierarchyResponse{Rooms: make([]spaceRoom, len(page.Rooms)), Next: page.Next}
	for i, room := range page.Rooms {
		children := make([]json.RawMessage, len(room.Children))
		for j, c := range room.Children {
			children[j] = c
		}
		answer.Rooms[i] = spaceRoom{newRoomSummary(room.Summary), children}
	}
	return answer, nil
}
