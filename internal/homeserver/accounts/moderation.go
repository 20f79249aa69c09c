// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Restriction is what an administrator may put on an account for a while.
type Restriction int64

// The restrictions.
const (
	// Suspended users read and tidy up, and do nothing that others see.
	// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
	Suspended = Restriction(store.UserSuspended)
	// Locked users do nothing but sign out.
	// https://spec.matrix.org/v1.19/client-server-api/#account-locking
	Locked = Restriction(store.UserLocked)
)

// Restricted reports whether user is under the restriction.
//
// Errors for clients: M_INVALID_PARAM for users of other servers, M_NOT_FOUND
// for those that do not exist or are deactivated, M_FORBIDDEN for
// administrators.
func (s *Service) Restricted(ctx context.Context, user event.UserID, r Restriction) (bool, error) {
	u, err := s.localUser(ctx, user)
	if err != nil {
		return false, err
	}
	if u.Is(store.UserAdmin) {
		return false, matrixerr.Forbidden("this user is an administrator")
	}
	return u.Is(int64(r)), nil
}

// Restrict puts user under the restriction, or ends it. Its errors are those
// of Restricted.
func (s *Service) Restrict(ctx context.Context, user event.UserID, r Restriction, on bool) error {
	if _, err := s.Restricted(ctx, user, r); err != nil {
		return err
	}
	change := store.FlagChange{Clear: int64(r), Unless: store.UserDeactivated}
	if on {
		change.Set = int64(r)
	}
	err := s.Store.SetUserFlags(ctx, string(user), change)
	if errors.Is(err, store.ErrNotFound) {
		return errNoUser()
	}
	return err
}

func errNoUser() error { return matrixerr.NotFound("there is no such user") }

// localUser returns the account of one of our users that is not deactivated.
func (s *Service) localUser(ctx context.Context, user event.UserID) (store.User, error) {
	if user.Server() != s.ServerName {
		return store.User{}, matrixerr.InvalidParam("the user is not one of this server")
	}
	u, err := s.Store.User(ctx, string(user))
	if errors.Is(err, store.ErrNotFound) || err == nil && u.Is(store.UserDeactivated) {
		return u, errNoUser()
	}
	return u, err
}

// Whois returns the devices of user, with where they were last used, to the
// user and to administrators.
//
// Errors for clients: M_FORBIDDEN for others, and before anything else is
// looked at; M_INVALID_PARAM for users of other servers; M_NOT_FOUND.
func (s *Service) Whois(ctx context.Context, caller httpapi.Caller, user event.UserID) ([]store.Device, error) {
	if !caller.Admin && caller.UserID != user {
		return nil, matrixerr.Forbidden("only administrators may ask about others")
	}
	if _, err := s.localUser(ctx, user); err != nil {
		return nil, err
	}
	return s.Store.Devices(ctx, string(user))
}
