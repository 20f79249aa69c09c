// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

// SetTyping notes that a user types in a room for a while, at most MaxTyping;
// 0 or less says that the user no longer does.
//
// Errors for clients: forbidden when the user is not in the room.
func (s *Service) SetTyping(ctx context.Context, user event.UserID, roomID event.RoomID, d time.Duration) error {
	room, err := s.joinedRoom(ctx, user, roomID)
	if err != nil {
		return err
	}
	s.typing.set(room.NID, user, min(d, MaxTyping))
	s.Active(user)
	return nil
}

// maxTypeBytes is the longest type of account data, as of events.
const maxTypeBytes = 255

// How much account data a user has at most for each room, and for none: all of
// it is in every initial sync.
const (
	maxAccountData      = 1000
	maxAccountDataBytes = 4 << 20
)

// SetAccountData stores a piece of a user's account data, of a room or, with
// an empty roomID, global. content is a JSON object.
//
// Errors for clients: 405 M_BAD_JSON for types that the server keeps itself,
// M_RESOURCE_LIMIT_EXCEEDED for a user who has too much.
func (s *Service) SetAccountData(ctx context.Context, user event.UserID, roomID event.RoomID, d Data) error {
	switch {
	case d.Type == typePushRules || d.Type == MarkerFullyRead:
		return matrixerr.New(http.StatusMethodNotAllowed, matrixerr.CodeBadJSON, d.Type+" cannot be set here")
	case len(d.Type) > maxTypeBytes:
		return matrixerr.InvalidParam("type is longer than 255 bytes")
	}
	content, err := event.Canonical(d.Content, false)
	if err != nil {
		return matrixerr.BadJSON("content cannot be stored: " + err.Error())
	}
	roomNID, err := s.knownRoom(ctx, user, roomID)
	if err != nil {
		return err
	}
	row := store.AccountData{UserID: string(user), RoomNID: roomNID, Type: d.Type, Content: content}
	err = s.store.PutAccountData(ctx, row, store.AccountDataLimits{Pieces: maxAccountData, Bytes: maxAccountDataBytes})
	if errors.Is(err, store.ErrTooMany) {
		return matrixerr.New(http.StatusForbidden, matrixerr.CodeResourceLimitExceeded, "there is no room for more account data")
	}
	if err != nil {
		return fmt.Errorf("store account data: %w", err)
	}
	return nil
}

// Data is a type of account data and its content.
type Data struct {
	Type    string
	Content json.RawMessage
}

// AccountData returns the content of a piece of account data.
//
// Errors for clients: not found.
func (s *Service) AccountData(ctx context.Context, user event.UserID, roomID event.RoomID, typ string) (json.RawMessage, error) {
	if roomID == "" && typ == typePushRules {
		return s.pushRules(ctx, user)
	}
	roomNID, err := s.knownRoom(ctx, user, roomID)
	if err != nil {
		return nil, err
	}
	d, err := s.store.AccountData(ctx, string(user), roomNID, typ)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.NotFound("there is no such account data")
	}
	if err != nil {
		return nil, fmt.Errorf("read account data: %w", err)
	}
	return d.Content, nil
}

// pushRules returns a user's push rules as account data.
func (s *Service) pushRules(ctx context.Context, user event.UserID) (json.RawMessage, error) {
	rules, err := s.push.Rules(ctx, user)
	if err != nil {
		return nil, err
	}
	return rules.AccountData()
}

// knownRoom returns the nid of a room that the user has to do with, 0 for no room.
func (s *Service) knownRoom(ctx context.Context, user event.UserID, id event.RoomID) (int64, error) {
	if id == "" {
		return 0, nil
	}
	room, err := s.rooms.RoomByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, matrixerr.NotFound("you were never in this room")
	}
	if err != nil {
		return 0, fmt.Errorf("read room: %w", err)
	}
	_, ok, err := s.rooms.MembershipIn(ctx, user, room.NID)
	if err == nil && !ok {
		err = matrixerr.NotFound("you were never in this room")
	}
	return room.NID, err
}

// maxFilters is how many filters are kept of each user; a client whose filter
// is gone is told so and uploads it again.
const maxFilters = 200

// PutFilter stores a filter and returns its id.
//
// Errors for clients: bad JSON when it is no filter.
func (s *Service) PutFilter(ctx context.Context, user event.UserID, raw []byte) (string, error) {
	if _, err := filter.Parse(raw); err != nil {
		return "", matrixerr.BadJSON(err.Error())
	}
	canonical, err := event.Canonical(raw, false)
	if err != nil {
		return "", matrixerr.BadJSON(err.Error())
	}
	id, err := s.store.PutFilter(ctx, string(user), canonical, maxFilters)
	if err != nil {
		return "", fmt.Errorf("store filter: %w", err)
	}
	return strconv.FormatInt(id, 10), nil
}

// Filter returns the JSON of a filter.
//
// Errors for clients: not found.
func (s *Service) Filter(ctx context.Context, user event.UserID, id string) (json.RawMessage, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, matrixerr.NotFound("there is no such filter")
	}
	raw, err := s.store.Filter(ctx, string(user), n)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.NotFound("there is no such filter")
	}
	if err != nil {
		return nil, fmt.Errorf("read filter: %w", err)
	}
	return raw, nil
}

// ParseFilter reads the filter parameter of a request: JSON if it begins with
// a brace, else the id of a stored filter; nil if empty.
//
// Errors for clients: bad JSON, not found.
func (s *Service) ParseFilter(ctx context.Context, user event.UserID, param string) (*filter.Filter, error) {
	if param == "" {
		return nil, nil
	}
	if param[0] != '{' {
		return s.filters.get(ctx, s, user, param)
	}
	f, err := filter.Parse([]byte(param))
	if err != nil {
		return nil, matrixerr.BadJSON(err.Error())
	}
	return f, nil
}
