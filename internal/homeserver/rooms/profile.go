// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// profileSenders is how many rooms are told of a new profile at once; they share commits.
const profileSenders = 16

// UpdateProfile tells the rooms that user is in what they are called now.
// Rooms that do not allow it keep what they have.
func (s *Service) UpdateProfile(ctx context.Context, user event.UserID) error {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return err
	}
	content := memberContent{Membership: Join}
	if err := s.addProfile(ctx, user, &content); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(profileSenders)
	for _, m := range all {
		if m.Membership != Join {
			continue
		}
		g.Go(func() error {
			err := s.updateMember(ctx, m, content)
			if matrixerr.Is(err, matrixerr.CodeForbidden) {
				return nil
			}
			return err
		})
	}
	return g.Wait()
}

// updateMember repeats a join with another name and avatar.
func (s *Service) updateMember(ctx context.Context, m Membership, profile memberContent) error {
	room, err := s.RoomByNID(ctx, m.RoomNID)
	if err != nil {
		return err
	}
	e, err := s.entry(ctx, room.ID)
	if err != nil {
		return err
	}
	key := string(m.UserID)
	p := &proposal{sender: m.UserID, typ: typeMember, stateKey: &key}
	p.decide = func(ctx context.Context, t *turn, p *proposal) error {
		existing, err := t.state(ctx, p.key())
		if err != nil {
			return err
		}
		if existing == nil || existing.Membership() != Join {
			return errNotInRoom()
		}
		if p.content, err = withProfile(existing.Content(), profile); err != nil {
			return err
		}
		return t.sameState(ctx, p)
	}
	_, err = s.finish(s.submit(ctx, e, p))
	return err
}

// withProfile returns the content of a join with another name and avatar.
func withProfile(content []byte, profile memberContent) ([]byte, error) {
	fields, err := fieldsOf(content)
	if err != nil {
		return nil, err
	}
	// Both belong to the change of membership, which this is not.
	delete(fields, "join_authorised_via_users_server")
	delete(fields, "reason")
	for name, value := range map[string]string{"displayname": profile.DisplayName, "avatar_url": profile.AvatarURL} {
		delete(fields, name)
		if value != "" {
			fields[name] = event.AppendString(nil, value)
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode membership: %w", err)
	}
	return raw, nil
}
