// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// MemberRequest asks for a change of somebody's membership.
type MemberRequest struct {
	RoomID event.RoomID
	// Sender is who asks, Target whose membership changes.
	Sender, Target event.UserID
	// Reason is empty for none.
	Reason string
	// IsDirect marks an invite to a direct chat.
	IsDirect bool
}

// memberContent is the content of an m.room.member event.
type memberContent struct {
	Membership  string `json:"membership"`
	DisplayName string `json:"displayname,omitempty"`
	AvatarURL   string `json:"avatar_url,omitempty"`
	IsDirect    bool   `json:"is_direct,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Authoriser let the user into a restricted room.
	Authoriser event.UserID `json:"join_authorised_via_users_server,omitempty"`
}

// Join makes the sender a member; nothing happens if they are.
//
// Errors that clients see: M_FORBIDDEN; M_NOT_FOUND if there is no such room.
func (s *Service) Join(ctx context.Context, r MemberRequest) error {
	r.Target = r.Sender
	return s.change(ctx, r, Join, decideJoin)
}

// Knock asks for an invitation.
//
// Errors that clients see: M_FORBIDDEN; M_NOT_FOUND if there is no such room.
func (s *Service) Knock(ctx context.Context, r MemberRequest) error {
	r.Target = r.Sender
	return s.change(ctx, r, Knock, decideUnless(Knock))
}

// Invite invites the target; nothing happens if they are invited already.
//
// Errors that clients see: M_FORBIDDEN, M_INVITE_BLOCKED.
func (s *Service) Invite(ctx context.Context, r MemberRequest) error {
	if err := s.checkLocal(r.Target); err != nil {
		return err
	}
	return hideRoom(s.change(ctx, r, Invite, func(ctx context.Context, t *turn, p *proposal) error {
		if err := decideUnless(Invite)(ctx, t, p); err != nil {
			return err
		}
		return checkInvitation(ctx, t, p)
	}))
}

// Leave ends the sender's membership, invitation or knock; nothing happens if they have left.
//
// Errors that clients see: M_FORBIDDEN.
func (s *Service) Leave(ctx context.Context, r MemberRequest) error {
	r.Target = r.Sender
	return hideRoom(s.change(ctx, r, Leave, decideUnless(Leave)))
}

// Kick ends the target's membership, invitation or knock.
//
// Errors that clients see: M_FORBIDDEN, also if the target is not in the room.
func (s *Service) Kick(ctx context.Context, r MemberRequest) error {
	return hideRoom(s.change(ctx, r, Leave, func(ctx context.Context, t *turn, p *proposal) error {
		switch now, err := t.membership(ctx, r.Target); {
		case err != nil:
			return err
		case now == Join || now == Invite || now == Knock:
			return nil
		default:
			return t.refuse(ctx, p, matrixerr.Forbidden("the user is not in the room"))
		}
	}))
}

// Ban keeps the target out of the room; nothing happens if they are banned.
//
// Errors that clients see: M_FORBIDDEN.
func (s *Service) Ban(ctx context.Context, r MemberRequest) error {
	return hideRoom(s.change(ctx, r, Ban, decideUnless(Ban)))
}

// Unban ends a ban.
//
// Errors that clients see: M_FORBIDDEN; M_BAD_STATE if the target is not banned.
func (s *Service) Unban(ctx context.Context, r MemberRequest) error {
	return hideRoom(s.change(ctx, r, Leave, func(ctx context.Context, t *turn, p *proposal) error {
		now, err := t.membership(ctx, r.Target)
		if err == nil && now != Ban {
			err = t.refuse(ctx, p, matrixerr.New(http.StatusForbidden, matrixerr.CodeBadState, "the user is not banned"))
		}
		return err
	}))
}

// refuse returns reason, but only to those who are in the room.
func (t *turn) refuse(ctx context.Context, p *proposal, reason error) error {
	now, err := t.membership(ctx, p.sender)
	if err == nil && now != Join {
		err = errNotInRoom()
	}
	if err != nil {
		return err
	}
	return reason
}

// Forget hides a room from a user who left it.
//
// Errors that clients see: M_UNKNOWN while the user is in the room,
// M_NOT_FOUND if they never were.
func (s *Service) Forget(ctx context.Context, user event.UserID, roomID event.RoomID) error {
	room, err := s.RoomByID(ctx, roomID)
	if errors.Is(err, store.ErrNotFound) {
		return matrixerr.NotFound("room not found")
	}
	if err != nil {
		return err
	}
	m, ok, err := s.MembershipIn(ctx, user, room.NID)
	switch {
	case err != nil:
		return err
	case !ok:
		return matrixerr.NotFound("room not found")
	case m.Membership != Leave && m.Membership != Ban:
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "leave the room before forgetting it")
	}
	return s.store.ForgetRoom(ctx, string(user), room.NID)
}

// hideRoom makes an unknown room one that the sender is not in.
func hideRoom(err error) error {
	if matrixerr.Is(err, matrixerr.CodeNotFound) {
		return errNotInRoom()
	}
	return err
}

// checkLocal refuses users of other servers, whom no invitation would reach yet.
func (s *Service) checkLocal(user event.UserID) error {
	if user.Server() != s.signer.Server {
		return matrixerr.Forbidden("this server does not talk to other servers")
	}
	return nil
}

// change sends an m.room.member event.
func (s *Service) change(ctx context.Context, r MemberRequest, to string, decide func(context.Context, *turn, *proposal) error) error {
	e, err := s.entry(ctx, r.RoomID)
	if errors.Is(err, store.ErrNotFound) {
		return matrixerr.NotFound("room not found")
	}
	if err != nil {
		return err
	}
	content := memberContent{Membership: to, Reason: r.Reason, IsDirect: r.IsDirect}
	if err := s.addProfile(ctx, r.Target, &content); err != nil {
		return err
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	key := string(r.Target)
	p := &proposal{sender: r.Sender, typ: typeMember, stateKey: &key, content: raw, decide: decide}
	_, err = s.finish(s.submit(ctx, e, p))
	return s.hideReason(ctx, e, p, err)
}

// addProfile says who a local user is, where that is of use.
func (s *Service) addProfile(ctx context.Context, user event.UserID, content *memberContent) error {
	switch content.Membership {
	case Join, Invite, Knock:
	default:
		return nil
	}
	if s.profiles == nil || user.Server() != s.signer.Server {
		return nil
	}
	var err error
	content.DisplayName, content.AvatarURL, err = s.profiles.Profile(ctx, user)
	if err != nil {
		return fmt.Errorf("read profile: %w", err)
	}
	return nil
}

// membership returns what user is to the room, "" if they never were anything.
func (t *turn) membership(ctx context.Context, user event.UserID) (string, error) {
	ev, err := t.state(ctx, memberKey(user))
	if err != nil || ev == nil {
		return "", err
	}
	return ev.Membership(), nil
}

// decideUnless lets the membership of p's target change unless it is as wanted.
func decideUnless(wanted string) func(context.Context, *turn, *proposal) error {
	return func(ctx context.Context, t *turn, p *proposal) error {
		existing, err := t.state(ctx, p.key())
		if err != nil || existing == nil || existing.Membership() != wanted {
			return err
		}
		if event.UserID(*p.stateKey) != p.sender {
			if err := t.refuse(ctx, p, nil); err != nil {
				return err
			}
		}
		return &unchanged{existing}
	}
}

// decideJoin lets the sender in, where it takes that through the join of another room.
func decideJoin(ctx context.Context, t *turn, p *proposal) error {
	if err := decideUnless(Join)(ctx, t, p); err != nil {
		return err
	}
	return t.authoriseRestricted(ctx, p)
}

// prepareMember checks an m.room.member event that a client wrote itself.
func (s *Service) prepareMember(_ context.Context, p *proposal) error {
	user, err := event.ParseUserID(*p.stateKey)
	if err != nil {
		return matrixerr.InvalidParam("the state key is not a user id")
	}
	fields, err := fieldsOf(p.content)
	if err != nil {
		return err
	}
	// Who authorises a join is for the server to find out.
	delete(fields, "join_authorised_via_users_server")
	if p.content, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	var membership string
	if err := json.Unmarshal(fields["membership"], &membership); err != nil {
		return matrixerr.BadJSON("content.membership must be a string")
	}
	if membership == Invite {
		if err := s.checkLocal(user); err != nil {
			return err
		}
	}
	p.decide = func(ctx context.Context, t *turn, p *proposal) error {
		if err := t.sameState(ctx, p); err != nil {
			return err
		}
		switch membership {
		case Join:
			return t.authoriseRestricted(ctx, p)
		case Invite:
			return checkInvitation(ctx, t, p)
		default:
			return nil
		}
	}
	return nil
}
