// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// user is a signed-in account with a room of its own.
type user struct {
	id, device, token, room string
}

type object = map[string]any

// register makes n accounts, numbered behind the prefix.
func (s *server) register(ctx context.Context, prefix string, n int) ([]user, error) {
	users := make([]user, n)
	for i := range users {
		var account struct {
			UserID      string `json:"user_id"`
			DeviceID    string `json:"device_id"`
			AccessToken string `json:"access_token"`
		}
		err := s.call(ctx, "", http.MethodPost, "/v3/register", object{
			"username": fmt.Sprintf("%s%d", prefix, i), "password": "correct horse battery staple",
			"auth": object{"type": "m.login.dummy"},
		}, &account)
		if err != nil {
			return nil, err
		}
		users[i] = user{id: account.UserID, device: account.DeviceID, token: account.AccessToken}
	}
	return users, nil
}

func (s *server) createRoom(ctx context.Context, u user) (string, error) {
	var room struct {
		RoomID string `json:"room_id"`
	}
	err := s.call(ctx, u.token, http.MethodPost, "/v3/createRoom", object{"preset": "public_chat"}, &room)
	return room.RoomID, err
}

func (s *server) join(ctx context.Context, u user, room string) error {
	return s.call(ctx, u.token, http.MethodPost, "/v3/join/"+url.PathEscape(room), object{}, nil)
}

func (s *server) send(ctx context.Context, u user, room, txn string) error {
	return s.call(ctx, u.token, http.MethodPut, "/v3/rooms/"+url.PathEscape(room)+"/send/m.room.message/"+txn,
		object{"msgtype": "m.text", "body": "The quick brown fox jumps over the lazy dog."}, nil)
}

// call makes one request of the client-server API; path begins with the version.
func (s *server) call(ctx context.Context, token, method, path string, body, into any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	answer, err := s.request(ctx, token, method, "/_matrix/client"+path, encoded)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// request sends body as it is and returns the answer.
func (s *server) request(ctx context.Context, token, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return answer, nil
}
