// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

// PasswordChange replaces a password.
type PasswordChange struct {
	New string
	// SignOut deletes the user's other devices.
	SignOut bool
	Caller  httpapi.Caller
}

// ChangePassword sets a new password. The caller has confirmed who they are.
//
// Errors for clients: M_WEAK_PASSWORD.
func (s *Service) ChangePassword(ctx context.Context, c PasswordChange) error {
	if err := CheckPassword(c.New); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, c.New)
	if err != nil {
		return err
	}
	var signOut []string
	if c.SignOut {
		if signOut, err = s.deviceIDs(ctx, c.Caller.UserID, c.Caller.DeviceID); err != nil {
			return err
		}
	}
	return s.Store.SetPassword(ctx, string(c.Caller.UserID), hash, signOut)
}

// deviceIDs lists the devices of user but for one.
func (s *Service) deviceIDs(ctx context.Context, user event.UserID, but string) ([]string, error) {
	devices, err := s.Store.Devices(ctx, string(user))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(devices))
	for _, d := range devices {
		if d.DeviceID != but {
			ids = append(ids, d.DeviceID)
		}
	}
	return ids, nil
}

// DeleteDevices deletes devices of user; those that do not exist are skipped.
// The caller has confirmed who they are.
func (s *Service) DeleteDevices(ctx context.Context, user event.UserID, devices []string) error {
	return s.Store.DeleteDevices(ctx, string(user), devices)
}

// Deactivate ends an account for good: from now on nobody can sign in to it
// or act for it. Its rooms are left and its data is removed by
// RunDeactivations. The caller has confirmed who they are.
func (s *Service) Deactivate(ctx context.Context, user event.UserID, erase bool) error {
	devices, err := s.deviceIDs(ctx, user, "")
	if err != nil {
		return err
	}
	if err := s.Store.Deactivate(ctx, string(user), devices, erase); err != nil {
		return fmt.Errorf("deactivate account: %w", err)
	}
	select {
	case s.deactivated <- struct{}{}:
	default: // the task is awake already
	}
	return nil
}

// deactivationRetry is how soon a task that failed is tried again.
const deactivationRetry = time.Minute

// RunDeactivations removes the traces of deactivated accounts, those that an
// earlier process left half done as well, until ctx ends. leave takes a user
// out of every room; calling it again is harmless, as is all of this task.
func (s *Service) RunDeactivations(ctx context.Context, leave func(context.Context, event.UserID) error) error {
	for {
		var again <-chan time.Time
		if err := s.finishDeactivations(ctx, leave); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "cannot finish a deactivation; trying again", "error", err)
			again = time.After(deactivationRetry)
		}
		select {
		case <-s.deactivated:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) finishDeactivations(ctx context.Context, leave func(context.Context, event.UserID) error) error {
	users, err := s.Store.Deactivations(ctx)
	if err != nil {
		return fmt.Errorf("read deactivations: %w", err)
	}
	for _, user := range users {
		if err := leave(ctx, event.UserID(user)); err != nil {
			return fmt.Errorf("leave rooms: %w", err)
		}
		if err := s.Store.FinishDeactivation(ctx, user); err != nil {
			return fmt.Errorf("remove data: %w", err)
		}
		s.Log.InfoContext(ctx, "account is deactivated and its data removed", "user", user)
	}
	return nil
}

// deactivationStore is what deactivation needs of the store.
type deactivationStore interface {
	SetPassword(ctx context.Context, user, hash string, signOut []string) error
	Deactivate(ctx context.Context, user string, devices []string, erase bool) error
	Deactivations(ctx context.Context) ([]string, error)
	FinishDeactivation(ctx context.Context, user string) error
}
