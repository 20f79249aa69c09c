// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// ErrProfileTooLarge says that a profile with the new field would be over its limit.
var ErrProfileTooLarge = errors.New("profile is too large")

// ProfileField is one field of a user's profile.
type ProfileField struct {
	Name string
	// Value is JSON.
	Value []byte
}

var insertProfileField = &Insert{
	Table: "profiles", Columns: "user_id, field, value",
	Suffix: "ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value",
}

const (
	upsertProfileField = `INSERT INTO profiles (user_id, field, value) VALUES ($1, $2, $3)
		ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value`
	deleteProfileField = `DELETE FROM profiles WHERE user_id = $1 AND field = $2`
	selectProfile      = `SELECT field, value FROM profiles WHERE user_id = $1 ORDER BY field`
	selectProfileSize  = `SELECT COALESCE(SUM(LENGTH(field) + LENGTH(value)), 0) FROM profiles WHERE user_id = $1 AND field <> $2`
)

// SetProfileField sets a field, or deletes it when its value is nil. Returns
// ErrProfileTooLarge when names and values of the profile would exceed maxSize bytes.
func (s *Store) SetProfileField(ctx context.Context, user string, f ProfileField, maxSize int64) error {
	name := []byte(f.Name)
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		others, err := queryOne(ctx, tx, scanInt64, selectProfileSize, user, name)
		if err != nil {
			return err
		}
		if f.Value != nil && others+int64(len(f.Name)+len(f.Value)) > maxSize {
			return ErrProfileTooLarge
		}
		tx.Change(Change{Kind: ChangeProfile, UserID: user})
		if f.Value == nil {
			_, err = tx.Exec(ctx, deleteProfileField, user, name)
		} else {
			_, err = tx.Exec(ctx, upsertProfileField, user, name, f.Value)
		}
		return err
	})
}

func scanProfileField(row scanner) (ProfileField, error) {
	var f ProfileField
	var name []byte
	err := row.Scan(&name, &f.Value)
	f.Name = string(name)
	return f, err
}

// Profile returns the fields of user's profile, by name; none is no error.
func (s *Store) Profile(ctx context.Context, user string) ([]ProfileField, error) {
	return queryAll(ctx, s, scanProfileField, selectProfile, user)
}
