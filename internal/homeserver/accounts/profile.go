// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The profile fields that member events repeat.
const (
	FieldDisplayName = "displayname"
	FieldAvatarURL   = "avatar_url"
)

// fieldTimeZone is the name of a time zone.
const fieldTimeZone = "m.tz"

const (
	maxProfile = 64 << 10
	// maxProfileText bounds what is copied into member events.
	maxProfileText = 1000
)

// ProfileFields returns what is set of user's profile, as JSON by field, or
// 404 M_NOT_FOUND for users that do not exist.
func (s *Service) ProfileFields(ctx context.Context, user event.UserID) (map[string]json.RawMessage, error) {
	rows, err := s.Store.Profile(ctx, string(user))
	if err != nil {
		return nil, err
	}
	fields := make(map[string]json.RawMessage, len(rows))
	for _, f := range rows {
		fields[f.Name] = f.Value
	}
	if len(fields) > 0 {
		return fields, nil
	}
	exists, err := s.Exists(ctx, user)
	if err == nil && !exists {
		err = matrixerr.NotFound("no such user")
	}
	return fields, err
}

// Profile returns the display name and avatar of a user; empty where not set.
func (s *Service) Profile(ctx context.Context, user event.UserID) (displayName, avatarURL string, err error) {
	rows, err := s.Store.Profile(ctx, string(user))
	if err != nil {
		return "", "", err
	}
	for _, f := range rows {
		switch f.Name {
		case FieldDisplayName:
			displayName = jsonText(f.Value)
		case FieldAvatarURL:
			avatarURL = jsonText(f.Value)
		}
	}
	return displayName, avatarURL, nil
}

// jsonText returns the string that raw holds, "" for anything else: a field
// was checked when it was set.
func jsonText(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// SetProfileField sets a field of user's profile to the JSON value, or deletes
// it when value is nil.
//
// Errors for clients: M_PROFILE_TOO_LARGE, M_BAD_JSON, M_INVALID_PARAM.
func (s *Service) SetProfileField(ctx context.Context, user event.UserID, field string, value json.RawMessage) error {
	value, err := checkField(field, value)
	if err != nil {
		return err
	}
	err = s.Store.SetProfileField(ctx, string(user), store.ProfileField{Name: field, Value: value}, maxProfile)
	if errors.Is(err, store.ErrProfileTooLarge) {
		return matrixerr.New(http.StatusBadRequest, matrixerr.CodeProfileTooLarge, "a profile has at most 64 KiB")
	}
	return err
}

// checkField checks a value that the specification gives a form, and returns
// it, or nil if setting it means to delete the field.
func checkField(field string, value json.RawMessage) (json.RawMessage, error) {
	if value == nil || field != FieldDisplayName && field != FieldAvatarURL && field != fieldTimeZone {
		return value, nil
	}
	var text *string
	if json.Unmarshal(value, &text) != nil || text == nil {
		return nil, matrixerr.BadJSON(field + " is not a string")
	}
	if len(*text) > maxProfileText {
		return nil, matrixerr.InvalidParam(field + " has more than 1000 bytes")
	}
	if *text == "" {
		return nil, nil
	}
	return value, nil
}
