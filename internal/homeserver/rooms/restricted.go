// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// authoriseRestricted completes a join of a restricted room by somebody who is
// not invited: they must be in one of the rooms that it names, and a member
// who may invite vouches for that.
//
// https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms
func (t *turn) authoriseRestricted(ctx context.Context, p *proposal) error {
	user := event.UserID(*p.stateKey)
	rules, err := t.state(ctx, event.StateKey{Type: typeJoinRules})
	if err != nil || rules == nil || !t.isRestricted(rules) {
		return err
	}
	now, err := t.membership(ctx, user)
	if err != nil || now == Join || now == Invite || now == Ban {
		return err // the rules of the room decide without
	}
	allowed, err := t.service.isAllowed(ctx, user, rules)
	if err != nil {
		return err
	}
	if !allowed {
		return matrixerr.Forbidden("you are in none of the rooms whose members may join")
	}
	authoriser, err := t.authoriser(ctx)
	if err != nil {
		return err
	}
	if authoriser == "" {
		return matrixerr.Forbidden("nobody on this server may let you into this room")
	}
	fields, err := fieldsOf(p.content)
	if err != nil {
		return err
	}
	fields["join_authorised_via_users_server"] = event.AppendString(nil, string(authoriser))
	if p.content, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	return nil
}

func (t *turn) isRestricted(joinRules *StoredEvent) bool {
	content, _ := event.ParseObject(joinRules.Content())
	rule, _ := content.String("join_rule")
	version := t.entry.info.Rules
	return rule == "restricted" && version.Restricted || rule == "knock_restricted" && version.KnockRestricted
}

// isAllowed reports whether user is in a room that joinRules names.
func (s *Service) isAllowed(ctx context.Context, user event.UserID, joinRules *StoredEvent) (bool, error) {
	content, _ := event.ParseObject(joinRules.Content())
	raw, _ := content.Get("allow")
	var rooms []event.RoomID
	event.EachElement(raw, func(value []byte) bool {
		condition, _ := event.ParseObject(value)
		kind, _ := condition.String("type")
		if room, ok := condition.String("room_id"); ok && kind == "m.room_membership" {
			rooms = append(rooms, event.RoomID(room))
		}
		return true
	})
	for _, id := range rooms {
		joined, err := s.isJoined(ctx, user, id)
		if err != nil || joined {
			return joined, err
		}
	}
	return false, nil
}

// isJoined reports whether user is in a room, which may be unknown.
func (s *Service) isJoined(ctx context.Context, user event.UserID, room event.RoomID) (bool, error) {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return false, err
	}
	for _, m := range all {
		if m.Membership != Join {
			continue
		}
		info, err := s.RoomByNID(ctx, m.RoomNID)
		if err != nil {
			return false, err
		}
		if info.ID == room {
			return true, nil
		}
	}
	return false, nil
}

// authoriser returns a local member who may invite, "" if there is none.
func (t *turn) authoriser(ctx context.Context) (event.UserID, error) {
	levels, err := t.levels(ctx)
	if err != nil {
		return "", err
	}
	members, err := t.service.Members(ctx, t.entry.info.NID, Join)
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.UserID.Server() != t.service.signer.Server {
			continue
		}
		level, err := t.level(ctx, m.UserID)
		if err != nil {
			return "", err
		}
		if level < levels.Invite() {
			continue
		}
		// The list may be older than the head.
		if now, err := t.membership(ctx, m.UserID); err != nil || now == Join {
			return m.UserID, err
		}
	}
	return "", nil
}
