// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

func (a *API) messageRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/messages", Auth: httpapi.User, Handler: httpapi.JSON(a.messages)},
	}
}

type messagesRequest struct {
	RoomID event.RoomID `path:"roomId"`
	From   *string      `query:"from"`
	To     *string      `query:"to"`
	Dir    string       `query:"dir" required:"true"`
	Limit  *int64       `query:"limit"`
	Filter *string      `query:"filter"`
}

// Validate checks what needs no knowledge of the server.
func (r *messagesRequest) Validate() error {
	switch {
	case r.Dir != "b" && r.Dir != "f":
		return matrixerr.InvalidParam("dir is b or f")
	case r.Limit != nil && *r.Limit < 0:
		return matrixerr.InvalidParam("limit must not be negative")
	default:
		return nil
	}
}

// query translates the request.
func (r *messagesRequest) query() (q rooms.MessagesQuery, f *filter.RoomEvents, err error) {
	f = &filter.RoomEvents{}
	if r.Filter != nil {
		if f, err = filter.ParseRoomEvents([]byte(*r.Filter)); err != nil {
			return q, nil, matrixerr.BadJSON("the filter is not valid")
		}
	}
	if r.Limit != nil {
		f.Limit = r.Limit
	}
	q = rooms.MessagesQuery{Backwards: r.Dir == "b", Limit: f.Max()}
	if q.From, err = parseToken(r.From); err != nil {
		return q, nil, err
	}
	if q.To, err = parseToken(r.To); err != nil {
		return q, nil, err
	}
	room := f.MatchesRoom(string(r.RoomID))
	if !room || !f.All() {
		q.Matches = func(ev *rooms.StoredEvent) bool {
			return room && f.Matches(ev.Type(), string(ev.Sender())) && f.MatchesURL(hasURL(ev))
		}
	}
	return q, f, nil
}

// hasURL reports whether an event's content has a url.
func hasURL(ev *rooms.StoredEvent) bool {
	content, _ := event.ParseObject(ev.Content())
	_, ok := content.String("url")
	return ok
}

// parseToken reads a pagination token; nil or empty stands for none.
func parseToken(text *string) (*int64, error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	pos, err := rooms.ParseToken(*text)
	if errors.Is(err, rooms.ErrBadToken) {
		return nil, matrixerr.InvalidParam("a token is not one of this server")
	}
	return &pos, err
}

// messagesResponse is a page of history.
type messagesResponse struct {
	page  *rooms.Page
	chunk eventList
	// state is nil unless members are loaded lazily.
	state *eventList
}

// AppendJSON appends the answer.
func (r *messagesResponse) AppendJSON(dst []byte) ([]byte, error) {
	dst, err := r.chunk.AppendJSON(append(dst, `{"chunk":`...))
	if err != nil {
		return nil, err
	}
	if r.page.End != nil {
		dst = event.AppendString(append(dst, `,"end":`...), rooms.Token(*r.page.End))
	}
	dst = event.AppendString(append(dst, `,"start":`...), rooms.Token(r.page.Start))
	if r.state != nil {
		if dst, err = r.state.AppendJSON(append(dst, `,"state":`...)); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// messages returns a page of a room's history.
//
// GET /_matrix/client/v3/rooms/{roomId}/messages
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
func (a *API) messages(ctx context.Context, caller httpapi.Caller, r *messagesRequest) (*messagesResponse, error) {
	query, f, err := r.query()
	if err != nil {
		return nil, err
	}
	access, err := a.rooms.Access(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	page, err := a.rooms.Messages(ctx, access, query)
	if err != nil {
		return nil, err
	}
	chunk, err := a.bundledList(ctx, caller, page.Events)
	if err != nil {
		return nil, err
	}
	answer := &messagesResponse{page: page, chunk: chunk}
	if f.LazyLoadMembers {
		senders, err := a.rooms.Senders(ctx, page.Events)
		if err != nil {
			return nil, err
		}
		answer.state = &eventList{api: a, events: senders, viewer: viewer(caller)}
	}
	return answer, nil
}
