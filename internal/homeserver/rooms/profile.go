// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// profileSenders is how many rooms are told of a new profile at once; they share commits.
	profileSenders = 64
	// patientRooms is how many rooms a request for a new profile waits for.
	patientRooms = 32
	// profileRetry is how soon it is tried again to tell the rooms that could
	// not be told, and looked for those that another replica left.
	profileRetry = 5 * time.Minute
)

// UpdateProfile tells the rooms that user is in what they are called now, which
// the store has noted is to be done. If there are many, or something goes
// wrong, RunProfileUpdates goes on with it.
func (s *Service) UpdateProfile(ctx context.Context, user event.UserID) error {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return err
	}
	joined := 0
	for _, m := range all {
		if m.Membership == Join {
			joined++
		}
	}
	if joined <= patientRooms && s.tellRooms(ctx, user) == nil {
		return nil
	}
	select {
	case s.renamed <- struct{}{}:
	default: // it is awake already
	}
	return nil
}

// RunProfileUpdates tells rooms of new profiles where a request did not, those
// of an earlier process as well, until ctx ends.
func (s *Service) RunProfileUpdates(ctx context.Context) error {
	tick := time.NewTicker(profileRetry)
	defer tick.Stop()
	for {
		if err := s.updateProfiles(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "cannot tell all rooms of a new profile; trying again", "error", err)
		}
		select {
		case <-s.renamed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// updateProfiles does what is to be done. What cannot be done for one user is
// no obstacle for the next.
func (s *Service) updateProfiles(ctx context.Context) error {
	todo, err := s.store.ProfileUpdates(ctx)
	if err != nil {
		return fmt.Errorf("read new profiles: %w", err)
	}
	var errs []error
	for _, u := range todo {
		errs = append(errs, s.tellRooms(ctx, event.UserID(u.UserID)))
	}
	return errors.Join(errs...)
}

// tellRooms tells every room that user is in, and notes that it is done. It
// may be done more than once, and by several at a time: each room is told what
// the user is called when it is the room's turn.
func (s *Service) tellRooms(ctx context.Context, user event.UserID) error {
	todo, err := s.store.ProfileUpdate(ctx, string(user))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read new profile: %w", err)
	}
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(profileSenders)
	for _, m := range all {
		if m.Membership == Join {
			g.Go(func() error { return s.updateMember(ctx, m) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.store.FinishProfileUpdate(ctx, todo)
}

// updateMember repeats a join with what the user is called now. A room that
// does not allow it keeps what it has.
func (s *Service) updateMember(ctx context.Context, m Membership) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	room, err := s.RoomByNID(ctx, m.RoomNID)
	if err != nil {
		return err
	}
	e, err := s.entry(ctx, room.ID)
	if err != nil {
		return err
	}
	key := string(m.UserID)
	p := &proposal{sender: m.UserID, typ: typeMember, stateKey: &key, decide: decideProfile}
	_, err = s.finish(s.submit(ctx, e, p))
	var refused *matrixerr.Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tell room %s: %w", room.ID, err)
	}
	return nil
}

// decideProfile completes the content of a join with what the sender is called
// now. It reads that in the room's turn, so that of two changes the later one stays.
func decideProfile(ctx context.Context, t *turn, p *proposal) error {
	existing, err := t.state(ctx, p.key())
	if err != nil {
		return err
	}
	if existing == nil || existing.Membership() != Join {
		return errNotInRoom()
	}
	profile := memberContent{Membership: Join}
	if err := t.service.addProfile(ctx, p.sender, &profile); err != nil {
		return err
	}
	if p.content, err = withProfile(existing.Content(), profile); err != nil {
		return err
	}
	return t.sameState(ctx, p)
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
