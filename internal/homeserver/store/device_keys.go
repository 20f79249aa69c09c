// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// DeviceKeys are one device's identity keys: the JSON object as uploaded.
type DeviceKeys struct {
	UserID, DeviceID string
	Keys             []byte
	// DisplayName of the device; empty when it has none.
	DisplayName string
}

// CrossSigningKey is one of the three cross-signing keys of a user.
type CrossSigningKey struct {
	UserID, Usage string
	Keys          []byte
}

// KeySignature is a verified signature on a key of UserID. KeyID is a device
// id or the public part of a cross-signing key.
type KeySignature struct {
	UserID, KeyID, Signer, SigningKey, Signature string
}

const (
	upsertDeviceKeys = `INSERT INTO device_keys (user_id, device_id, keys) VALUES ($1, $2, $3)
	ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys`
	selectDeviceKeys = `SELECT k.user_id, k.device_id, k.keys, d.display_name FROM device_keys k
	JOIN devices d ON d.user_id = k.user_id AND d.device_id = k.device_id WHERE k.user_id IN `
	upsertCrossSigning = `INSERT INTO cross_signing_keys (user_id, usage, keys) VALUES ($1, $2, $3)
	ON CONFLICT (user_id, usage) DO UPDATE SET keys = excluded.keys`
	selectCrossSigning = `SELECT user_id, usage, keys FROM cross_signing_keys WHERE user_id IN `
	upsertSignature    = `INSERT INTO key_signatures (user_id, key_id, signer, signing_key, signature) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (user_id, key_id, signer, signing_key) DO UPDATE SET signature = excluded.signature`
	selectSignatures = `SELECT user_id, key_id, signer, signing_key, signature FROM key_signatures WHERE user_id IN `
	upsertListChange = `INSERT INTO device_list_changes (user_id, stream_pos) VALUES ($1, $2)
	ON CONFLICT (user_id) DO UPDATE SET stream_pos = excluded.stream_pos`
	selectListChanges = `SELECT user_id FROM device_list_changes WHERE stream_pos > $1 ORDER BY stream_pos`
	selectSignedSince = `SELECT DISTINCT user_id FROM signature_changes WHERE signer = $1 AND stream_pos > $2 AND stream_pos <= $3`
)

var insertSignatureChange = &Insert{Table: "signature_changes", Columns: "signer, stream_pos, user_id"}

// deviceListChanged records, in the transaction that causes it, that the
// devices or keys of user changed.
func (tx *Tx) deviceListChanged(user string) {
	pos := tx.Change(Change{Kind: ChangeDeviceList, UserID: user})
	tx.Later(upsertListChange, user, pos)
}

// PutDeviceKeys stores the identity keys of a device. The device list of the
// user changes only when the keys differ from those stored.
func (s *Store) PutDeviceKeys(ctx context.Context, k DeviceKeys) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(upsertDeviceKeys, k.UserID, []byte(k.DeviceID), k.Keys)
		tx.deviceListChanged(k.UserID)
		return nil
	})
}

func scanDeviceKeys(row scanner) (DeviceKeys, error) {
	var k DeviceKeys
	var device, name []byte
	err := row.Scan(&k.UserID, &device, &k.Keys, &name)
	k.DeviceID, k.DisplayName = string(device), string(name)
	return k, err
}

// DeviceKeysOf returns the keys of every device of users that has some.
func (s *Store) DeviceKeysOf(ctx context.Context, users []string) ([]DeviceKeys, error) {
	return queryUsers(ctx, s, scanDeviceKeys, selectDeviceKeys, users)
}

// queryUsers runs query, which ends in "user_id IN ", for all users.
func queryUsers[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), query string, users []string) ([]T, error) {
	var all []T
	for len(users) > 0 {
		n := min(len(users), maxList)
		rows, err := queryAll(ctx, s, scan, query+list(1, n), listArgs(nil, users[:n])...)
		if err != nil {
			return nil, err
		}
		all, users = append(all, rows...), users[n:]
	}
	return all, nil
}

// PutCrossSigningKeys stores keys of one user. Replacing a key drops the
// signatures on the one before it.
func (s *Store) PutCrossSigningKeys(ctx context.Context, user string, keys []CrossSigningKey, signatures []KeySignature) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for _, k := range keys {
			tx.Later(upsertCrossSigning, user, k.Usage, k.Keys)
		}
		for _, sig := range signatures {
			tx.putSignature(sig)
		}
		tx.deviceListChanged(user)
		return nil
	})
}

func (tx *Tx) putSignature(sig KeySignature) {
	tx.Later(upsertSignature, sig.UserID, []byte(sig.KeyID), sig.Signer, []byte(sig.SigningKey), []byte(sig.Signature))
}

func scanCrossSigning(row scanner) (CrossSigningKey, error) {
	var k CrossSigningKey
	return k, row.Scan(&k.UserID, &k.Usage, &k.Keys)
}

// CrossSigningKeysOf returns the cross-signing keys of users.
func (s *Store) CrossSigningKeysOf(ctx context.Context, users []string) ([]CrossSigningKey, error) {
	return queryUsers(ctx, s, scanCrossSigning, selectCrossSigning, users)
}

func scanSignature(row scanner) (KeySignature, error) {
	var sig KeySignature
	var keyID, signingKey, signature []byte
	err := row.Scan(&sig.UserID, &keyID, &sig.Signer, &signingKey, &signature)
	sig.KeyID, sig.SigningKey, sig.Signature = string(keyID), string(signingKey), string(signature)
	return sig, err
}

// SignaturesOn returns all verified signatures on keys of users.
func (s *Store) SignaturesOn(ctx context.Context, users []string) ([]KeySignature, error) {
	return queryUsers(ctx, s, scanSignature, selectSignatures, users)
}

// PutSignatures stores verified signatures that signer made. Those on the
// signer's own keys change the device list that everybody sees; those on
// others' keys are only the signer's business.
func (s *Store) PutSignatures(ctx context.Context, signer string, signatures []KeySignature) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		own, others := false, map[string]bool{}
		for _, sig := range signatures {
			tx.putSignature(sig)
			own = own || sig.UserID == signer
			if sig.UserID != signer && !others[sig.UserID] {
				others[sig.UserID] = true
				pos := tx.Change(Change{Kind: ChangeSignature, UserID: signer})
				tx.Insert(insertSignatureChange, signer, pos, sig.UserID)
			}
		}
		if own {
			tx.deviceListChanged(signer)
		}
		return nil
	})
}

// DeviceListsChangedSince returns every user whose devices or keys changed
// after pos.
func (s *Store) DeviceListsChangedSince(ctx context.Context, pos int64) ([]string, error) {
	return queryAll(ctx, s, scanString, selectListChanges, pos)
}

// SignedBetween returns the users whose keys signer signed with from < position <= to.
func (s *Store) SignedBetween(ctx context.Context, signer string, from, to int64) ([]string, error) {
	return queryAll(ctx, s, scanString, selectSignedSince, signer, from, to)
}

// forgetDeviceKeys deletes all that belongs to a device's encryption. It is
// part of the transaction that deletes the device.
func (tx *Tx) forgetDeviceKeys(ctx context.Context, user, device string) error {
	id := []byte(device)
	for _, table := range []string{"device_keys", "one_time_keys", "fallback_keys", "to_device"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1 AND device_id = $2`, user, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM key_signatures WHERE user_id = $1 AND key_id = $2`, user, id)
	tx.deviceListChanged(user)
	return err
}

// errKeyDiffers is returned through ErrExists: a one-time key id is taken by another key.
var errKeyDiffers = errors.New("a one-time key with this id and another value exists")
