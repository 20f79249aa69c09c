// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) memberRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/members", Auth: httpapi.User, Handler: httpapi.JSON(a.members)},
		{Method: "GET", Path: "/_matrix/client/v3/rooms/{roomId}/joined_members", Auth: httpapi.User, Handler: httpapi.JSON(a.joinedMembers)},
		{Method: "GET", Path: "/_matrix/client/v3/joined_rooms", Auth: httpapi.User, Handler: httpapi.JSON(a.joinedRooms)},
	}
}

type membersRequest struct {
	RoomID        event.RoomID `path:"roomId"`
	At            *string      `query:"at"`
	Membership    string       `query:"membership"`
	NotMembership string       `query:"not_membership"`
}

// Validate checks the memberships.
func (r *membersRequest) Validate() error {
	for _, m := range []string{r.Membership, r.NotMembership} {
		switch m {
		case "", rooms.Join, rooms.Invite, rooms.Leave, rooms.Ban, rooms.Knock:
		default:
			return matrixerr.InvalidParam("unknown membership")
		}
	}
	return nil
}

// wants reports whether members with the membership m are asked for. Two conditions are an or.
func (r *membersRequest) wants(m string) bool {
	switch {
	case r.Membership == "" && r.NotMembership == "":
		return true
	case r.Membership != "" && m == r.Membership:
		return true
	default:
		return r.NotMembership != "" && m != r.NotMembership
	}
}

// membersResponse wraps the events.
type membersResponse struct{ chunk eventList }

// AppendJSON appends the answer.
func (r *membersResponse) AppendJSON(dst []byte) ([]byte, error) {
	dst, err := r.chunk.AppendJSON(append(dst, `{"chunk":`...))
	return append(dst, '}'), err
}

// members returns the m.room.member events of a room, now, at a point in
// time, or when the caller left.
//
// GET /_matrix/client/v3/rooms/{roomId}/members
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
func (a *API) members(ctx context.Context, caller httpapi.Caller, r *membersRequest) (*membersResponse, error) {
	at, err := parseToken(r.At)
	if err != nil {
		return nil, err
	}
	access, err := a.rooms.Access(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	events, err := a.rooms.MemberEvents(ctx, access, at)
	if err != nil {
		return nil, err
	}
	wanted := make([]*rooms.StoredEvent, 0, len(events))
	for _, ev := range events {
		if r.wants(ev.Membership()) {
			wanted = append(wanted, ev)
		}
	}
	return &membersResponse{eventList{api: a, events: wanted, viewer: viewer(caller)}}, nil
}

type joinedMembersRequest struct {
	RoomID event.RoomID `path:"roomId"`
}

type joinedMembersResponse struct {
	Joined map[event.UserID]joinedMember `json:"joined"`
}

type joinedMember struct {
	DisplayName string `json:"display_name,omitempty"`
	AvatarURL   string `json:"avatar_url,omitempty"`
}

// joinedMembers says who is in a room that the caller is in.
//
// GET /_matrix/client/v3/rooms/{roomId}/joined_members
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members
func (a *API) joinedMembers(ctx context.Context, caller httpapi.Caller, r *joinedMembersRequest) (*joinedMembersResponse, error) {
	events, err := a.rooms.JoinedMemberEvents(ctx, caller.UserID, r.RoomID)
	if err != nil {
		return nil, err
	}
	answer := &joinedMembersResponse{Joined: make(map[event.UserID]joinedMember, len(events))}
	for _, ev := range events {
		content, _ := event.ParseObject(ev.Content())
		name, _ := content.String("displayname")
		avatar, _ := content.String("avatar_url")
		answer.Joined[event.UserID(ev.Tuple().Key)] = joinedMember{name, avatar}
	}
	return answer, nil
}

type joinedRoomsResponse struct {
	JoinedRooms []event.RoomID `json:"joined_rooms"`
}

// joinedRooms lists the rooms that the caller is joined to.
//
// GET /_matrix/client/v3/joined_rooms
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms
func (a *API) joinedRooms(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*joinedRoomsResponse, error) {
	ids, err := a.rooms.JoinedRooms(ctx, caller.UserID)
	if err != nil {
		return nil, err
	}
	return &joinedRoomsResponse{ids}, nil
}
