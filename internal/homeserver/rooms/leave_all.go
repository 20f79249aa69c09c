// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// LeaveAll takes the user out of every room that they are in, invited to or
// knock at. Called again it goes on where it stopped.
func (s *Service) LeaveAll(ctx context.Context, user event.UserID) error {
	all, err := s.MembershipsOf(ctx, user)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Membership != Join && m.Membership != Invite && m.Membership != Knock {
			continue
		}
		info, err := s.RoomByNID(ctx, m.RoomNID)
		if err != nil {
			return err
		}
		err = s.Leave(ctx, MemberRequest{RoomID: info.ID, Sender: user, Target: user})
		// Somebody may have removed the user meanwhile.
		if err != nil && !matrixerr.Is(err, matrixerr.CodeForbidden) {
			return fmt.Errorf("leave %s: %w", info.ID, err)
		}
	}
	return nil
}
