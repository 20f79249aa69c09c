// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"strings"
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

// betterThan tells whether k takes the place of old: a verified key before
// one that is not, then the one that opens more messages, then the one that
// went through fewer hands.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid
func (k BackupKey) betterThan(old BackupKey) bool {
	if k.Verified != old.Verified {
		return k.Verified
	}
	if k.FirstMessageIndex != old.FirstMessageIndex {
		return k.FirstMessageIndex < old.FirstMessageIndex
	}
	return k.ForwardedCount < old.ForwardedCount
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
	selectTheseKeys  = `SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, '' FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND (room_id, session_id) IN `
	selectBackupKeys = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND (room_id, session_id) > ($3, $4) ORDER BY room_id, session_id LIMIT $5`
	selectRoomKeys = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id > $4 ORDER BY session_id LIMIT $5`
	selectBackupKey = `SELECT ` + backupKeyColumns + ` FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4`
	replaceBackupKey = `UPDATE backup_keys SET first_message_index = $1, forwarded_count = $2, is_verified = $3, session_data = $4
	WHERE user_id = $5 AND version = $6 AND room_id = $7 AND session_id = $8 AND (is_verified < $3 OR is_verified = $3 AND
	(first_message_index > $1 OR first_message_index = $1 AND forwarded_count > $2))`
	deleteBackupKeys = `DELETE FROM backup_keys WHERE user_id = $1 AND version = $2 AND `
	someKeys         = `(room_id, session_id) IN (SELECT room_id, session_id FROM backup_keys
	WHERE user_id = $1 AND version = $2 LIMIT $3)`
	someRoomKeys = `room_id = $3 AND session_id IN (SELECT session_id FROM backup_keys
	WHERE user_id = $1 AND version = $2 AND room_id = $3 LIMIT $4)`
	oneKey = `room_id = $3 AND session_id = $4`
)

var insertBackupKey = &Insert{Table: "backup_keys", Columns: "user_id, version, " + backupKeyColumns}

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
	stored, err := tx.storedKeys(ctx, b, keys)
	if err != nil {
		return b, err
	}
	var fresh, better []BackupKey
	for _, k := range keys {
		old, ok := stored[[2]string{k.RoomID, k.SessionID}]
		switch {
		case !ok:
			fresh = append(fresh, k)
		case k.betterThan(old):
			better = append(better, k)
		}
	}
	if len(fresh) > 0 && b.Count+int64(len(fresh)) > atMost {
		return b, ErrTooMany
	}
	for _, k := range fresh {
		tx.Insert(insertBackupKey, b.UserID, b.Version, []byte(k.RoomID), []byte(k.SessionID),
			k.FirstMessageIndex, k.ForwardedCount, flag(k.Verified), k.SessionData)
	}
	for _, k := range better {
		tx.Later(replaceBackupKey, k.FirstMessageIndex, k.ForwardedCount, flag(k.Verified), k.SessionData,
			b.UserID, b.Version, []byte(k.RoomID), []byte(k.SessionID))
	}
	if len(fresh)+len(better) == 0 {
		return b, nil
	}
	tx.wrote = true
	return queryOne(ctx, tx, scanBackup, countChanges, int64(1), int64(len(fresh)), b.UserID, b.Version)
}

// storedKeys returns those of keys that are stored, by room and session.
func (tx *Tx) storedKeys(ctx context.Context, b KeyBackup, keys []BackupKey) (map[[2]string]BackupKey, error) {
	stored := make(map[[2]string]BackupKey, len(keys))
	for len(keys) > 0 {
		n := min(len(keys), maxList)
		args := []any{b.UserID, b.Version}
		for i := range padded(n) {
			k := keys[min(i, n-1)]
			args = append(args, []byte(k.RoomID), []byte(k.SessionID))
		}
		values := strings.ReplaceAll(rowValues(3, n), " AS TEXT)", " AS BYTEA)")
		found, err := queryAll(ctx, tx, scanBackupKey, selectTheseKeys+values, args...)
		if err != nil {
			return nil, err
		}
		for _, k := range found {
			stored[[2]string{k.RoomID, k.SessionID}] = k
		}
		keys = keys[n:]
	}
	return stored, nil
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
	query, args := deleteBackupKeys, []any{b.UserID, b.Version}
	switch {
	case which.SessionID != "":
		query, args = query+oneKey, append(args, []byte(which.RoomID), []byte(which.SessionID))
	case which.RoomID != "":
		query, args = query+someRoomKeys, append(args, []byte(which.RoomID), limit)
	default:
		query, args = query+someKeys, append(args, limit)
	}
	n, err := tx.Exec(ctx, query, args...)
	if err != nil || n == 0 {
		return b, false, err
	}
	b, err = queryOne(ctx, tx, scanBackup, countChanges, int64(1), -n, b.UserID, b.Version)
	return b, n == int64(limit) && which.SessionID == "", err
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
