// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) relationRoutes() []httpapi.Route {
	const relations = "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}"
	return []httpapi.Route{
		{Method: "GET", Path: relations, Auth: httpapi.User, Handler: httpapi.JSON(a.relations)},
		{Method: "GET", Path: relations + "/{relType}", Auth: httpapi.User, Handler: httpapi.JSON(a.relationsOfType)},
		{Method: "GET", Path: relations + "/{relType}/{eventType}", Auth: httpapi.User, Handler: httpapi.JSON(a.relationsOfBothTypes)},
	}
}

// relationsRequest is of all three paths; what a path does not have is empty.
type relationsRequest struct {
	RoomID    event.RoomID `path:"roomId"`
	EventID   string       `path:"eventId"`
	RelType   string       `path:"relType"`
	EventType string       `path:"eventType"`
	Dir       string       `query:"dir"`
	From      *string      `query:"from"`
	To        *string      `query:"to"`
	Limit     *int         `query:"limit"`
	Recurse   *bool        `query:"recurse"`
}

// Validate checks what needs no knowledge of the server.
func (r *relationsRequest) Validate() error {
	switch r.Dir {
	case "", "b", "f":
		return checkRelationLimit(r.Limit)
	default:
		return matrixerr.InvalidParam("dir is b or f")
	}
}

// relations returns what points at an event.
//
// GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
func (a *API) relations(ctx context.Context, caller httpapi.Caller, r *relationsRequest) (*eventPage, error) {
	return a.relationPage(ctx, caller, r, rooms.RelationsQuery{})
}

// relationsOfType returns what points at an event in one way.
//
// GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltype
func (a *API) relationsOfType(ctx context.Context, caller httpapi.Caller, r *relationsRequest) (*eventPage, error) {
	return a.relationPage(ctx, caller, r, rooms.RelationsQuery{RelType: &r.RelType})
}

// relationsOfBothTypes returns the events of one type that point at an event in one way.
//
// GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltypeeventtype
func (a *API) relationsOfBothTypes(ctx context.Context, caller httpapi.Caller, r *relationsRequest) (*eventPage, error) {
	return a.relationPage(ctx, caller, r, rooms.RelationsQuery{RelType: &r.RelType, Type: &r.EventType})
}

// relationPage answers all three; q has the types that are wanted.
func (a *API) relationPage(ctx context.Context, caller httpapi.Caller, r *relationsRequest, q rooms.RelationsQuery) (*eventPage, error) {
	q.RoomID, q.EventID = r.RoomID, event.EventID(r.EventID)
	q.Backwards, q.Limit = r.Dir != "f", relationLimit(r.Limit)
	q.Recurse = r.Recurse != nil && *r.Recurse
	var err error
	if q.From, err = parseToken(r.From); err != nil {
		return nil, err
	}
	if q.To, err = parseToken(r.To); err != nil {
		return nil, err
	}
	page, err := a.rooms.Relations(ctx, caller.UserID, q)
	if err != nil {
		return nil, err
	}
	answer := &eventPage{next: endToken(page)}
	if q.From != nil {
		answer.previous = r.From
	}
	if r.Recurse != nil && *r.Recurse {
		answer.depth = rooms.MaxRelationDepth
	}
	answer.chunk, err = a.bundledList(ctx, caller, page.Events)
	return answer, err
}
