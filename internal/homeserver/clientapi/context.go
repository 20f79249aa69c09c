// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

func (a *API) contextRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/context/{eventId}", Auth: httpapi.User, Handler: httpapi.JSON(a.eventContext)},
		{Method: "GET", Path: "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event", Auth: httpapi.User, Handler: httpapi.JSON(a.timestampToEvent)},
	}
}

// maxContext is the most events around one that are returned.
const maxContext = 100

type contextRequest struct {
	RoomID  event.RoomID `path:"roomId"`
	EventID string       `path:"eventId"`
	Limit   *int         `query:"limit"`
	Filter  *string      `query:"filter"`
}

// Validate checks what needs no knowledge of the server.
func (r *contextRequest) Validate() error {
	if r.Limit != nil && *r.Limit < 0 {
		return matrixerr.InvalidParam("limit must not be negative")
	}
	return nil
}

type contextResponse struct {
	start, end    string
	event         eventList // of one
	before, after eventList
	state         eventList
}

// AppendJSON appends the answer.
func (r *contextResponse) AppendJSON(dst []byte) ([]byte, error) {
	dst = event.AppendString(append(dst, `{"start":`...), r.start)
	dst = event.AppendString(append(dst, `,"end":`...), r.end)
	dst = r.event.appendOne(append(dst, `,"event":`...), 0)
	for _, part := range []struct {
		name string
		list *eventList
	}{{`,"events_before":`, &r.before}, {`,"events_after":`, &r.after}, {`,"state":`, &r.state}} {
		var err error
		if dst, err = part.list.AppendJSON(append(dst, part.name...)); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// eventContext returns an event with those before and after it.
//
// GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
func (a *API) eventContext(ctx context.Context, caller httpapi.Caller, r *contextRequest) (*contextResponse, error) {
	f, limit := &filter.RoomEvents{}, filter.DefaultLimit
	if r.Filter != nil {
		var err error
		if f, err = filter.ParseRoomEvents([]byte(*r.Filter)); err != nil {
			return nil, matrixerr.BadJSON("the filter is not valid")
		}
	}
	if r.Limit != nil {
		limit = min(*r.Limit, maxContext)
	}
	room := f.MatchesRoom(string(r.RoomID))
	matches := func(ev *rooms.StoredEvent) bool {
		return room && f.Matches(ev.Type(), string(ev.Sender())) && f.MatchesURL(hasURL(ev))
	}
	around, err := a.rooms.Context(ctx, caller.UserID, rooms.ContextQuery{
		RoomID: r.RoomID, EventID: event.EventID(r.EventID), Limit: limit, Matches: matches,
	})
	if err != nil {
		return nil, err
	}
	answer := &contextResponse{start: rooms.Token(around.Start), end: rooms.Token(around.End)}
	if err := a.fillContext(ctx, caller, around, answer); err != nil {
		return nil, err
	}
	answer.state, err = a.contextState(ctx, caller, around, f.LazyLoadMembers)
	answer.state.events = slices.DeleteFunc(answer.state.events, func(ev *rooms.StoredEvent) bool { return !matches(ev) })
	return answer, err
}

// fillContext puts the events into the answer.
func (a *API) fillContext(ctx context.Context, caller httpapi.Caller, around *rooms.Around, answer *contextResponse) error {
	all := slices.Concat([]*rooms.StoredEvent{around.Event}, around.Before, around.After)
	list, err := a.bundledList(ctx, caller, all)
	if err != nil {
		return err
	}
	answer.event, answer.before, answer.after = list, list, list
	after := 1 + len(around.Before)
	answer.event.events = all[:1]
	answer.before.events, answer.before.memberships = all[1:after], list.memberships[1:after]
	answer.after.events, answer.after.memberships = all[after:], list.memberships[after:]
	return nil
}

// contextState is the state at the last event; with lazy loading only the
// members who sent what is returned.
func (a *API) contextState(ctx context.Context, caller httpapi.Caller, around *rooms.Around, lazy bool) (eventList, error) {
	list := eventList{api: a, viewer: viewer(caller)}
	var nids []int64
	entries, err := around.State.NonMembers(ctx)
	if err != nil {
		return list, err
	}
	for _, e := range entries {
		nids = append(nids, e.NID)
	}
	if !lazy {
		members, err := around.State.MemberNIDs(ctx)
		if err != nil {
			return list, err
		}
		nids = append(nids, members...)
	}
	if list.events, err = a.rooms.EventsByNID(ctx, nids); err != nil || !lazy {
		return list, err
	}
	shown := append(append([]*rooms.StoredEvent{around.Event}, around.Before...), around.After...)
	senders, err := a.rooms.Senders(ctx, shown)
	list.events = append(list.events, senders...)
	return list, err
}

type timestampRequest struct {
	RoomID event.RoomID `path:"roomId"`
	TS     int64        `query:"ts" required:"true"`
	Dir    string       `query:"dir" required:"true"`
}

// Validate checks what needs no knowledge of the server.
func (r *timestampRequest) Validate() error {
	if r.Dir != "b" && r.Dir != "f" {
		return matrixerr.InvalidParam("dir is b or f")
	}
	return nil
}

type timestampResponse struct {
	EventID        event.EventID `json:"event_id"`
	OriginServerTS int64         `json:"origin_server_ts"`
}

// timestampToEvent returns the event that is nearest to a time.
//
// GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
func (a *API) timestampToEvent(ctx context.Context, caller httpapi.Caller, r *timestampRequest) (*timestampResponse, error) {
	ev, err := a.rooms.EventAt(ctx, caller.UserID, r.RoomID, r.TS, r.Dir == "b")
	if err != nil {
		return nil, err
	}
	return &timestampResponse{ev.ID(), ev.OriginServerTS()}, nil
}
