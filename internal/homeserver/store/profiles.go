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
	// A field takes quotation marks, a colon and a comma more than its texts.
	selectProfileSize = `SELECT 1 + COALESCE(SUM(LENGTH(field) + LENGTH(value) + 4), 0) FROM profiles WHERE user_id = $1 AND field <> $2`

	upsertProfileUpdate = `INSERT INTO profile_updates (user_id, stream_pos) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET stream_pos = excluded.stream_pos`
	selectProfileUpdates = `SELECT user_id, stream_pos FROM profile_updates ORDER BY stream_pos`
	selectProfileUpdate  = `SELECT user_id, stream_pos FROM profile_updates WHERE user_id = $1`
	deleteProfileUpdate  = `DELETE FROM profile_updates WHERE user_id = $1 AND stream_pos = $2`
)

// SetProfileField sets a field, or deletes it when its value is nil. Returns
// ErrProfileTooLarge when the profile as JSON would exceed maxSize bytes.
//
// A name or an avatar has to be told to the user's rooms: see ProfileUpdates.
func (s *Store) SetProfileField(ctx context.Context, user string, f ProfileField, maxSize int64) error {
	name := []byte(f.Name)
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		others, err := queryOne(ctx, tx, scanInt64, selectProfileSize, user, name)
		if err != nil {
			return err
		}
		if f.Value != nil && others+int64(len(f.Name)+len(f.Value)+4) > maxSize {
			return ErrProfileTooLarge
		}
		pos := tx.Change(Change{Kind: ChangeProfile, UserID: user})
		if f.Name == fieldDisplayName || f.Name == fieldAvatarURL {
			tx.Later(upsertProfileUpdate, user, pos)
		}
		if f.Name == fieldDisplayName {
			if _, err := tx.Exec(ctx, lockUser, user); err != nil {
				return err
			}
			if err := tx.indexUser(ctx, user, profileText(f.Value)); err != nil {
				return err
			}
		}
		if f.Value == nil {
			_, err = tx.Exec(ctx, deleteProfileField, user, name)
		} else {
			_, err = tx.Exec(ctx, upsertProfileField, user, name, f.Value)
		}
		return err
	})
}

// ProfileUpdate says that the rooms of a user have yet to be told of their new
// name or avatar. Pos is of the change.
type ProfileUpdate struct {
	UserID string
	Pos    int64
}

func scanProfileUpdate(row scanner) (ProfileUpdate, error) {
	var u ProfileUpdate
	return u, row.Scan(&u.UserID, &u.Pos)
}

// ProfileUpdates returns the users whose rooms have yet to be told, the
// oldest change first.
func (s *Store) ProfileUpdates(ctx context.Context) ([]ProfileUpdate, error) {
	return queryAll(ctx, s, scanProfileUpdate, selectProfileUpdates)
}

// ProfileUpdate returns what the rooms of a user have yet to be told, or ErrNotFound.
func (s *Store) ProfileUpdate(ctx context.Context, user string) (ProfileUpdate, error) {
	return queryOne(ctx, s, scanProfileUpdate, selectProfileUpdate, user)
}

// FinishProfileUpdate notes that the user's rooms were told, unless the
// profile was changed since.
func (s *Store) FinishProfileUpdate(ctx context.Context, u ProfileUpdate) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(deleteProfileUpdate, u.UserID, u.Pos)
		return nil
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
