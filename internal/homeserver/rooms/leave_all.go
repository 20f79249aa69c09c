// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// LeaveAll takes the user out of every room that they are in, invited to or
// knock at. A room that fails holds up no other; called again it goes on with
// those that are left.
func (s *Service) LeaveAll(ctx context.Context, user event.UserID) error {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return err
	}
	var failures []error
	for _, m := range all {
		if m.Membership != Join && m.Membership != Invite && m.Membership != Knock {
			continue
		}
		if err := s.leaveRoom(ctx, user, m.RoomNID); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return joinSome(failures)
}

func (s *Service) leaveRoom(ctx context.Context, user event.UserID, roomNID int64) error {
	info, err := s.RoomByNID(ctx, roomNID)
	if err != nil {
		return fmt.Errorf("read room %d: %w", roomNID, err)
	}
	err = s.Leave(ctx, MemberRequest{RoomID: info.ID, Sender: user, Target: user})
	// Somebody may have removed the user meanwhile.
	if err != nil && !matrixerr.Is(err, matrixerr.CodeForbidden) {
		return fmt.Errorf("leave %s: %w", info.ID, err)
	}
	return nil
}

// joinSome joins errors of which there may be thousands.
func joinSome(all []error) error {
	const most = 5
	if len(all) > most {
		all = append(all[:most:most], fmt.Errorf("and %d more", len(all)-most))
	}
	return errors.Join(all...)
}
