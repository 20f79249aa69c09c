// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"slices"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) threadRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v1/rooms/{roomId}/threads", Auth: httpapi.User, Handler: httpapi.JSON(a.threads)},
	}
}

// How many events a page of relations or threads has.
const (
	defaultRelations = 20
	maxRelations     = 100
)

// relationLimit is the length of a page for a limit that a client asks for.
func relationLimit(limit *int) int {
	if limit == nil {
		return defaultRelations
	}
	return min(*limit, maxRelations)
}

// checkRelationLimit refuses limits of nothing.
func checkRelationLimit(limit *int) error {
	if limit != nil && *limit <= 0 {
		return matrixerr.InvalidParam("limit must be positive")
	}
	return nil
}

type threadsRequest struct {
	RoomID  event.RoomID `path:"roomId"`
	Include string       `query:"include"`
	Limit   *int         `query:"limit"`
	From    *string      `query:"from"`
}

// Validate checks what needs no knowledge of the server.
func (r *threadsRequest) Validate() error {
	switch r.Include {
	case "", "all", "participated":
		return checkRelationLimit(r.Limit)
	default:
		return matrixerr.InvalidParam("include is all or participated")
	}
}

// eventPage is a page of events with tokens for the others.
type eventPage struct {
	chunk eventList
	// next and previous are nil where there is nothing more.
	next, previous *string
	// depth is how far relations were followed, 0 if they were not.
	depth int64
}

// AppendJSON appends the answer.
func (p *eventPage) AppendJSON(dst []byte) ([]byte, error) {
	dst, err := p.chunk.AppendJSON(append(dst, `{"chunk":`...))
	if err != nil {
		return nil, err
	}
	if p.next != nil {
		dst = event.AppendString(append(dst, `,"next_batch":`...), *p.next)
	}
	if p.previous != nil {
		dst = event.AppendString(append(dst, `,"prev_batch":`...), *p.previous)
	}
	if p.depth > 0 {
		dst = strconv.AppendInt(append(dst, `,"recursion_depth":`...), p.depth, 10)
	}
	return append(dst, '}'), nil
}

// endToken is the token for what comes after a page, nil if nothing does.
func endToken(page *rooms.Page) *string {
	if page.End == nil {
		return nil
	}
	token := rooms.Token(*page.End)
	return &token
}

// threads returns the events at which threads of a room begin. A thread in
// which only ignored users replied is left out.
//
// GET /_matrix/client/v1/rooms/{roomId}/threads
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
func (a *API) threads(ctx context.Context, caller httpapi.Caller, r *threadsRequest) (*eventPage, error) {
	from, err := parseToken(r.From)
	if err != nil {
		return nil, err
	}
	access, err := a.rooms.Access(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	page, err := a.rooms.Threads(ctx, access, rooms.ThreadsQuery{
		From: from, Limit: relationLimit(r.Limit), Participated: r.Include == "participated",
	})
	if err != nil {
		return nil, err
	}
	bundles, err := a.rooms.Bundle(ctx, viewer(caller), page.Events)
	if err != nil {
		return nil, err
	}
	roots := slices.DeleteFunc(page.Events, func(ev *rooms.StoredEvent) bool { return bundles[ev.NID] == nil })
	memberships, err := a.rooms.MembershipsAt(ctx, caller.UserID, roots)
	list := eventList{api: a, events: roots, viewer: viewer(caller), memberships: memberships, bundles: bundles}
	return &eventPage{chunk: list, next: endToken(page)}, err
}
