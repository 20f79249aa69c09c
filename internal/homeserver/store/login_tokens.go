// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	insertLoginToken   = `INSERT INTO login_tokens (token_hash, user_id, expires_ts) VALUES ($1, $2, $3)`
	selectLoginToken   = `SELECT user_id FROM login_tokens WHERE token_hash = $1 AND expires_ts > $2`
	deleteLoginToken   = `DELETE FROM login_tokens WHERE token_hash = $1 AND user_id = $2`
	deleteLoginTokens  = `DELETE FROM login_tokens WHERE user_id = $1`
	expiredLoginTokens = `DELETE FROM login_tokens WHERE expires_ts <= $1`
)

// LoginToken signs its user in once.
type LoginToken struct {
	// Hash is the SHA-256 of the token.
	Hash             []byte
	UserID           string
	NowTS, ExpiresTS int64 // unix milliseconds
}

// AddLoginToken keeps a token, and forgets all that have ended.
func (s *Store) AddLoginToken(ctx context.Context, t LoginToken) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Later(expiredLoginTokens, t.NowTS)
		_, err := tx.Exec(ctx, insertLoginToken, t.Hash, t.UserID, t.ExpiresTS)
		return err
	})
}

// LoginTokenOwner returns whom a token signs in at the time now, in unix
// milliseconds, or ErrNotFound. StartSession spends it.
func (s *Store) LoginTokenOwner(ctx context.Context, hash []byte, now int64) (string, error) {
	return queryOne(ctx, s, scanString, selectLoginToken, hash, now)
}
