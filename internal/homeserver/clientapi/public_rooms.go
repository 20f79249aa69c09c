// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) publicRoomRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/publicRooms", Auth: httpapi.Public, Handler: httpapi.JSON(a.publicRooms)},
		{Method: "POST", Path: "/_matrix/client/v3/publicRooms", Auth: httpapi.User, Handler: httpapi.JSON(a.searchPublicRooms)},
	}
}

// maxPublicRooms is the most that a page of the room directory holds.
const maxPublicRooms = 100

type publicRoomsRequest struct {
	Limit  *int             `query:"limit"`
	Since  string           `query:"since"`
	Server event.ServerName `query:"server"`
}

type searchPublicRoomsRequest struct {
	Server event.ServerName `query:"server"`
	Limit  *int             `json:"limit"`
	Since  string           `json:"since"`
	Filter struct {
		Term  string    `json:"generic_search_term"`
		Types []*string `json:"room_types"`
	} `json:"filter"`
}

// publicRoom is the specification's PublicRoomsChunk.
type publicRoom struct {
	RoomID         event.RoomID `json:"room_id"`
	Name           string       `json:"name,omitempty"`
	Topic          string       `json:"topic,omitempty"`
	AvatarURL      string       `json:"avatar_url,omitempty"`
	CanonicalAlias string       `json:"canonical_alias,omitempty"`
	Joined         int          `json:"num_joined_members"`
	WorldReadable  bool         `json:"world_readable"`
	GuestCanJoin   bool         `json:"guest_can_join"`
	JoinRule       string       `json:"join_rule"`
	RoomType       string       `json:"room_type,omitempty"`
}

type publicRoomsResponse struct {
	Chunk []publicRoom `json:"chunk"`
	Next  string       `json:"next_batch,omitempty"`
	Prev  string       `json:"prev_batch,omitempty"`
	Total int          `json:"total_room_count_estimate"`
}

// publicRooms returns a page of the room directory.
//
// GET /_matrix/client/v3/publicRooms
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
func (a *API) publicRooms(ctx context.Context, _ httpapi.Caller, r *publicRoomsRequest) (*publicRoomsResponse, error) {
	return a.directoryPage(ctx, r.Server, r.Limit, rooms.DirectoryQuery{Since: r.Since})
}

// searchPublicRooms returns a page of those rooms of the directory that match.
//
// POST /_matrix/client/v3/publicRooms
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
func (a *API) searchPublicRooms(ctx context.Context, _ httpapi.Caller, r *searchPublicRoomsRequest) (*publicRoomsResponse, error) {
	q := rooms.DirectoryQuery{Since: r.Since, Term: r.Filter.Term}
	if r.Filter.Types != nil {
		q.Types = []string{}
		for _, t := range r.Filter.Types {
			if t == nil {
				q.Types = append(q.Types, "")
			} else {
				q.Types = append(q.Types, *t)
			}
		}
	}
	return a.directoryPage(ctx, r.Server, r.Limit, q)
}

// directoryPage answers for this server; others are asked once there is federation.
func (a *API) directoryPage(ctx context.Context, server event.ServerName, limit *int, q rooms.DirectoryQuery) (*publicRoomsResponse, error) {
	if server != "" && server != a.rooms.ServerName() {
		return nil, matrixerr.NotFound("this server cannot ask other servers for their rooms")
	}
	q.Limit = maxPublicRooms
	if limit != nil {
		if *limit < 0 {
			return nil, matrixerr.InvalidParam("limit must not be negative")
		}
		q.Limit = min(*limit, maxPublicRooms)
	}
	page, err := a.rooms.Directory(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &publicRoomsResponse{Chunk: make([]publicRoom, len(page.Rooms)), Next: page.Next, Prev: page.Prev, Total: page.Total}
	for i, s := range page.Rooms {
		answer.Chunk[i] = newPublicRoom(s)
	}
	return answer, nil
}

func newPublicRoom(s *rooms.Summary) publicRoom {
	return publicRoom{
		RoomID: s.ID, Name: s.Name, Topic: s.Topic, AvatarURL: s.AvatarURL, CanonicalAlias: s.CanonicalAlias,
		Joined: s.Joined, WorldReadable: s.WorldReadable, GuestCanJoin: s.GuestCanJoin, JoinRule: s.JoinRule, RoomType: s.Type,
	}
}
