// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	setPassword        = `UPDATE users SET password = $1 WHERE user_id = $2`
	setFlags           = `UPDATE users SET flags = flags | $1 WHERE user_id = $2`
	insertDeactivation = `INSERT INTO deactivations (user_id, erase) VALUES ($1, $2)
	ON CONFLICT (user_id) DO UPDATE SET erase = excluded.erase`
	selectDeactivations = `SELECT user_id FROM deactivations ORDER BY user_id`
	deleteDeactivation  = `DELETE FROM deactivations WHERE user_id = $1`
)

// tracesOf are the tables that hold what belongs to a user alone.
var tracesOf = []string{
	"profiles", "account_data", "filters", "cross_signing_keys", "backup_keys", "key_backups", "receipts",
}

// SetPassword replaces the password hash of an account and deletes the given
// devices, in one step.
func (s *Store) SetPassword(ctx context.Context, user, hash string, signOut []string) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, setPassword, []byte(hash), user)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return tx.deleteDevices(ctx, user, signOut)
	})
}

// Deactivate ends an account: no password, no devices, no tokens; and notes
// that its traces have to be removed. It is one step, so that after it nobody
// acts for the user any more.
func (s *Store) Deactivate(ctx context.Context, user string, devices []string, erase bool) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, setPassword, []byte{}, user); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setFlags, UserDeactivated, user); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertDeactivation, user, flag(erase)); err != nil {
			return err
		}
		return tx.deleteDevices(ctx, user, devices)
	})
}

// Deactivations returns the accounts whose traces are still to be removed.
func (s *Store) Deactivations(ctx context.Context) ([]string, error) {
	return queryAll(ctx, s, scanString, selectDeactivations)
}

// FinishDeactivation removes what belongs to the user alone and the note that
// it is to be removed, in one step.
func (s *Store) FinishDeactivation(ctx context.Context, user string) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for _, table := range tracesOf {
			tx.Later(`DELETE FROM `+table+` WHERE user_id = $1`, user)
		}
		tx.deviceListChanged(user)
		tx.Change(Change{Kind: ChangeProfile, UserID: user})
		tx.Later(deleteDeactivation, user)
		return nil
	})
}
