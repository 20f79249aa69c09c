// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"slices"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) mutualRoomRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v1/mutual_rooms", Auth: httpapi.User, Handler: httpapi.JSON(a.mutualRooms)},
	}
}

type mutualRoomsRequest struct {
	UserID event.UserID `query:"user_id" required:"true"`
	From   string       `query:"from"`
}

type mutualRoomsResponse struct {
	Joined []event.RoomID `json:"joined"`
	Count  int            `json:"count"`
	Next   string         `json:"next_batch,omitempty"`
}

// maxMutualRooms is how many rooms a page has.
const maxMutualRooms = 100

// mutualRooms returns the rooms that the caller and another user are in. A
// token is the last room of its page, by the number that the store gives to
// rooms in the order of their arrival, and never expires.
//
// GET /_matrix/client/v1/mutual_rooms
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
func (a *API) mutualRooms(ctx context.Context, caller httpapi.Caller, r *mutualRoomsRequest) (*mutualRoomsResponse, error) {
	if r.UserID == caller.UserID {
		return nil, matrixerr.InvalidParam("user_id is the caller's own")
	}
	var last int64
	if r.From != "" {
		var err error
		if last, err = strconv.ParseInt(r.From, 10, 64); err != nil {
			return nil, matrixerr.InvalidParam("from is not a token of this endpoint")
		}
	}
	all, err := a.rooms.MutualRooms(ctx, caller.UserID, r.UserID)
	if err != nil {
		return nil, err
	}
	answer := &mutualRoomsResponse{Joined: []event.RoomID{}, Count: len(all)}
	first, found := slices.BinarySearch(all, last)
	if found {
		first++
	}
	page := all[first:]
	if len(page) > maxMutualRooms {
		page = page[:maxMutualRooms]
		answer.Next = strconv.FormatInt(page[maxMutualRooms-1], 10)
	}
	for _, nid := range page {
		room, err := a.rooms.RoomByNID(ctx, nid)
		if err != nil {
			return nil, err
		}
		answer.Joined = append(answer.Joined, room.ID)
	}
	return answer, nil
}
