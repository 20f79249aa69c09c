// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The account data by which users say whom they want to hear of.
const (
	typeIgnored    = "m.ignored_user_list"
	typeInvitation = "m.invite_permission_config"
)

// preferences are what a user does not want to see.
type preferences struct {
	ignored       map[event.UserID]struct{}
	blocksInvites bool
}

// ignoredSize is about the memory of one ignored user.
const ignoredSize = 96

func (s *Service) preferencesOf(ctx context.Context, user event.UserID) (preferences, error) {
	return s.preferences.load(ctx, user, func(ctx context.Context) (preferences, int64, error) {
		var p preferences
		ignored, err := s.globalData(ctx, user, typeIgnored)
		if err != nil {
			return p, 0, err
		}
		users, _ := ignored.Object("ignored_users")
		users.Each(func(id string, _ []byte) bool {
			if p.ignored == nil {
				p.ignored = map[event.UserID]struct{}{}
			}
			p.ignored[event.UserID(id)] = struct{}{}
			return true
		})
		delete(p.ignored, user)
		invitations, err := s.globalData(ctx, user, typeInvitation)
		if err != nil {
			return p, 0, err
		}
		action, _ := invitations.String("default_action")
		p.blocksInvites = action == "block"
		return p, int64(len(p.ignored)) * ignoredSize, nil
	})
}

// globalData returns a piece of a user's account data, empty if there is none.
func (s *Service) globalData(ctx context.Context, user event.UserID, typ string) (event.Object, error) {
	d, err := s.store.AccountData(ctx, string(user), 0, typ)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return event.Object{}, fmt.Errorf("read %s: %w", typ, err)
	}
	content, _ := event.ParseObject(d.Content)
	return content, nil
}

// IgnoredBy returns whom a user ignores, never the user. Cached; read only.
//
// https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
func (s *Service) IgnoredBy(ctx context.Context, user event.UserID) (map[event.UserID]struct{}, error) {
	if user == "" {
		return nil, nil
	}
	p, err := s.preferencesOf(ctx, user)
	return p.ignored, err
}

// BlocksInvites reports whether a user wants no invitations. Cached.
//
// https://spec.matrix.org/v1.19/client-server-api/#invite-permission
func (s *Service) BlocksInvites(ctx context.Context, user event.UserID) (bool, error) {
	p, err := s.preferencesOf(ctx, user)
	return p.blocksInvites, err
}

// errInviteBlocked tells that a user wants no invitations.
func errInviteBlocked() error {
	return matrixerr.New(http.StatusForbidden, matrixerr.CodeInviteBlocked, "the user does not accept invitations")
}

// checkInvitation refuses to invite those who want no invitations; it does not
// tell who that is to somebody outside the room.
func checkInvitation(ctx context.Context, t *turn, p *proposal) error {
	target := event.UserID(*p.stateKey)
	blocked, err := t.service.BlocksInvites(ctx, target)
	if err != nil || !blocked {
		return err
	}
	switch now, err := t.membership(ctx, target); {
	case err != nil:
		return err
	case now == Join || now == Ban || now == Invite:
		return nil // the rules of the room say what comes of that
	default:
		return t.refuse(ctx, p, errInviteBlocked())
	}
}

// WantedEvent returns an event of the room, unless user ignores who sent it.
//
// Errors that clients see: M_NOT_FOUND, the same whether the event is hidden,
// unwanted, in another room or nowhere.
func (s *Service) WantedEvent(ctx context.Context, user event.UserID, room event.RoomID, id event.EventID) (*StoredEvent, error) {
	ev, _, err := s.VisibleEvent(ctx, user, room, id)
	if err != nil {
		return nil, err
	}
	kept, err := s.wanted(ctx, user, []*StoredEvent{ev})
	if err != nil {
		return nil, err
	}
	if len(kept) == 0 {
		return nil, errEventNotFound()
	}
	return ev, nil
}

// wanted leaves out what users have sent whom user ignores. State stays, so
// that rooms look the same to everybody.
func (s *Service) wanted(ctx context.Context, user event.UserID, events []*StoredEvent) ([]*StoredEvent, error) {
	ignored, err := s.IgnoredBy(ctx, user)
	if err != nil || len(ignored) == 0 {
		return events, err
	}
	kept := make([]*StoredEvent, 0, len(events))
	for _, ev := range events {
		if !isIgnored(ignored, ev) {
			kept = append(kept, ev)
		}
	}
	return kept, nil
}

func isIgnored(ignored map[event.UserID]struct{}, ev *StoredEvent) bool {
	if _, isState := ev.StateKey(); isState {
		return false
	}
	_, yes := ignored[ev.Sender()]
	return yes
}
