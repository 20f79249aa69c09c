// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// OneTimeKey is a one-time or fallback key of a device.
type OneTimeKey struct {
	Algorithm, KeyID string
	Key              []byte // the JSON value as uploaded
}

// Claim asks for one key of a device.
type Claim struct{ UserID, DeviceID, Algorithm string }

const (
	selectOneTimeKey = `SELECT key FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 AND key_id = $4`
	selectOldestKey  = `SELECT key_id, key FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3
	ORDER BY stream_pos, place LIMIT 1`
	deleteOneTimeKey = `DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 AND key_id = $4`
	countKeys        = `SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_id = $1 AND device_id = $2 GROUP BY algorithm`
	upsertFallback   = `INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used) VALUES ($1, $2, $3, $4, $5, 0)
	ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = 0`
	useFallback    = `UPDATE fallback_keys SET used = 1 WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 RETURNING key_id, key`
	unusedFallback = `SELECT algorithm FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND used = 0 ORDER BY algorithm`
)

var insertOneTimeKey = &Insert{Table: "one_time_keys", Columns: "user_id, device_id, algorithm, key_id, stream_pos, place, key"}

// AddOneTimeKeys stores keys behind those the device has, in order, and
// replaces its fallback keys. A key that is there already is skipped; one
// whose id is taken by another key makes it all fail with ErrExists.
func (s *Store) AddOneTimeKeys(ctx context.Context, user, device string, keys, fallback []OneTimeKey) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		id := []byte(device)
		fresh := make([]OneTimeKey, 0, len(keys))
		for _, k := range keys {
			old, err := queryOne(ctx, tx, scanBytes, selectOneTimeKey, user, id, []byte(k.Algorithm), []byte(k.KeyID))
			switch {
			case errors.Is(err, ErrNotFound):
				fresh = append(fresh, k)
			case err != nil:
				return err
			case !bytes.Equal(old, k.Key):
				return fmt.Errorf("%w: %s:%s: %w", ErrExists, k.Algorithm, k.KeyID, errKeyDiffers)
			}
		}
		pos := tx.Change(Change{Kind: ChangeOneTimeKeys, UserID: user})
		for i, k := range fresh {
			tx.Insert(insertOneTimeKey, user, id, []byte(k.Algorithm), []byte(k.KeyID), pos, int64(i), k.Key)
		}
		for _, k := range fallback {
			tx.Later(upsertFallback, user, id, []byte(k.Algorithm), []byte(k.KeyID), k.Key)
		}
		return nil
	})
}

func scanKey(row scanner) (OneTimeKey, error) {
	var keyID []byte
	var k OneTimeKey
	err := row.Scan(&keyID, &k.Key)
	k.KeyID = string(keyID)
	return k, err
}

// ClaimKeys takes one key for each claim: the oldest one-time key, which
// nobody gets again, else the fallback key. A claim that nothing is left for
// is absent from the answer.
func (s *Store) ClaimKeys(ctx context.Context, claims []Claim) (map[Claim]OneTimeKey, error) {
	var got map[Claim]OneTimeKey
	err := s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		got = make(map[Claim]OneTimeKey, len(claims))
		for _, c := range claims {
			k, err := tx.claim(ctx, c)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			k.Algorithm = c.Algorithm
			got[c] = k
			tx.Change(Change{Kind: ChangeOneTimeKeys, UserID: c.UserID})
		}
		return nil
	})
	return got, err
}

// claim takes one key. Another replica may take the oldest one between our
// reading and deleting it; then the next oldest is tried.
func (tx *Tx) claim(ctx context.Context, c Claim) (OneTimeKey, error) {
	id, algorithm := []byte(c.DeviceID), []byte(c.Algorithm)
	for {
		k, err := queryOne(ctx, tx, scanKey, selectOldestKey, c.UserID, id, algorithm)
		if errors.Is(err, ErrNotFound) {
			tx.wrote = true
			return queryOne(ctx, tx, scanKey, useFallback, c.UserID, id, algorithm)
		}
		if err != nil {
			return k, err
		}
		n, err := tx.Exec(ctx, deleteOneTimeKey, c.UserID, id, algorithm, []byte(k.KeyID))
		if err != nil || n == 1 {
			return k, err
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
