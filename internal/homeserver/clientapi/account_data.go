// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (a *API) accountDataRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "PUT", Path: "/_matrix/client/v3/user/{userId}/account_data/{type}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setAccountData)},
		{Method: "GET", Path: "/_matrix/client/v3/user/{userId}/account_data/{type}", Auth: httpapi.User, Handler: httpapi.JSON(a.accountData)},
		{Method: "PUT", Path: "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setRoomAccountData)},
		{Method: "GET", Path: "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}", Auth: httpapi.User, Handler: httpapi.JSON(a.roomAccountData)},
	}
}

type accountDataRequest struct {
	UserID event.UserID `path:"userId"`
	Type   string       `path:"type"`
}

type setAccountDataRequest struct {
	UserID  event.UserID    `path:"userId"`
	Type    string          `path:"type"`
	Content json.RawMessage `body:"raw"`
}

type roomAccountDataRequest struct {
	UserID event.UserID `path:"userId"`
	RoomID event.RoomID `path:"roomId"`
	Type   string       `path:"type"`
}

type setRoomAccountDataRequest struct {
	UserID  event.UserID    `path:"userId"`
	RoomID  event.RoomID    `path:"roomId"`
	Type    string          `path:"type"`
	Content json.RawMessage `body:"raw"`
}

// ownAccountData refuses other users' account data.
func ownAccountData(caller httpapi.Caller, user event.UserID) error {
	if caller.UserID != user {
		return matrixerr.Forbidden("this is another user's account data")
	}
	return nil
}

// setAccountData stores account data of the caller.
//
// PUT /_matrix/client/v3/user/{userId}/account_data/{type}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridaccount_datatype
func (a *API) setAccountData(ctx context.Context, caller httpapi.Caller, r *setAccountDataRequest) (*httpapi.Empty, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	return nil, a.stream.SetAccountData(ctx, caller.UserID, "", stream.Data{Type: r.Type, Content: r.Content})
}

// accountData returns account data of the caller.
//
// GET /_matrix/client/v3/user/{userId}/account_data/{type}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridaccount_datatype
func (a *API) accountData(ctx context.Context, caller httpapi.Caller, r *accountDataRequest) (*json.RawMessage, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	content, err := a.stream.AccountData(ctx, caller.UserID, "", r.Type)
	return &content, err
}

// setRoomAccountData stores account data of the caller for a room.
//
// PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype
func (a *API) setRoomAccountData(ctx context.Context, caller httpapi.Caller, r *setRoomAccountDataRequest) (*httpapi.Empty, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	return nil, a.stream.SetAccountData(ctx, caller.UserID, r.RoomID, stream.Data{Type: r.Type, Content: r.Content})
}

// roomAccountData returns account data of the caller for a room.
//
// GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype
func (a *API) roomAccountData(ctx context.Context, caller httpapi.Caller, r *roomAccountDataRequest) (*json.RawMessage, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	content, err := a.stream.AccountData(ctx, caller.UserID, r.RoomID, r.Type)
	return &content, err
}
