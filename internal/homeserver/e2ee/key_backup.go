// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Backups of room keys: users' devices store the keys of their rooms here,
// encrypted, so that a new device can read what was said before it came.
// https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

const (
	// maxBackups is how many versions a user may have at once; clients have one.
	maxBackups = 50
	// maxBackupKeys is how many keys a version may have: those of very busy people are 200,000.
	maxBackupKeys = 1_000_000
	// maxSessionData and maxAuthData are in bytes; clients send less than 2 KiB.
	maxSessionData = 32 << 10
	maxAuthData    = 64 << 10
	maxAlgorithm   = 255
	// backupKeysAtOnce is how many keys one write or read handles.
	backupKeysAtOnce = 200
	// purgedAtOnce is how many keys one write deletes.
	purgedAtOnce = 1000
)

// WrongVersionError says that keys were to be added to another version than
// the current one.
type WrongVersionError struct{ Current string }

func (e *WrongVersionError) Error() string {
	return "wrong backup version; the current one is " + e.Current
}

// Backup describes a version. ETag changes whenever its keys do.
type Backup struct {
	Version, Algorithm, ETag string
	AuthData                 json.RawMessage
	Count                    int64
}

func newBackup(b store.KeyBackup) *Backup {
	return &Backup{
		Version: strconv.FormatInt(b.Version, 10), Algorithm: b.Algorithm,
		ETag: strconv.FormatInt(b.ETag, 10), AuthData: b.AuthData, Count: b.Count,
	}
}

// backupVersion reads a version as newBackup writes it; what is none is
// treated as one that does not exist.
func backupVersion(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return 0
	}
	return n
}

func (s *Service) backupOf(ctx context.Context, user event.UserID, version string) (store.KeyBackup, error) {
	b, err := s.backup.KeyBackup(ctx, string(user), backupVersion(version))
	if err != nil {
		return b, fmt.Errorf("read backup version %q: %w", version, err)
	}
	return b, nil
}

// CreateBackup makes a new version, which is the current one from now on.
//
// Errors: ErrInvalid, ErrTooLarge, store.ErrTooMany.
func (s *Service) CreateBackup(ctx context.Context, user event.UserID, algorithm string, authData json.RawMessage) (version string, err error) {
	data, err := backupAuth(algorithm, authData)
	if err != nil {
		return "", err
	}
	n, err := s.backup.CreateKeyBackup(ctx, store.KeyBackup{UserID: string(user), Algorithm: algorithm, AuthData: data}, maxBackups)
	if err != nil {
		return "", fmt.Errorf("create backup version: %w", err)
	}
	return strconv.FormatInt(n, 10), nil
}

func backupAuth(algorithm string, authData json.RawMessage) ([]byte, error) {
	if len(algorithm) > maxAlgorithm || len(authData) > maxAuthData {
		return nil, fmt.Errorf("%w: auth_data may have %d bytes", ErrTooLarge, maxAuthData)
	}
	data, err := event.Canonical(authData, false)
	if err != nil || data[0] != '{' {
		return nil, fmt.Errorf("%w: auth_data must be an object", ErrInvalid)
	}
	return data, nil
}

// CurrentBackup returns the current version, or store.ErrNotFound.
func (s *Service) CurrentBackup(ctx context.Context, user event.UserID) (*Backup, error) {
	b, err := s.backup.CurrentKeyBackup(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read current backup version: %w", err)
	}
	return newBackup(b), nil
}

// Backup returns a version, or store.ErrNotFound.
func (s *Service) Backup(ctx context.Context, user event.UserID, version string) (*Backup, error) {
	b, err := s.backupOf(ctx, user, version)
	if err != nil {
		return nil, err
	}
	return newBackup(b), nil
}

// SetBackupAuth replaces the auth_data of a version. The algorithm has to be
// the one that the version has.
//
// Errors: store.ErrNotFound, ErrMismatch, ErrInvalid, ErrTooLarge.
func (s *Service) SetBackupAuth(ctx context.Context, user event.UserID, version, algorithm string, authData json.RawMessage) error {
	data, err := backupAuth(algorithm, authData)
	if err != nil {
		return err
	}
	b, err := s.backupOf(ctx, user, version)
	if err != nil {
		return err
	}
	if algorithm != b.Algorithm {
		return fmt.Errorf("%w: the backup has algorithm %s", ErrMismatch, b.Algorithm)
	}
	if err := s.backup.SetKeyBackupAuth(ctx, string(user), b.Version, data); err != nil {
		return fmt.Errorf("change backup version %q: %w", version, err)
	}
	return nil
}

// DeleteBackup deletes a version and its keys. That it was deleted before is
// no error; a version that never was is store.ErrNotFound.
func (s *Service) DeleteBackup(ctx context.Context, user event.UserID, version string) error {
	n := backupVersion(version)
	err := s.backup.DeleteKeyBackup(ctx, string(user), n)
	if errors.Is(err, store.ErrNotFound) && n > 0 {
		var last int64
		if last, err = s.backup.LastKeyBackup(ctx, string(user)); err == nil && n > last {
			err = store.ErrNotFound
		}
	}
	if err != nil {
		return fmt.Errorf("delete backup version %q: %w", version, err)
	}
	// The version is gone; that its keys go too does not depend on the client's patience.
	return s.purge(context.WithoutCancel(ctx), string(user), n)
}

// purge deletes the keys of a deleted version, some at a time.
func (s *Service) purge(ctx context.Context, user string, version int64) error {
	for {
		more, err := s.backup.PurgeKeyBackup(ctx, user, version, purgedAtOnce)
		if err != nil {
			return fmt.Errorf("delete keys of backup version %d: %w", version, err)
		}
		if !more {
			return nil
		}
	}
}

// purgeRetry is when Run tries again after it failed.
const purgeRetry = time.Minute

// Run deletes the keys of versions whose deletion was interrupted, by a crash
// or by a database that went away. It returns when they are gone or ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for s.purgeAll(ctx) != nil {
		// Whatever is wrong with the database is seen by every request, and
		// nothing but space is lost meanwhile.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(purgeRetry):
		}
	}
	return nil
}

func (s *Service) purgeAll(ctx context.Context) error {
	unfinished, err := s.backup.UnfinishedKeyBackups(ctx)
	if err != nil {
		return fmt.Errorf("read deleted backup versions: %w", err)
	}
	for _, b := range unfinished {
		if err := s.purge(ctx, b.UserID, b.Version); err != nil {
			return err
		}
	}
	return nil
}

// PutRoomKeys adds keys to the current version, where they replace worse
// ones. Many keys are added some at a time: an error may leave a part of them.
//
// Errors: *WrongVersionError, store.ErrNotFound when there is no backup at
// all, store.ErrTooMany, ErrInvalid, ErrTooLarge.
func (s *Service) PutRoomKeys(ctx context.Context, user event.UserID, version string, keys []store.BackupKey) (*Backup, error) {
	for i := range keys {
		if err := checkBackupKey(&keys[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(keys, func(a, b store.BackupKey) int {
		return cmp.Or(cmp.Compare(a.RoomID, b.RoomID), cmp.Compare(a.SessionID, b.SessionID))
	})
	b, err := s.backup.CurrentKeyBackup(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read current backup version: %w", err)
	}
	if b.Version != backupVersion(version) {
		return nil, &WrongVersionError{strconv.FormatInt(b.Version, 10)}
	}
	for some := range slices.Chunk(keys, backupKeysAtOnce) {
		b, err = s.backup.PutBackupKeys(ctx, b, some, maxBackupKeys)
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			// It was the current one a moment ago.
			return nil, s.wrongVersion(ctx, user)
		}
		if err != nil {
			return nil, fmt.Errorf("store room keys: %w", err)
		}
	}
	return newBackup(b), nil
}

func (s *Service) wrongVersion(ctx context.Context, user event.UserID) error {
	current, err := s.CurrentBackup(ctx, user)
	if err != nil {
		return err
	}
	return &WrongVersionError{current.Version}
}

func checkBackupKey(k *store.BackupKey) error {
	if k.SessionID == "" || len(k.SessionID) > maxKeyName {
		return fmt.Errorf("%w: a session id has 1 to %d bytes", ErrInvalid, maxKeyName)
	}
	if k.FirstMessageIndex < 0 || k.ForwardedCount < 0 {
		return fmt.Errorf("%w: first_message_index and forwarded_count of session %q must not be negative", ErrInvalid, k.SessionID)
	}
	if len(k.SessionData) > maxSessionData {
		return fmt.Errorf("%w: session_data of session %q may have %d bytes", ErrTooLarge, k.SessionID, maxSessionData)
	}
	data, err := event.Canonical(k.SessionData, false)
	if err != nil || data[0] != '{' {
		return fmt.Errorf("%w: session_data of session %q must be an object", ErrInvalid, k.SessionID)
	}
	k.SessionData = data
	return nil
}

// RoomKeys calls each with the keys of a version, in order, some at a time.
// room, unless empty, selects one room.
//
// Errors: store.ErrNotFound, before each is called, and those of each.
func (s *Service) RoomKeys(ctx context.Context, user event.UserID, version, room string, each func([]store.BackupKey) error) error {
	b, err := s.backupOf(ctx, user, version)
	if err != nil {
		return err
	}
	read, last := s.backup.BackupKeys, store.BackupKey{}
	if room != "" {
		read, last = s.backup.RoomBackupKeys, store.BackupKey{RoomID: room}
	}
	for {
		keys, err := read(ctx, b, last, backupKeysAtOnce)
		if err != nil {
			return fmt.Errorf("read room keys: %w", err)
		}
		if err := each(keys); err != nil {
			return err
		}
		if len(keys) < backupKeysAtOnce {
			return nil
		}
		last = keys[len(keys)-1]
	}
}

// RoomKey returns the key of a session, or store.ErrNotFound.
func (s *Service) RoomKey(ctx context.Context, user event.UserID, version, room, session string) (store.BackupKey, error) {
	b, err := s.backupOf(ctx, user, version)
	if err != nil {
		return store.BackupKey{}, err
	}
	k, err := s.backup.BackupKey(ctx, b, room, session)
	if err != nil {
		return k, fmt.Errorf("read room key: %w", err)
	}
	return k, nil
}

// DeleteRoomKeys deletes the key of a session, or those of a room when session
// is empty, or all of the version when room is empty too. It returns the
// version as it is then. Keys that do not exist are no error.
//
// Errors: store.ErrNotFound.
func (s *Service) DeleteRoomKeys(ctx context.Context, user event.UserID, version, room, session string) (*Backup, error) {
	b, err := s.backupOf(ctx, user, version)
	for more := true; more && err == nil; {
		b, more, err = s.backup.DeleteBackupKeys(ctx, b, room, session, purgedAtOnce)
	}
	if err != nil {
		return nil, fmt.Errorf("delete room keys: %w", err)
	}
	return newBackup(b), nil
}
