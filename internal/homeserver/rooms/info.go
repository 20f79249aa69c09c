// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// infoSize is about the memory that an Info takes.
const infoSize = 160

// RoomByNID returns the room, or store.ErrNotFound.
func (s *Service) RoomByNID(ctx context.Context, nid int64) (*Info, error) {
	return s.byNID.load(ctx, nid, func(ctx context.Context) (*Info, int64, error) {
		room, err := s.store.RoomByNID(ctx, nid)
		if err != nil {
			return nil, 0, fmt.Errorf("read room %d: %w", nid, err)
		}
		info, err := newInfo(room)
		return info, infoSize, err
	})
}

// RoomByID returns the room, or store.ErrNotFound.
func (s *Service) RoomByID(ctx context.Context, id event.RoomID) (*Info, error) {
	return s.infos.load(ctx, id, func(ctx context.Context) (*Info, int64, error) {
		room, err := s.store.RoomByID(ctx, string(id))
		if err != nil {
			return nil, 0, fmt.Errorf("read room %s: %w", id, err)
		}
		info, err := newInfo(room)
		return info, infoSize, err
	})
}

func newInfo(r store.Room) (*Info, error) {
	rules, ok := event.RulesFor(event.RoomVersion(r.Version))
	if !ok {
		return nil, fmt.Errorf("room %s has version %q, which this program does not know", r.ID, r.Version)
	}
	return &Info{NID: r.NID, ID: event.RoomID(r.ID), Version: rules.Version, Rules: rules}, nil
}

// AliasRoom returns the room that a local alias points to, or store.ErrNotFound.
func (s *Service) AliasRoom(ctx context.Context, alias event.RoomAlias) (event.RoomID, error) {
	id, err := s.store.AliasRoom(ctx, string(alias))
	return event.RoomID(id), err
}
