// SPDX-License-Identifier: Apache-2.0

// Package e2ee keeps what end-to-end encryption needs of a server: devices'
// identity keys, one-time keys, cross-signing keys and their signatures,
// messages from device to device, and backups of room keys. The server
// verifies every signature on a key that it stores, and sees no message.
//
// https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption
package e2ee

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The errors that the HTTP edge translates.
var (
	// ErrInvalid: the request is well-formed JSON but not what the specification asks for.
	ErrInvalid = errors.New("invalid")
	// ErrKeyTaken: a one-time key id exists with another key.
	ErrKeyTaken = errors.New("one-time key id is taken by another key")
	// ErrSignature: a signature is missing or does not verify.
	ErrSignature = errors.New("invalid signature")
	// ErrNoMasterKey: signing keys need a master key first.
	ErrNoMasterKey = errors.New("no master key")
	// ErrTooLarge: a message or key is larger than allowed.
	ErrTooLarge = errors.New("too large")
	// ErrMismatch: a member contradicts what is stored.
	ErrMismatch = errors.New("does not match")
	// ErrKeyIsDevice: a cross-signing key is called like a device.
	ErrKeyIsDevice = errors.New("key id in use by a device")
)

// keyStore is what this package needs of the store.
type keyStore interface {
	UploadKeys(ctx context.Context, u store.KeyUpload) error
	DeviceKeysOf(ctx context.Context, users []string) ([]store.DeviceKeys, error)
	ChangeCrossSigning(ctx context.Context, c store.CrossSigningChange) error
	CrossSigningKeysOf(ctx context.Context, users []string) ([]store.CrossSigningKey, error)
	SignaturesOn(ctx context.Context, users []string, viewer string) ([]store.KeySignature, error)
	PutSignatures(ctx context.Context, signer string, signatures []store.KeySignature) error
	ClaimKeys(ctx context.Context, claims []store.Claim, now int64) (map[store.Claim]store.OneTimeKey, error)
	CountKeys(ctx context.Context, user, device string) (store.KeyCounts, error)
	SendToDevice(ctx context.Context, txn store.TxnKey, now int64, messages []store.ToDeviceMessage) error
	ToDevice(ctx context.Context, user, device string, after, upTo int64, limit int) ([]store.ToDeviceMessage, error)
	DeleteToDevice(ctx context.Context, user, device string, upTo int64) error
	DeviceIDs(ctx context.Context, user string) ([]string, error)
}

// backupStore is what this package needs of the store for key backups.
type backupStore interface {
	CreateKeyBackup(ctx context.Context, b store.KeyBackup, atMost int64) (int64, error)
	KeyBackup(ctx context.Context, user string, version int64) (store.KeyBackup, error)
	CurrentKeyBackup(ctx context.Context, user string) (store.KeyBackup, error)
	LastKeyBackup(ctx context.Context, user string) (int64, error)
	SetKeyBackupAuth(ctx context.Context, user string, version int64, authData []byte) error
	PutBackupKeys(ctx context.Context, b store.KeyBackup, keys []store.BackupKey, atMost int64) (store.KeyBackup, error)
	BackupKeys(ctx context.Context, b store.KeyBackup, after store.BackupKey, limit int) ([]store.BackupKey, error)
	RoomBackupKeys(ctx context.Context, b store.KeyBackup, after store.BackupKey, limit int) ([]store.BackupKey, error)
	BackupKey(ctx context.Context, b store.KeyBackup, room, session string) (store.BackupKey, error)
	DeleteBackupKeys(ctx context.Context, b store.KeyBackup, room, session string, limit int) (store.KeyBackup, bool, error)
	DeleteKeyBackup(ctx context.Context, user string, version int64) error
	PurgeKeyBackup(ctx context.Context, user string, version int64, limit int) (bool, error)
	UnfinishedKeyBackups(ctx context.Context) ([]store.KeyBackup, error)
}

// Store is what this package needs of the store; *store.Store is one.
type Store interface {
	keyStore
	backupStore
}

// Service implements the rules; it is safe for concurrent use.
type Service struct {
	store  keyStore
	backup backupStore
	server event.ServerName
	now    func() time.Time

	mu     sync.Mutex
	counts map[string]map[string]store.KeyCounts // by user and device
	seen   int64                                 // how many changes of keys were followed
}

// maxCachedUsers bounds the cache of key counts.
const maxCachedUsers = 10_000

// New returns the service of one server. log tells it what other replicas change.
func New(s Store, log *store.Log, server event.ServerName, now func() time.Time) *Service {
	e := &Service{store: s, backup: s, server: server, now: now, counts: map[string]map[string]store.KeyCounts{}}
	log.Follow(e.follow)
	return e
}

// follow drops the cached counts of users whose keys changed.
func (s *Service) follow(changes []store.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeOneTimeKeys, store.ChangeDeviceList:
			delete(s.counts, c.UserID)
			s.seen++
		default:
		}
	}
}

// signedCurve25519 is always counted: clients that see no count at all would
// not upload (MSC2732, Synapse issue 10484).
const signedCurve25519 = "signed_curve25519"

// OneTimeKeyCounts returns how many one-time keys device has left, by
// algorithm, and the algorithms whose fallback key is unused (never nil).
// The maps are shared: do not change them.
func (s *Service) OneTimeKeyCounts(ctx context.Context, user event.UserID, device string) (map[string]int, []string, error) {
	s.mu.Lock()
	cached, ok := s.counts[string(user)][device]
	seen := s.seen
	s.mu.Unlock()
	if ok {
		return cached.OneTime, cached.UnusedFallback, nil
	}
	counts, err := s.store.CountKeys(ctx, string(user), device)
	if err != nil {
		return nil, nil, fmt.Errorf("count one-time keys: %w", err)
	}
	if _, ok := counts.OneTime[signedCurve25519]; !ok {
		counts.OneTime[signedCurve25519] = 0
	}
	if counts.UnusedFallback == nil {
		counts.UnusedFallback = []string{}
	}
	s.remember(string(user), device, counts, seen)
	return counts.OneTime, counts.UnusedFallback, nil
}

// remember caches counts that were read when seen changes had been followed;
// if more have been since, they may be out of date and are not kept.
func (s *Service) remember(user, device string, counts store.KeyCounts, seen int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != seen {
		return
	}
	if len(s.counts) >= maxCachedUsers {
		s.counts = map[string]map[string]store.KeyCounts{}
	}
	if s.counts[user] == nil {
		s.counts[user] = map[string]store.KeyCounts{}
	}
	s.counts[user][device] = counts
}

// sortedKeys returns the keys of m in order, so that work is deterministic.
func sortedKeys[K ~string, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
