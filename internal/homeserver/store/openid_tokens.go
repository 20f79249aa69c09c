// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	insertOpenIDToken = `INSERT INTO openid_tokens (token_hash, user_id, device_id, expires_ts) VALUES ($1, $2, $3, $4)`
	countOpenIDTokens = `SELECT COUNT(*) FROM openid_tokens WHERE user_id = $1 AND expires_ts > $2`
	endedOpenIDTokens = `DELETE FROM openid_tokens WHERE user_id = $1 AND expires_ts <= $2`
	// A token goes with the device that asked for it.
	selectOpenIDToken = `SELECT t.user_id, t.device_id, t.expires_ts, u.flags FROM openid_tokens t
		JOIN users u ON u.user_id = t.user_id
		JOIN devices d ON d.user_id = t.user_id AND d.device_id = t.device_id WHERE t.token_hash = $1`
)

// OpenIDToken proves to other services who a user is.
type OpenIDToken struct {
	// Hash is the SHA-256 of the token.
	Hash             []byte
	UserID, DeviceID string
	ExpiresTS        int64 // unix milliseconds
}

// AddOpenIDToken keeps a token. Those of the user that have ended at now, in
// unix milliseconds, are forgotten.
//
// Errors: ErrTooMany when the user has atMost others.
func (s *Store) AddOpenIDToken(ctx context.Context, t OpenIDToken, now, atMost int64) error {
	// Asked before as well: what is refused here costs other writers nothing.
	if n, err := queryOne(ctx, s, scanInt64, countOpenIDTokens, t.UserID, now); err != nil || n >= atMost {
		return tooMany(err)
	}
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		// Other replicas that count the same user's wait here.
		if _, err := tx.Exec(ctx, lockUser, t.UserID); err != nil {
			return err
		}
		if n, err := queryOne(ctx, tx, scanInt64, countOpenIDTokens, t.UserID, now); err != nil || n >= atMost {
			return tooMany(err)
		}
		tx.Later(endedOpenIDTokens, t.UserID, now)
		_, err := tx.Exec(ctx, insertOpenIDToken, t.Hash, t.UserID, []byte(t.DeviceID), t.ExpiresTS)
		return err
	})
}

// OpenIDTokenOwner returns whom the token with this SHA-256 belongs to, while
// its device is signed in, or ErrNotFound.
func (s *Store) OpenIDTokenOwner(ctx context.Context, hash []byte) (TokenOwner, error) {
	return queryOne(ctx, s, func(row scanner) (TokenOwner, error) {
		var o TokenOwner
		var device []byte
		err := row.Scan(&o.UserID, &device, &o.ExpiresTS, &o.UserFlags)
		o.DeviceID = string(device)
		return o, err
	}, selectOpenIDToken, hash)
}
