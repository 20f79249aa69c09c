// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) tagRoutes() []httpapi.Route {
	const tags = "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags"
	return []httpapi.Route{
		{Method: "GET", Path: tags, Auth: httpapi.User, Handler: httpapi.JSON(a.tags)},
		{Method: "PUT", Path: tags + "/{tag}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.setTag)},
		{Method: "DELETE", Path: tags + "/{tag}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.deleteTag)},
	}
}

type tagsRequest struct {
	UserID event.UserID `path:"userId"`
	RoomID event.RoomID `path:"roomId"`
}

type tagsResponse struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

// tags returns the caller's tags of a room.
//
// GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidtags
func (a *API) tags(ctx context.Context, caller httpapi.Caller, r *tagsRequest) (*tagsResponse, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	tags, err := a.stream.Tags(ctx, caller.UserID, r.RoomID)
	return &tagsResponse{tags}, err
}

type setTagRequest struct {
	UserID  event.UserID    `path:"userId"`
	RoomID  event.RoomID    `path:"roomId"`
	Tag     string          `path:"tag"`
	Content json.RawMessage `body:"raw"`
}

// maxTagBytes is the longest name of a tag.
const maxTagBytes = 255

// Validate checks the length of the tag and its order.
func (r *setTagRequest) Validate() error {
	if len(r.Tag) > maxTagBytes {
		return matrixerr.InvalidParam("tag is longer than 255 bytes")
	}
	var content struct {
		Order *float64 `json:"order"`
	}
	if err := json.Unmarshal(r.Content, &content); err != nil {
		return matrixerr.BadJSON("order must be a number")
	}
	if content.Order != nil && (*content.Order < 0 || *content.Order > 1) {
		return matrixerr.InvalidParam("order must be between 0 and 1")
	}
	return nil
}

// setTag puts a tag on a room.
//
// PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag
func (a *API) setTag(ctx context.Context, caller httpapi.Caller, r *setTagRequest) (*httpapi.Empty, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	return nil, a.stream.SetTag(ctx, caller.UserID, r.RoomID, r.Tag, r.Content)
}

type deleteTagRequest struct {
	UserID event.UserID `path:"userId"`
	RoomID event.RoomID `path:"roomId"`
	Tag    string       `path:"tag"`
}

// deleteTag takes a tag off a room.
//
// DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag
func (a *API) deleteTag(ctx context.Context, caller httpapi.Caller, r *deleteTagRequest) (*httpapi.Empty, error) {
	if err := ownAccountData(caller, r.UserID); err != nil {
		return nil, err
	}
	return nil, a.stream.SetTag(ctx, caller.UserID, r.RoomID, r.Tag, nil)
}
