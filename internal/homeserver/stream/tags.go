// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// typeTag is the room account data that holds a room's tags.
// https://spec.matrix.org/v1.19/client-server-api/#room-tagging
const typeTag = "m.tag"

// tagContent is the content of m.tag.
type tagContent struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

// Tags returns the user's tags of a room, never nil.
func (s *Service) Tags(ctx context.Context, user event.UserID, room event.RoomID) (map[string]json.RawMessage, error) {
	raw, err := s.AccountData(ctx, user, room, typeTag)
	content := tagContent{}
	switch {
	case matrixerr.Is(err, matrixerr.CodeNotFound):
	case err != nil:
		return nil, err
	default:
		// What a client has put there otherwise may be of any shape; then there are no tags.
		_ = json.Unmarshal(raw, &content)
	}
	if content.Tags == nil {
		content.Tags = map[string]json.RawMessage{}
	}
	return content.Tags, nil
}

// maxTagsBytes is how long the content of m.tag gets: all of it comes with
// every change of it.
const maxTagsBytes = 64 << 10

// SetTag puts a tag on a room, or takes it off if content is nil.
//
// Errors for clients: not found, M_BAD_JSON, M_TOO_LARGE.
func (s *Service) SetTag(ctx context.Context, user event.UserID, roomID event.RoomID, tag string, content []byte) error {
	roomNID, err := s.knownRoom(ctx, user, roomID)
	if err != nil {
		return err
	}
	if content != nil {
		if content, err = event.Canonical(content, false); err != nil {
			return matrixerr.BadJSON("content cannot be stored: " + err.Error())
		}
	}
	add := func(old []byte) ([]byte, error) {
		tags := tagContent{}
		_ = json.Unmarshal(old, &tags) // as in Tags
		if tags.Tags == nil {
			tags.Tags = map[string]json.RawMessage{}
		}
		if delete(tags.Tags, tag); content != nil {
			tags.Tags[tag] = content
		}
		all, err := json.Marshal(tags)
		if err == nil && len(all) > maxTagsBytes && content != nil {
			err = matrixerr.TooLarge("there is no room for more tags")
		}
		return all, err
	}
	err = s.store.ChangeAccountData(ctx, store.AccountDataChange{UserID: string(user), RoomNID: roomNID, Type: typeTag, New: add})
	if err != nil {
		return fmt.Errorf("store tags: %w", err)
	}
	return nil
}
