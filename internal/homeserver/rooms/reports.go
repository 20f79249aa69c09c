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

const (
	// maxReason is the longest reason of a report, in bytes.
	maxReason = 4 << 10
	// maxReports is how many reports of one user are kept.
	maxReports = 1000
)

// ReportRoom tells the administrators of a room, which the user need not be
// in. A report of a room that does not exist is dropped without a word: who
// reports shall not learn which rooms there are.
//
// Errors that clients see: M_TOO_LARGE, M_LIMIT_EXCEEDED.
//
// https://spec.matrix.org/v1.19/client-server-api/#reporting-content
func (s *Service) ReportRoom(ctx context.Context, user event.UserID, room event.RoomID, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	_, err := s.RoomByID(ctx, room)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.report(ctx, store.Report{Reporter: string(user), Kind: store.ReportedRoom, RoomID: string(room), Reason: reason})
}

// ReportEvent tells the administrators of an event of a room that the user is in.
//
// Errors that clients see: M_TOO_LARGE, M_LIMIT_EXCEEDED, M_NOT_FOUND if there
// is no such event for the user.
func (s *Service) ReportEvent(ctx context.Context, user event.UserID, room event.RoomID, id event.EventID, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	ev, _, err := s.VisibleEvent(ctx, user, room, id)
	if err != nil {
		return err
	}
	m, ok, err := s.MembershipIn(ctx, user, ev.RoomNID)
	if err == nil && (!ok || m.Membership != Join) {
		err = errEventNotFound()
	}
	if err != nil {
		return err
	}
	return s.report(ctx, store.Report{
		Reporter: string(user), Kind: store.ReportedEvent, RoomID: string(room), EventID: string(id), UserID: string(ev.Sender()), Reason: reason,
	})
}

// ReportUser tells the administrators of a user.
//
// Errors that clients see: M_TOO_LARGE, M_LIMIT_EXCEEDED.
func (s *Service) ReportUser(ctx context.Context, user, about event.UserID, reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	return s.report(ctx, store.Report{Reporter: string(user), Kind: store.ReportedUser, UserID: string(about), Reason: reason})
}

func checkReason(reason string) error {
	if len(reason) > maxReason {
		return matrixerr.TooLarge("the reason is too long")
	}
	return nil
}

func (s *Service) report(ctx context.Context, r store.Report) error {
	n, err := s.store.CountReports(ctx, r.Reporter)
	if err != nil {
		return fmt.Errorf("count reports: %w", err)
	}
	if n >= maxReports {
		return matrixerr.New(http.StatusTooManyRequests, matrixerr.CodeLimitExceeded, "the administrators have too many reports of yours already")
	}
	r.CreatedTS = s.millis()
	if err := s.store.AddReport(ctx, r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
