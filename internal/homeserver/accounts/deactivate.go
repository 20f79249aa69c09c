// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
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
	return s.Store.SetPassword(ctx, store.PasswordChange{
		UserID: string(c.Caller.UserID), Hash: hash, SignOut: c.SignOut, Keep: c.Caller.DeviceID,
	})
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
	d := store.Deactivation{UserID: string(user), Erase: erase, RequestedTS: s.nowTS()}
	if err := s.Store.Deactivate(ctx, d); err != nil {
		return fmt.Errorf("deactivate account: %w", err)
	}
	select {
	case s.deactivated <- struct{}{}:
	default: // the task is awake already
	}
	return nil
}

// Deactivations returns the accounts whose traces are still being removed.
func (s *Service) Deactivations(ctx context.Context) ([]store.Deactivation, error) {
	return s.Store.Deactivations(ctx)
}

// deactivationCheck is how soon a task that failed, or that another replica
// left, is taken up.
const deactivationCheck = time.Minute

// RunDeactivations removes the traces of deactivated accounts, those that an
// earlier process left half done as well, until ctx ends. leave takes a user
// out of every room; calling it again is harmless, as is all of this task.
func (s *Service) RunDeactivations(ctx context.Context, leave func(context.Context, event.UserID) error) error {
	for {
		if err := s.finishDeactivations(ctx, leave); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "cannot go on with deactivations", "error", err)
		}
		select {
		case <-s.deactivated:
		case <-time.After(deactivationCheck):
		case <-ctx.Done():
			return nil
		}
	}
}

// finishDeactivations tries each account; one that fails holds up no other.
func (s *Service) finishDeactivations(ctx context.Context, leave func(context.Context, event.UserID) error) error {
	waiting, err := s.Store.Deactivations(ctx)
	if err != nil {
		return fmt.Errorf("read deactivations: %w", err)
	}
	for _, d := range waiting {
		err := s.finishDeactivation(ctx, d.UserID, leave)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			s.Log.InfoContext(ctx, "account is deactivated and its data removed", "user", d.UserID)
			continue
		}
		s.Log.ErrorContext(ctx, "cannot finish a deactivation; trying again later", "user", d.UserID, "error", err)
		if err := s.Store.FailDeactivation(ctx, d.UserID, err.Error()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) finishDeactivation(ctx context.Context, user string, leave func(context.Context, event.UserID) error) error {
	if err := leave(ctx, event.UserID(user)); err != nil {
		return fmt.Errorf("leave rooms: %w", err)
	}
	if err := s.removeBackups(ctx, user); err != nil {
		return fmt.Errorf("remove key backups: %w", err)
	}
	if err := s.Store.FinishDeactivation(ctx, user); err != nil {
		return fmt.Errorf("remove data: %w", err)
	}
	return nil
}

// backupPart is how many keys of a backup are deleted in one transaction.
const backupPart = 500

// removeBackups deletes key backups in parts, so that nobody waits long.
func (s *Service) removeBackups(ctx context.Context, user string) error {
	for {
		b, err := s.Store.CurrentKeyBackup(ctx, user)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Store.DeleteKeyBackup(ctx, user, b.Version); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for more := true; more; {
			if more, err = s.Store.PurgeKeyBackup(ctx, user, b.Version, backupPart); err != nil {
				return err
			}
		}
	}
}

// deactivationStore is what deactivation needs of the store.
type deactivationStore interface {
	SetPassword(ctx context.Context, c store.PasswordChange) error
	Deactivate(ctx context.Context, d store.Deactivation) error
	Deactivations(ctx context.Context) ([]store.Deactivation, error)
	FailDeactivation(ctx context.Context, user, failure string) error
	FinishDeactivation(ctx context.Context, user string) error
	CurrentKeyBackup(ctx context.Context, user string) (store.KeyBackup, error)
	DeleteKeyBackup(ctx context.Context, user string, version int64) error
	PurgeKeyBackup(ctx context.Context, user string, version int64, limit int) (bool, error)
}
