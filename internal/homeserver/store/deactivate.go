// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
)

// Deactivation is an account whose traces are being removed.
type Deactivation struct {
	UserID      string
	Erase       bool
	RequestedTS int64 // unix milliseconds
	// Attempts is how often it was tried in vain, Failure why the last time.
	Attempts int64
	Failure  string
}

const (
	setPassword        = `UPDATE users SET password = $1 WHERE user_id = $2`
	insertDeactivation = `INSERT INTO deactivations (user_id, erase, requested_ts) VALUES ($1, $2, $3)
	ON CONFLICT (user_id) DO UPDATE SET erase = excluded.erase`
	selectDeactivations = `SELECT user_id, erase, requested_ts, attempts, failure FROM deactivations ORDER BY requested_ts, user_id`
	failDeactivation    = `UPDATE deactivations SET attempts = attempts + 1, failure = $1 WHERE user_id = $2`
	deleteDeactivation  = `DELETE FROM deactivations WHERE user_id = $1`
	// Receipts are found by room.
	deleteReceipts = `DELETE FROM receipts WHERE user_id = $1 AND room_nid IN (SELECT room_nid FROM memberships WHERE user_id = $1)`
)

// traces are the tables with what belongs to a user alone, all found by user_id.
var traces = []string{
	"profiles", "profile_updates", "user_words", "account_data", "filters", "cross_signing_keys", "backup_keys", "key_backups", "push_rules", "pushers",
	"pending_media", "openid_tokens",
}

// removedOtherwise are the tables with a user_id that a deactivation need not
// go through, and why.
var removedOtherwise = map[string]string{
	"access_tokens": "go with the devices", "refresh_tokens": "go with the devices", "devices": "are deleted first",
	"device_keys": "go with the devices", "one_time_keys": "go with the devices", "fallback_keys": "go with the devices",
	"to_device": "go with the devices", "receipts": "are found by room",
	"key_signatures": "of a user's keys are shown with the keys only",
	"deactivations":  "are the task itself", "users": "keep the name from being used again",
	"memberships": "are part of the rooms' history", "media": "are part of the rooms' history", "media_usage": "counts the media",
	"changes": "are the log that others follow", "device_list_changes": "tell others that the devices are gone",
	"signature_changes": "are a log for their signer",
	"txns":              "end by themselves", "login_tokens": "end in minutes, and say until then that the account is gone", "reports": "are the administrators'",
}

// OfUsers tells of every table with a user_id column whether a deactivation
// deals with it. A test asks it for each table of the schema.
func OfUsers(table string) bool {
	return slices.Contains(traces, table) || removedOtherwise[table] != ""
}

// PasswordChange replaces the password hash of an account.
type PasswordChange struct {
	UserID, Hash string
	// SignOut deletes the devices but for Keep.
	SignOut bool
	Keep    string
}

// SetPassword replaces a password and ends what the old one began, in one
// step: login tokens, sign-ins that are under way, devices where asked for. It
// returns ErrNotFound if there is no such account.
func (s *Store) SetPassword(ctx context.Context, c PasswordChange) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.changeOne(ctx, ErrNotFound, setPassword, []byte(c.Hash), c.UserID); err != nil {
			return err
		}
		tx.Later(deleteLoginTokens, c.UserID)
		if !c.SignOut {
			return nil
		}
		return tx.deleteOtherDevices(ctx, c.UserID, c.Keep)
	})
}

// Deactivate ends an account: no password, no devices, no tokens; and notes
// that its traces have to be removed. It is one step, so that after it nobody
// acts for the user any more.
func (s *Store) Deactivate(ctx context.Context, d Deactivation) error {
	flags := int64(UserDeactivated)
	if d.Erase {
		flags |= UserErased
	}
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, setPassword, []byte{}, d.UserID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setFlags, int64(-1), flags, d.UserID, int64(0)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertDeactivation, d.UserID, flag(d.Erase), d.RequestedTS); err != nil {
			return err
		}
		return tx.deleteOtherDevices(ctx, d.UserID, "")
	})
}

func scanDeactivation(row scanner) (Deactivation, error) {
	var d Deactivation
	var erase int64
	var failure []byte
	err := row.Scan(&d.UserID, &erase, &d.RequestedTS, &d.Attempts, &failure)
	d.Erase, d.Failure = erase == 1, string(failure)
	return d, err
}

// Deactivations returns the accounts whose traces are still to be removed, in
// the order in which that was asked for.
func (s *Store) Deactivations(ctx context.Context) ([]Deactivation, error) {
	return queryAll(ctx, s, scanDeactivation, selectDeactivations)
}

// FailDeactivation notes that removing a user's traces failed, and why.
func (s *Store) FailDeactivation(ctx context.Context, user, failure string) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(failDeactivation, []byte(failure), user)
		return nil
	})
}

// FinishDeactivation removes what belongs to the user alone and the note that
// it is to be removed, in one step. Large key backups are better removed
// before, in parts.
func (s *Store) FinishDeactivation(ctx context.Context, user string) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for _, table := range traces {
			tx.Later(`DELETE FROM `+table+` WHERE user_id = $1`, user)
		}
		tx.Later(deleteReceipts, user)
		tx.deviceListChanged(user)
		tx.Change(Change{Kind: ChangeProfile, UserID: user})
		tx.Later(deleteDeactivation, user)
		return nil
	})
}
