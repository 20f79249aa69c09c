// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"
)

// DeviceKeys are one device's identity keys: a JSON object without signatures.
type DeviceKeys struct {
	UserID, DeviceID string
	Keys             []byte
	// DisplayName of the device; empty when it has none.
	DisplayName string
}

// KeyUpload is what one device uploads at once.
type KeyUpload struct {
	UserID, DeviceID string
	// Keys are identity keys that differ from those stored; nil leaves them.
	Keys []byte
	// NewIdentity says that the public keys themselves differ: one-time keys
	// and fallback keys of the old ones are worth nothing then.
	NewIdentity bool
	// Signatures are verified signatures on the identity keys.
	Signatures []KeySignature
	// OneTime keys go behind those that the device has, in this order. One
	// that is there already is skipped.
	OneTime []OneTimeKey
	// Fallback keys take the place of those of the same algorithm.
	Fallback []OneTimeKey
	// MaxOneTime is how many one-time keys a device may have.
	MaxOneTime int
}

const (
	// lockDevice makes the deletion of a device, by any replica, wait for us
	// or us for it.
	lockDevice       = `UPDATE devices SET display_name = display_name WHERE user_id = $1 AND device_id = $2 RETURNING user_id`
	upsertDeviceKeys = `INSERT INTO device_keys (user_id, device_id, keys) VALUES ($1, $2, $3)
	ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys`
	selectDeviceKeys = `SELECT k.user_id, k.device_id, k.keys, d.display_name FROM device_keys k
	JOIN devices d ON d.user_id = k.user_id AND d.device_id = k.device_id WHERE k.user_id IN `
	deleteSignaturesOn = `DELETE FROM key_signatures WHERE user_id = $1 AND key_id = $2`
	deleteSignaturesBy = `DELETE FROM key_signatures WHERE signer = $1 AND signing_key = $2`
	deleteOneTimeKeys  = `DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2`
	deleteFallbackKeys = `DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2`
	upsertListChange   = `INSERT INTO device_list_changes (user_id, stream_pos) VALUES ($1, $2)
	ON CONFLICT (user_id) DO UPDATE SET stream_pos = excluded.stream_pos`
	selectListChanges = `SELECT user_id FROM device_list_changes WHERE stream_pos > $1 ORDER BY stream_pos`
)

// deviceListChanged records, in the transaction that causes it, that the
// devices or keys of user changed.
func (tx *Tx) deviceListChanged(user string) {
	pos := tx.Change(Change{Kind: ChangeDeviceList, UserID: user})
	tx.Later(upsertListChange, user, pos)
}

// UploadKeys stores keys of a device, all or none.
//
// Errors: ErrNotFound when the device does not exist (any more), ErrExists
// when the id of a one-time key is taken by another key, ErrTooMany.
func (s *Store) UploadKeys(ctx context.Context, u KeyUpload) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		id := []byte(u.DeviceID)
		if _, err := queryOne(ctx, tx, scanString, lockDevice, u.UserID, id); err != nil {
			return err
		}
		fresh, err := tx.freshKeys(ctx, u)
		if err != nil {
			return err
		}
		if u.Keys != nil {
			tx.Later(deleteSignaturesOn, u.UserID, id)
			tx.Later(upsertDeviceKeys, u.UserID, id, u.Keys)
		}
		if u.NewIdentity {
			tx.Later(deleteSignaturesBy, u.UserID, deviceSigningKey(u.DeviceID))
			// Now, because the inserts come before what is left for later.
			if err := tx.dropOneTimeKeys(ctx, u.UserID, id); err != nil {
				return err
			}
		}
		for _, sig := range u.Signatures {
			tx.putSignature(sig)
		}
		if u.Keys != nil || len(u.Signatures) > 0 {
			tx.deviceListChanged(u.UserID)
		}
		if u.NewIdentity || len(fresh)+len(u.Fallback) > 0 {
			tx.addOneTimeKeys(u, fresh)
		}
		return nil
	})
}

func (tx *Tx) dropOneTimeKeys(ctx context.Context, user string, device []byte) error {
	for _, query := range []string{deleteOneTimeKeys, deleteFallbackKeys} {
		if _, err := tx.Exec(ctx, query, user, device); err != nil {
			return err
		}
	}
	return nil
}

// deviceSigningKey is the id of the key with which a device signs.
func deviceSigningKey(device string) []byte { return []byte("ed25519:" + device) }

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
func queryUsers[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), query string, users []string, args ...any) ([]T, error) {
	var all []T
	for len(users) > 0 {
		n := min(len(users), maxList)
		rows, err := queryAll(ctx, s, scan, query+list(len(args)+1, n), listArgs(args[:len(args):len(args)], users[:n])...)
		if err != nil {
			return nil, err
		}
		all, users = append(all, rows...), users[n:]
	}
	return all, nil
}

// DeviceListsChangedSince returns every user whose devices or keys changed
// after pos.
func (s *Store) DeviceListsChangedSince(ctx context.Context, pos int64) ([]string, error) {
	return queryAll(ctx, s, scanString, selectListChanges, pos)
}

// forgetDeviceKeys deletes all that belongs to a device's encryption. It is
// part of the transaction that deletes the device. What others of the same
// transaction are about to insert for the device is deleted too, which is why
// it happens last.
func (tx *Tx) forgetDeviceKeys(user, device string) {
	id := []byte(device)
	for _, table := range []string{"device_keys", "one_time_keys", "fallback_keys", "to_device", "txns"} {
		tx.Later(`DELETE FROM `+table+` WHERE user_id = $1 AND device_id = $2`, user, id)
	}
	tx.Later(deleteSignaturesOn, user, id)
	tx.Later(deleteSignaturesBy, user, deviceSigningKey(device))
}

// rowValues writes n rows of a text and a blob column, beginning at $first,
// as a list for IN. The casts tell Postgres the types, which it does not
// infer for VALUES.
func rowValues(first, n int) string {
	var b strings.Builder
	for i := range padded(n) {
		separator := ",("
		if i == 0 {
			separator = "(VALUES ("
		}
		fmt.Fprintf(&b, "%sCAST($%d AS TEXT),CAST($%d AS BYTEA))", separator, first+2*i, first+2*i+1)
	}
	return b.String() + ")"
}
