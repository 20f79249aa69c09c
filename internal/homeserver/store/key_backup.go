// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// KeyBackup is one version of a user's backup of room keys.
type KeyBackup struct {
	UserID    string
	Version   int64
	Algorithm string
	AuthData  []byte // a JSON object
	// ETag counts the changes of keys, Count is how many there are.
	ETag, Count int64
}

// BackupKey is a room key in a backup.
type BackupKey struct {
	RoomID, SessionID                 string
	FirstMessageIndex, ForwardedCount int64
	Verified                          bool
	SessionData                       []byte // a JSON object
}

const (
	backupColumns = `user_id, version, algorithm, auth_data, etag, key_count`
	insertBackup  = `INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag, key_count, deleted)
	SELECT $1, COALESCE(MAX(version), 0) + 1, $2, $3, 0, 0, 0 FROM key_backups WHERE user_id = $4 RETURNING version`
	countBackups       = `SELECT COUNT(*) FROM key_backups WHERE user_id = $1 AND deleted = 0`
	selectBackup       = `SELECT ` + backupColumns + ` FROM key_backups WHERE user_id = $1 AND version = $2 AND deleted = 0`
	selectNewestBackup = `SELECT ` + backupColumns + ` FROM key_backups WHERE user_id = $1 AND deleted = 0 ORDER BY version DESC LIMIT 1`
	selectMaxBackup    = `SELECT COALESCE(MAX(version), 0) FROM key_backups WHERE user_id = $1`
	updateBackup       = `UPDATE key_backups SET auth_data = $1 WHERE user_id = $2 AND version = $3 AND deleted = 0`
	// touchBackup makes other writers of the same backup wait.
	touchBackup = `UPDATE key_backups SET etag = etag WHERE user_id = $1 AND version = $2 AND deleted = 0
	RETURNING ` + backupColumns
	countChanges = `UPDATE key_backups SET etag = etag + $1, key_count = key_count + $2 WHERE user_id = $3 AND version = $4
	RETURNING ` + backupColumns
	markDeleted      = `UPDATE key_backups SET deleted = 1 WHERE user_id = $1 AND version = $2 AND deleted = 0`
	removeTombstones = `DELETE FROM key_backups WHERE user_id = $1 AND deleted = 1 AND key_count = 0
	AND version < (SELECT MAX(version) FROM key_backups WHERE user_id = $1)`
	selectUnfinished = `SELECT ` + backupColumns + ` FROM key_backups WHERE deleted = 1 AND key_count > 0`

	backupKeyColumns = `room_id, session_id, first_message_index, forwarded_count, is_verified, session_data`
	selectBackupKeys = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND (room_id, session_id) > ($3, $4) ORDER BY room_id, session_id LIMIT $5`
	selectRoomKeys = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id > $4 ORDER BY session_id LIMIT $5`
	selectBackupKey = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4`
	// A verified key is better than one that is not, then one that opens more
	// messages, then one that went through fewer hands.
	// https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
	replaceBackupKey = `UPDATE backup_keys SET first_message_index = $1, forwarded_count = $2, is_verified = $3, session_data = $4
	WHERE user_id = $5 AND version = $6 AND room_id = $7 AND session_id = $8 AND (is_verified < $3 OR is_verified = $3 AND
	(first_message_index > $1 OR first_message_index = $1 AND forwarded_count > $2))`
	deleteBackupKeys = `DELETE FROM backup_keys WHERE user_id = $1 AND version = $2 AND `
	allKeys          = `(room_id, session_id) <= ($3, $4)`
	roomKeys         = `room_id = $3 AND session_id <= $4`
	lastOfKeys       = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 ORDER BY room_id, session_id LIMIT 1 OFFSET $3`
	lastOfRoom = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 ORDER BY session_id LIMIT 1 OFFSET $4`
	wholeRoom = `room_id = $3`
	oneKey    = `room_id = $3 AND session_id = $4`
)

// insertBackupKey inserts what is not there and returns which keys those are.
var insertBackupKey = &Insert{
	Table: "backup_keys", Columns: "user_id, version, " + backupKeyColumns,
	Suffix: "ON CONFLICT (user_id, version, room_id, session_id) DO NOTHING RETURNING " + backupKeyColumns,
}

func scanBackup(row scanner) (KeyBackup, error) {
	var b KeyBackup
	var algorithm []byte
	err := row.Scan(&b.UserID, &b.Version, &algorithm, &b.AuthData, &b.ETag, &b.Count)
	b.Algorithm = string(algorithm)
	return b, err
}

// CreateKeyBackup makes a new version, from now on the current one, and
// returns its number, which is higher than that of any version before.
//
// Errors: ErrTooMany when the user has atMost versions.
func (s *Store) CreateKeyBackup(ctx context.Context, b KeyBackup, atMost int64) (int64, error) {
	var version int64
	create := func(ctx context.Context, tx *Tx) error {
		n, err := queryOne(ctx, tx, scanInt64, countBackups, b.UserID)
		if err != nil {
			return err
		}
		if n >= atMost {
			return ErrTooMany
		}
		version, err = queryOne(ctx, tx, scanInt64, insertBackup, b.UserID, []byte(b.Algorithm), b.AuthData, b.UserID)
		tx.wrote = true
		tx.Later(removeTombstones, b.UserID)
		return err
	}
	err := s.Do(ctx, create)
	for errors.Is(err, ErrExists) && ctx.Err() == nil {
		err = s.Do(ctx, create) // another replica was faster
	}
	return version, err
}

// KeyBackup returns a version, or ErrNotFound.
func (s *Store) KeyBackup(ctx context.Context, user string, version int64) (KeyBackup, error) {
	return queryOne(ctx, s, scanBackup, selectBackup, user, version)
}

// CurrentKeyBackup returns the newest version, or ErrNotFound.
func (s *Store) CurrentKeyBackup(ctx context.Context, user string) (KeyBackup, error) {
	return queryOne(ctx, s, scanBackup, selectNewestBackup, user)
}

// LastKeyBackup returns the highest version that user ever had, deleted or
// not; 0 for none.
func (s *Store) LastKeyBackup(ctx context.Context, user string) (int64, error) {
	return queryOne(ctx, s, scanInt64, selectMaxBackup, user)
}

// SetKeyBackupAuth replaces the auth_data of a version, or returns ErrNotFound.
func (s *Store) SetKeyBackupAuth(ctx context.Context, user string, version int64, authData []byte) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, updateBackup, authData, user, version)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// PutBackupKeys adds keys, each of which must be there once, to a version,
// where it replaces worse ones, and returns what the backup is then. All of
// it happens in one transaction: bound the number of keys.
//
// Errors: ErrNotFound; ErrConflict when the version is not the current one;
// ErrTooMany when the backup would have more than atMost keys.
func (s *Store) PutBackupKeys(ctx context.Context, b KeyBackup, keys []BackupKey, atMost int64) (KeyBackup, error) {
	var after KeyBackup
	err := s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		if after, err = queryOne(ctx, tx, scanBackup, touchBackup, b.UserID, b.Version); err != nil {
			return err
		}
		newest, err := queryOne(ctx, tx, scanBackup, selectNewestBackup, b.UserID)
		if err != nil {
			return err
		}
		if newest.Version != b.Version {
			return ErrConflict
		}
		after, err = tx.putBackupKeys(ctx, after, keys, atMost)
		return err
	})
	return after, err
}

func (tx *Tx) putBackupKeys(ctx context.Context, b KeyBackup, keys []BackupKey, atMost int64) (KeyBackup, error) {
	fresh, err := tx.insertBackupKeys(ctx, b, keys)
	if err != nil {
		return b, err
	}
	if len(fresh) > 0 && b.Count+int64(len(fresh)) > atMost {
		return b, ErrTooMany
	}
	changed := int64(len(fresh))
	for _, k := range keys {
		if fresh[[2]string{k.RoomID, k.SessionID}] {
			continue
		}
		n, err := tx.Exec(ctx, replaceBackupKey, k.FirstMessageIndex, k.ForwardedCount, flag(k.Verified), k.SessionData,
			b.UserID, b.Version, []byte(k.RoomID), []byte(k.SessionID))
		if err != nil {
			return b, err
		}
		changed += n
	}
	if changed == 0 {
		return b, nil
	}
	return queryOne(ctx, tx, scanBackup, countChanges, int64(1), int64(len(fresh)), b.UserID, b.Version)
}

// insertBackupKeys inserts the keys that are not there and returns their
// rooms and sessions. To look first which are there would be a statement
// more, and one that Postgres plans badly for a table it has not analysed.
func (tx *Tx) insertBackupKeys(ctx context.Context, b KeyBackup, keys []BackupKey) (map[[2]string]bool, error) {
	fresh := make(map[[2]string]bool, len(keys))
	for len(keys) > 0 {
		n := maxRows
		for n > len(keys) {
			n /= 2
		}
		args := make([]any, 0, 8*n)
		for _, k := range keys[:n] {
			args = append(args, b.UserID, b.Version, []byte(k.RoomID), []byte(k.SessionID),
				k.FirstMessageIndex, k.ForwardedCount, flag(k.Verified), k.SessionData)
		}
		inserted, err := queryAll(ctx, tx, scanBackupKey, insertBackupKey.text(n), args...)
		if err != nil {
			return nil, err
		}
		for _, k := range inserted {
			tx.wrote = true
			fresh[[2]string{k.RoomID, k.SessionID}] = true
		}
		keys = keys[n:]
	}
	return fresh, nil
}

func scanBackupKey(row scanner) (BackupKey, error) {
	var k BackupKey
	var room, session []byte
	var verified int64
	err := row.Scan(&room, &session, &k.FirstMessageIndex, &k.ForwardedCount, &verified, &k.SessionData)
	k.RoomID, k.SessionID, k.Verified = string(room), string(session), verified == 1
	return k, err
}

// BackupKeys returns up to limit keys of a version behind the given one, by
// room and session; the zero key is before all.
func (s *Store) BackupKeys(ctx context.Context, b KeyBackup, after BackupKey, limit int) ([]BackupKey, error) {
	return queryAll(ctx, s, scanBackupKey, selectBackupKeys, b.UserID, b.Version, []byte(after.RoomID), []byte(after.SessionID), limit)
}

// RoomBackupKeys is BackupKeys for the room of after.
func (s *Store) RoomBackupKeys(ctx context.Context, b KeyBackup, after BackupKey, limit int) ([]BackupKey, error) {
	return queryAll(ctx, s, scanBackupKey, selectRoomKeys, b.UserID, b.Version, []byte(after.RoomID), []byte(after.SessionID), limit)
}

// BackupKey returns the key of a session, or ErrNotFound.
func (s *Store) BackupKey(ctx context.Context, b KeyBackup, room, session string) (BackupKey, error) {
	return queryOne(ctx, s, scanBackupKey, selectBackupKey, b.UserID, b.Version, []byte(room), []byte(session))
}

// DeleteBackupKeys deletes up to limit keys of a version: of one session, of
// a room when session is empty, of all rooms when room is empty too. It
// returns the backup afterwards and whether there may be more to delete, or
// ErrNotFound.
func (s *Store) DeleteBackupKeys(ctx context.Context, b KeyBackup, room, session string, limit int) (after KeyBackup, more bool, err error) {
	err = s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		if after, err = queryOne(ctx, tx, scanBackup, touchBackup, b.UserID, b.Version); err != nil {
			return err
		}
		after, more, err = tx.deleteBackupKeys(ctx, after, BackupKey{RoomID: room, SessionID: session}, limit)
		return err
	})
	return after, more, err
}

func (tx *Tx) deleteBackupKeys(ctx context.Context, b KeyBackup, which BackupKey, limit int) (KeyBackup, bool, error) {
	rows, args, more, err := tx.someBackupKeys(ctx, b, which, limit)
	if err != nil {
		return b, false, err
	}
	n, err := tx.Exec(ctx, deleteBackupKeys+rows, args...)
	if err != nil || n == 0 {
		return b, false, err
	}
	b, err = queryOne(ctx, tx, scanBackup, countChanges, int64(1), -n, b.UserID, b.Version)
	return b, more, err
}

// someBackupKeys returns the condition for the first limit keys of those that
// which stands for, and whether there may be more.
func (tx *Tx) someBackupKeys(ctx context.Context, b KeyBackup, which BackupKey, limit int) (rows string, args []any, more bool, err error) {
	args = []any{b.UserID, b.Version}
	rows, last := allKeys, lastOfKeys
	if which.RoomID != "" {
		args = append(args, []byte(which.RoomID))
		rows, last = roomKeys, lastOfRoom
	}
	if which.SessionID != "" {
		return oneKey, append(args, []byte(which.SessionID)), false, nil
	}
	k, err := queryOne(ctx, tx, scanBackupKey, last, append(args[:len(args):len(args)], limit-1)...)
	switch {
	case errors.Is(err, ErrNotFound) && which.RoomID != "":
		return wholeRoom, args, false, nil
	case errors.Is(err, ErrNotFound):
		return `1 = 1`, args, false, nil
	case which.RoomID != "":
		return rows, append(args, []byte(k.SessionID)), true, err
	default:
		return rows, append(args, []byte(k.RoomID), []byte(k.SessionID)), true, err
	}
}

// DeleteKeyBackup makes a version unusable, or returns ErrNotFound. Its keys
// go with PurgeKeyBackup.
func (s *Store) DeleteKeyBackup(ctx context.Context, user string, version int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, markDeleted, user, version)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// PurgeKeyBackup deletes up to limit keys of a version that is deleted; more
// tells that there may be others.
func (s *Store) PurgeKeyBackup(ctx context.Context, user string, version int64, limit int) (more bool, err error) {
	err = s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		_, more, err = tx.deleteBackupKeys(ctx, KeyBackup{UserID: user, Version: version}, BackupKey{}, limit)
		tx.Later(removeTombstones, user)
		return err
	})
	return more, err
}

// UnfinishedKeyBackups returns the deleted versions that still have keys.
func (s *Store) UnfinishedKeyBackups(ctx context.Context) ([]KeyBackup, error) {
	return queryAll(ctx, s, scanBackup, selectUnfinished)
}
