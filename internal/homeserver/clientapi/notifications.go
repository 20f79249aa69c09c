// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) notificationRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/notifications", Auth: httpapi.User, Handler: httpapi.JSON(a.notifications)},
	}
}

type notificationsRequest struct {
	From  *string `query:"from"`
	Limit *int    `query:"limit"`
	Only  string  `query:"only"`
}

// Validate checks what needs no knowledge of the server.
func (r *notificationsRequest) Validate() error {
	if r.Only != "" && r.Only != "highlight" {
		return matrixerr.InvalidParam("only is highlight")
	}
	return checkRelationLimit(r.Limit)
}

// notificationPage is the answer.
type notificationPage struct {
	api    *API
	viewer rooms.Viewer
	found  []push.Listed
	rooms  []event.RoomID
	// next is empty when there is nothing more.
	next string
}

// AppendJSON appends the answer.
func (p *notificationPage) AppendJSON(dst []byte) ([]byte, error) {
	dst = append(dst, `{"notifications":[`...)
	for i, n := range p.found {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"actions":[`...)
		for j, action := range n.Actions {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, action...)
		}
		dst = p.api.rooms.ClientEvent(append(dst, `],"event":`...), n.Event, p.viewer)
		dst = strconv.AppendBool(append(dst, `,"read":`...), n.Read)
		dst = event.AppendString(append(dst, `,"room_id":`...), string(p.rooms[i]))
		dst = strconv.AppendInt(append(dst, `,"ts":`...), n.Event.OriginServerTS(), 10)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if p.next != "" {
		dst = event.AppendString(append(dst, `,"next_token":`...), p.next)
	}
	return append(dst, '}'), nil
}

// notifications returns what the caller is or was notified of, in the rooms
// that the caller is joined to, newest first.
//
// GET /_matrix/client/v3/notifications
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications
func (a *API) notifications(ctx context.Context, caller httpapi.Caller, r *notificationsRequest) (*notificationPage, error) {
	from, err := parseToken(r.From)
	if err != nil {
		return nil, err
	}
	found, next, err := a.push.List(ctx, push.ListQuery{
		User: caller.UserID, To: from, Limit: relationLimit(r.Limit), Highlights: r.Only == "highlight",
	})
	if err != nil {
		return nil, err
	}
	p := &notificationPage{api: a, viewer: viewer(caller), found: found}
	p.viewer.OmitRoomID = true
	for _, n := range found {
		info, err := a.rooms.RoomByNID(ctx, n.Event.RoomNID)
		if err != nil {
			return nil, err
		}
		p.rooms = append(p.rooms, info.ID)
	}
	if next != nil {
		p.next = rooms.Token(*next)
	}
	return p, nil
}
