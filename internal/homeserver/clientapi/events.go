// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) eventRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/event/{eventId}", Auth: httpapi.User, Handler: httpapi.JSON(a.event)},
	}
}

func viewer(caller httpapi.Caller) rooms.Viewer {
	return rooms.Viewer{UserID: caller.UserID, DeviceID: caller.DeviceID}
}

// eventList is a JSON array of events as one viewer sees them.
type eventList struct {
	api    *API
	events []*rooms.StoredEvent
	viewer rooms.Viewer
	// memberships are the viewer's at each event; nil leaves them out.
	memberships []string
	// bundles are what points at the events; nil leaves them out.
	bundles rooms.Bundles
}

// bundledList is a list of events with the caller's membership at each and
// with what points at them.
func (a *API) bundledList(ctx context.Context, caller httpapi.Caller, events []*rooms.StoredEvent) (eventList, error) {
	list := eventList{api: a, events: events, viewer: viewer(caller)}
	var err error
	if list.memberships, err = a.rooms.MembershipsAt(ctx, caller.UserID, events); err != nil {
		return list, err
	}
	list.bundles, err = a.rooms.Bundle(ctx, list.viewer, events)
	return list, err
}

// AppendJSON appends the array.
func (l *eventList) AppendJSON(dst []byte) ([]byte, error) {
	dst = append(dst, '[')
	for i := range l.events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = l.appendOne(dst, i)
	}
	return append(dst, ']'), nil
}

// appendOne appends the event at place i.
func (l *eventList) appendOne(dst []byte, i int) []byte {
	v := l.viewer
	if l.memberships != nil {
		v.Membership = l.memberships[i]
	}
	v.Relations = l.bundles[l.events[i].NID]
	return l.api.rooms.ClientEvent(dst, l.events[i], v)
}

type eventRequest struct {
	RoomID  event.RoomID `path:"roomId"`
	EventID string       `path:"eventId"`
}

// event returns an event that the caller may see.
//
// GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
func (a *API) event(ctx context.Context, caller httpapi.Caller, r *eventRequest) (*json.RawMessage, error) {
	ev, err := a.rooms.WantedEvent(ctx, caller.UserID, r.RoomID, event.EventID(r.EventID))
	if err != nil {
		return nil, err
	}
	list, err := a.bundledList(ctx, caller, []*rooms.StoredEvent{ev})
	answer := json.RawMessage(list.appendOne(nil, 0))
	return &answer, err
}
