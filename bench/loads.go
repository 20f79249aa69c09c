// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// scene is a server with its users, and what the loads have made there.
type scene struct {
	*server
	users []user
	// many has roomsOfMany rooms.
	many user
	// joinable are public rooms of the first user that no other has joined.
	joinable []string

	mu    sync.Mutex
	media []string
}

// load is an operation that users repeat at the same time.
type load struct {
	name string
	// limit is the CPU time an operation may take; empty: none is set.
	limit string
	// share is the part of a peer's CPU time that it may take; 0: none is set.
	share float64
	// times is how often each user does it; 0: until the time is up.
	times int
	// prepare runs once before, unmeasured.
	prepare func(ctx context.Context, s *scene) error
	// do is operation i of user u.
	do func(ctx context.Context, s *scene, u, i int) error
}

const (
	roomsOfMany  = 50
	joinsOfEach  = 20
	claimsOfEach = 40
)

func loads() []load {
	return []load{
		{name: "send, each sender in a room of its own", limit: "0.4 CPU-ms", share: 1. / 40, do: func(ctx context.Context, s *scene, u, i int) error {
			return s.send(ctx, s.users[u], s.users[u].room, fmt.Sprintf("own-%d", i))
		}},
		{name: "send, all senders in one room", limit: "0.4 CPU-ms", share: 1. / 40, prepare: joinFirstRoom, do: func(ctx context.Context, s *scene, u, i int) error {
			return s.send(ctx, s.users[u], s.users[0].room, fmt.Sprintf("one-%d", i))
		}},
		{name: "set state", share: 1. / 40, do: func(ctx context.Context, s *scene, u, i int) error {
			return s.call(ctx, s.users[u].token, http.MethodPut, "/v3/rooms/"+url.PathEscape(s.users[u].room)+"/state/m.room.topic/", object{"topic": fmt.Sprint(i)}, nil)
		}},
		{name: "create a room", share: 1. / 40, do: func(ctx context.Context, s *scene, u, _ int) error {
			_, err := s.createRoom(ctx, s.users[u])
			return err
		}},
		{name: "join a room", share: 1. / 40, times: joinsOfEach, prepare: makeJoinable, do: func(ctx context.Context, s *scene, u, i int) error {
			if u == 0 { // its own
				return nil
			}
			return s.join(ctx, s.users[u], s.joinable[i])
		}},
		{name: fmt.Sprintf("initial sync of %d rooms", roomsOfMany), share: 1. / 30, prepare: makeMany, do: func(ctx context.Context, s *scene, u, i int) error {
			// A server may give one answer to equal requests; these are not.
			filter := url.QueryEscape(fmt.Sprintf(`{"presence":{"limit":%d}}`, 1+1000*u+i))
			return s.call(ctx, s.many.token, http.MethodGet, "/v3/sync?filter="+filter, nil, nil)
		}},
		{name: "members of a room", share: 1. / 10, do: func(ctx context.Context, s *scene, u, _ int) error {
			return s.call(ctx, s.users[u].token, http.MethodGet, "/v3/rooms/"+url.PathEscape(s.users[0].room)+"/members", nil, nil)
		}},
		{name: "to-device message", share: 1. / 10, do: func(ctx context.Context, s *scene, u, i int) error {
			to := s.users[(u+1)%len(s.users)]
			return s.call(ctx, s.users[u].token, http.MethodPut, fmt.Sprintf("/v3/sendToDevice/m.bench/td-%d", i),
				object{"messages": object{to.id: object{to.device: object{"body": "hello"}}}}, nil)
		}},
		{name: "claim a one-time key", share: 1. / 10, times: claimsOfEach, prepare: uploadKeys, do: func(ctx context.Context, s *scene, u, _ int) error {
			of := s.users[(u+1)%len(s.users)]
			return s.call(ctx, s.users[u].token, http.MethodPost, "/v3/keys/claim",
				object{"one_time_keys": object{of.id: object{of.device: "signed_curve25519"}}}, nil)
		}},
		{name: "upload 100 KiB", share: 1. / 10, do: upload},
		{name: "download 100 KiB", share: 1. / 10, do: func(ctx context.Context, s *scene, u, i int) error {
			_, err := s.request(ctx, s.users[u].token, http.MethodGet, "/_matrix/client/v1/media/download/"+s.media[i%len(s.media)], nil)
			return err
		}},
	}
}

func joinFirstRoom(ctx context.Context, s *scene) error {
	for _, u := range s.users[1:] {
		if err := s.join(ctx, u, s.users[0].room); err != nil {
			return err
		}
	}
	return nil
}

func makeJoinable(ctx context.Context, s *scene) error {
	for range joinsOfEach {
		room, err := s.createRoom(ctx, s.users[0])
		if err != nil {
			return err
		}
		s.joinable = append(s.joinable, room)
	}
	return nil
}

func makeMany(ctx context.Context, s *scene) error {
	many, err := s.register(ctx, "many", 1)
	if err != nil {
		return err
	}
	s.many = many[0]
	for i := range roomsOfMany {
		room, err := s.createRoom(ctx, s.many)
		if err != nil {
			return err
		}
		for j := range 10 {
			if err := s.send(ctx, s.many, room, fmt.Sprintf("many-%d-%d", i, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

// uploadKeys gives each user's device one-time keys for all claims. Servers do
// not verify their signatures; that is for the clients to do.
func uploadKeys(ctx context.Context, s *scene) error {
	for _, u := range s.users {
		keys := object{}
		for i := range claimsOfEach {
			keys[fmt.Sprintf("signed_curve25519:AAAA%02d", i)] = object{
				"key": fmt.Sprintf("zKbLg+NrIjpnagy+pIY6uPL4ZwEG2v+8F9lmgsny%02d", i),
				"signatures": object{u.id: object{
					"ed25519:" + u.device: "FLWxXqGbwrb8SM3Y795eB6OA8bwBcoMZFXBqnTn58AYWZSqiD45tlBVcDa2L7RwdKXebW/VzDlnfVJ+9jok1Bw",
				}},
			}
		}
		if err := s.call(ctx, u.token, http.MethodPost, "/v3/keys/upload", object{"one_time_keys": keys}, nil); err != nil {
			return err
		}
	}
	return nil
}

// upload sends a file of 100 KiB that no other is the same as.
func upload(ctx context.Context, s *scene, u, i int) error {
	file := make([]byte, 100<<10)
	if _, err := rand.Read(file); err != nil {
		return err
	}
	answer, err := s.request(ctx, s.users[u].token, http.MethodPost, "/_matrix/media/v3/upload", file)
	if err != nil {
		return err
	}
	if i == 0 {
		return s.remember(answer)
	}
	return nil
}
