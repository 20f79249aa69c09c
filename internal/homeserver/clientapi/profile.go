// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"regexp"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// maxProfileBody leaves room for the JSON around a profile of 64 KiB.
const maxProfileBody = 80 << 10

func (a *API) profileRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/profile/{userId}", Auth: httpapi.Public, Handler: httpapi.JSON(a.profile)},
		{Method: "GET", Path: "/_matrix/client/v3/profile/{userId}/{keyName}", Auth: httpapi.Public, Handler: httpapi.JSON(a.profileField)},
		{Method: "PUT", Path: "/_matrix/client/v3/profile/{userId}/{keyName}", Auth: httpapi.User, Limit: httpapi.LimitMessage, MaxBody: maxProfileBody, Handler: httpapi.JSON(a.setProfileField)},
		{Method: "DELETE", Path: "/_matrix/client/v3/profile/{userId}/{keyName}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.deleteProfileField)},
	}
}

type profileRequest struct {
	UserID event.UserID `path:"userId"`
}

// profile returns what a user says of themselves.
//
// GET /_matrix/client/v3/profile/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuserid
func (a *API) profile(ctx context.Context, _ httpapi.Caller, r *profileRequest) (*map[string]json.RawMessage, error) {
	fields, err := a.accounts.ProfileFields(ctx, r.UserID)
	return &fields, err
}

type profileFieldRequest struct {
	UserID event.UserID `path:"userId"`
	Key    string       `path:"keyName"`
}

// profileField returns one field of a user's profile.
//
// GET /_matrix/client/v3/profile/{userId}/{keyName}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuseridkeyname
func (a *API) profileField(ctx context.Context, _ httpapi.Caller, r *profileFieldRequest) (*map[string]json.RawMessage, error) {
	fields, err := a.accounts.ProfileFields(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	value, ok := fields[r.Key]
	if !ok {
		return nil, matrixerr.NotFound("this profile has no such field")
	}
	return &map[string]json.RawMessage{r.Key: value}, nil
}

// profileKey is the grammar of a field's name.
// https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar
var profileKey = regexp.MustCompile(`^(avatar_url|displayname|m\.tz|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+)$`)

// maxProfileKey is the longest name of a field, in bytes.
const maxProfileKey = 255

func checkProfileKey(key string) error {
	if len(key) > maxProfileKey {
		return matrixerr.BadRequest(matrixerr.CodeKeyTooLarge, "the name of a profile field has at most 255 bytes")
	}
	if !profileKey.MatchString(key) {
		return matrixerr.InvalidParam("invalid name of a profile field")
	}
	return nil
}

type setProfileFieldRequest struct {
	UserID event.UserID    `path:"userId"`
	Key    string          `path:"keyName"`
	Body   json.RawMessage `body:"raw"`
}

// setProfileField sets one field of the caller's profile.
//
// PUT /_matrix/client/v3/profile/{userId}/{keyName}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3profileuseridkeyname
func (a *API) setProfileField(ctx context.Context, caller httpapi.Caller, r *setProfileFieldRequest) (*httpapi.Empty, error) {
	if err := checkProfileKey(r.Key); err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := httpapi.DecodeJSON(r.Body, &body); err != nil {
		return nil, err
	}
	value, ok := body[r.Key]
	if !ok {
		return nil, matrixerr.MissingParam(r.Key)
	}
	if string(value) == "null" && (r.Key == accounts.FieldDisplayName || r.Key == accounts.FieldAvatarURL) {
		value = nil
	}
	return nil, a.changeProfile(ctx, caller, profileFieldRequest{r.UserID, r.Key}, value)
}

// deleteProfileField deletes one field of the caller's profile.
//
// DELETE /_matrix/client/v3/profile/{userId}/{keyName}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3profileuseridkeyname
func (a *API) deleteProfileField(ctx context.Context, caller httpapi.Caller, r *profileFieldRequest) (*httpapi.Empty, error) {
	if err := checkProfileKey(r.Key); err != nil {
		return nil, err
	}
	return nil, a.changeProfile(ctx, caller, *r, nil)
}

// changeProfile sets a field, or deletes it when value is nil, and lets the
// rooms know when it is one that member events repeat.
func (a *API) changeProfile(ctx context.Context, caller httpapi.Caller, r profileFieldRequest, value json.RawMessage) error {
	if r.UserID != caller.UserID {
		return matrixerr.Forbidden("this is the profile of someone else")
	}
	if err := a.accounts.SetProfileField(ctx, caller.UserID, r.Key, value); err != nil {
		return err
	}
	if r.Key != accounts.FieldDisplayName && r.Key != accounts.FieldAvatarURL {
		return nil
	}
	return a.rooms.UpdateProfile(ctx, caller.UserID)
}
