// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// OneTimeKey is a one-time or fallback key of a device.
type OneTimeKey struct {
	Algorithm, KeyID string
	Key              []byte // the JSON value as uploaded
}

// Claim asks for one key of a device.
type Claim struct{ UserID, DeviceID, Algorithm string }

const (
	selectOneTimeKeys = `SELECT algorithm, key_id, key FROM one_time_keys WHERE user_id = $1 AND device_id = $2`
	takeOldestKey     = `DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 AND key_id =
	(SELECT key_id FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3
	ORDER BY stream_pos, place LIMIT 1) RETURNING algorithm, key_id, key`
	anyKeyLeft     = `SELECT 1 FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 LIMIT 1`
	countKeys      = `SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_id = $1 AND device_id = $2 GROUP BY algorithm`
	upsertFallback = `INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used) VALUES ($1, $2, $3, $4, $5, 0)
	ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used =
	CASE WHEN fallback_keys.key_id = excluded.key_id AND fallback_keys.key = excluded.key THEN fallback_keys.used ELSE 0 END`
	useFallback = `UPDATE fallback_keys SET used = 1 WHERE user_id = $1 AND device_id = $2 AND algorithm = $3
	RETURNING algorithm, key_id, key`
	selectTheseTxns = `SELECT request FROM txns WHERE user_id = $1 AND device_id = $2 AND request IN `
	unusedFallback  = `SELECT algorithm FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND used = 0 ORDER BY algorithm`
)

var insertOneTimeKey = &Insert{Table: "one_time_keys", Columns: "user_id, device_id, algorithm, key_id, stream_pos, place, key"}

// freshKeys returns the one-time keys of u that the device does not have yet.
func (tx *Tx) freshKeys(ctx context.Context, u KeyUpload) ([]OneTimeKey, error) {
	if u.NewIdentity || len(u.OneTime) == 0 {
		return u.OneTime, nil
	}
	stored, err := queryAll(ctx, tx, scanKey, selectOneTimeKeys, u.UserID, []byte(u.DeviceID))
	if err != nil {
		return nil, err
	}
	type name struct{ algorithm, id string }
	has := make(map[name][]byte, len(stored))
	for _, k := range stored {
		has[name{k.Algorithm, k.KeyID}] = k.Key
	}
	fresh := make([]OneTimeKey, 0, len(u.OneTime))
	for _, k := range u.OneTime {
		old, ok := has[name{k.Algorithm, k.KeyID}]
		if !ok {
			fresh = append(fresh, k)
		} else if !bytes.Equal(old, k.Key) {
			return nil, fmt.Errorf("%w: one-time key %s:%s with another value", ErrExists, k.Algorithm, k.KeyID)
		}
	}
	if fresh, err = tx.neverClaimed(ctx, u, fresh); err != nil {
		return nil, err
	}
	if len(fresh) > 0 && len(stored)+len(fresh) > u.MaxOneTime {
		return nil, fmt.Errorf("%w: a device may have %d one-time keys", ErrTooMany, u.MaxOneTime)
	}
	return fresh, nil
}

// claimedKey is how it is remembered for a while that a key was claimed. The
// upload of a key may be repeated after that, when its answer was lost.
func claimedKey(user, device string, k OneTimeKey) TxnKey {
	key := TxnKey{UserID: user, DeviceID: device, Request: k.Algorithm + ":" + k.KeyID + " " + string(k.Key)}
	return TxnKey{UserID: user, DeviceID: device, Request: "claimed " + string(key.hash())}
}

// neverClaimed returns those of keys that nobody has got yet.
func (tx *Tx) neverClaimed(ctx context.Context, u KeyUpload, keys []OneTimeKey) ([]OneTimeKey, error) {
	claimed := map[string]bool{}
	for some := range slices.Chunk(keys, maxList) {
		requests := make([][]byte, len(some))
		for i, k := range some {
			requests[i] = []byte(claimedKey(u.UserID, u.DeviceID, k).Request)
		}
		args := listArgs([]any{u.UserID, []byte(u.DeviceID)}, requests)
		found, err := queryAll(ctx, tx, scanBytes, selectTheseTxns+list(3, len(some)), args...)
		if err != nil {
			return nil, err
		}
		for _, request := range found {
			claimed[string(request)] = true
		}
	}
	return slices.DeleteFunc(keys, func(k OneTimeKey) bool {
		return claimed[claimedKey(u.UserID, u.DeviceID, k).Request]
	}), nil
}

func (tx *Tx) addOneTimeKeys(u KeyUpload, fresh []OneTimeKey) {
	id := []byte(u.DeviceID)
	pos := tx.Change(Change{Kind: ChangeOneTimeKeys, UserID: u.UserID})
	for i, k := range fresh {
		tx.Insert(insertOneTimeKey, u.UserID, id, []byte(k.Algorithm), []byte(k.KeyID), pos, int64(i), k.Key)
	}
	for _, k := range u.Fallback {
		tx.Later(upsertFallback, u.UserID, id, []byte(k.Algorithm), []byte(k.KeyID), k.Key)
	}
}

func scanKey(row scanner) (OneTimeKey, error) {
	var algorithm, keyID []byte
	var k OneTimeKey
	err := row.Scan(&algorithm, &keyID, &k.Key)
	k.Algorithm, k.KeyID = string(algorithm), string(keyID)
	return k, err
}

// ClaimKeys takes one key for each claim: the oldest one-time key, which
// nobody gets again, else the fallback key. A claim that nothing is left for
// is absent from the answer. Claims that come in the same order everywhere
// cannot wait for each other in a circle. now is in milliseconds since 1970.
func (s *Store) ClaimKeys(ctx context.Context, claims []Claim, now int64) (map[Claim]OneTimeKey, error) {
	var got map[Claim]OneTimeKey
	err := s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		got = make(map[Claim]OneTimeKey, len(claims))
		s.forgetTxns(tx, now)
		for _, c := range claims {
			k, err := tx.claim(ctx, c, now)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			got[c] = k
			tx.Change(Change{Kind: ChangeOneTimeKeys, UserID: c.UserID})
		}
		return nil
	})
	return got, err
}

// claim takes one key. Another replica may take the oldest one while our
// statement waits for it, and then ours finds nothing; so nothing found means
// none left only if none is there.
func (tx *Tx) claim(ctx context.Context, c Claim, now int64) (OneTimeKey, error) {
	args := []any{c.UserID, []byte(c.DeviceID), []byte(c.Algorithm)}
	for {
		k, err := queryOne(ctx, tx, scanKey, takeOldestKey, args...)
		if err == nil {
			tx.wrote = true
			_, err = tx.ClaimTxn(ctx, claimedKey(c.UserID, c.DeviceID, k), now)
		}
		if !errors.Is(err, ErrNotFound) {
			return k, err
		}
		_, err = queryOne(ctx, tx, scanInt64, anyKeyLeft, args...)
		if errors.Is(err, ErrNotFound) {
			k, err = queryOne(ctx, tx, scanKey, useFallback, args...)
			tx.wrote = tx.wrote || err == nil
			return k, err
		}
		if err != nil {
			return OneTimeKey{}, err
		}
	}
}

// KeyCounts are how many one-time keys a device has left, by algorithm, and
// the algorithms whose fallback key is unused.
type KeyCounts struct {
	OneTime        map[string]int
	UnusedFallback []string
}

// CountKeys returns what a device has left.
func (s *Store) CountKeys(ctx context.Context, user, device string) (KeyCounts, error) {
	counts := KeyCounts{OneTime: map[string]int{}}
	scan := func(row scanner) (struct{}, error) {
		var algorithm []byte
		var n int
		err := row.Scan(&algorithm, &n)
		counts.OneTime[string(algorithm)] = n
		return struct{}{}, err
	}
	if _, err := queryAll(ctx, s, scan, countKeys, user, []byte(device)); err != nil {
		return counts, err
	}
	unused, err := queryAll(ctx, s, scanBytes, unusedFallback, user, []byte(device))
	for _, algorithm := range unused {
		counts.UnusedFallback = append(counts.UnusedFallback, string(algorithm))
	}
	return counts, err
}
