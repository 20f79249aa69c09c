// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	insertRefresh = `INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation, spent) VALUES ($1, $2, $3, $4, 0)`
	selectRefresh = `SELECT t.user_id, t.device_id, 0, t.generation, t.spent, u.flags FROM refresh_tokens t
		JOIN users u ON u.user_id = t.user_id WHERE t.token_hash = $1`
	// lockRefresh makes whoever else shows the same token wait.
	lockRefresh = `UPDATE refresh_tokens SET spent = spent WHERE token_hash = $1 RETURNING user_id, device_id, 0, generation, spent, 0`
	lastRefresh = `SELECT MAX(generation) FROM refresh_tokens WHERE user_id = $1 AND device_id = $2`
	// spendOthers also spends what earlier renewals with the same token gave out.
	spendOthers  = `UPDATE refresh_tokens SET spent = 1 WHERE user_id = $1 AND device_id = $2 AND generation <> $3 AND spent = 0`
	deleteOthers = `DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2 AND generation <> $3`
	spendBefore  = `UPDATE refresh_tokens SET spent = 1 WHERE user_id = $1 AND device_id = $2 AND generation < $3 AND spent = 0`
	deleteBefore = `DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2 AND generation < $3`
	forgetSpent  = `DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND generation < $3 AND spent = 1`
	markUsed     = `UPDATE access_tokens SET unused = 0 WHERE token_hash = $1`
)

// spentKept is how many spent refresh tokens of a device are remembered.
const spentKept = 100

// RefreshOwner returns whom the refresh token with this SHA-256 belongs to,
// or ErrNotFound. Unused of a token that is spent is set.
func (s *Store) RefreshOwner(ctx context.Context, hash []byte) (TokenOwner, error) {
	return queryOne(ctx, s, scanTokenOwner, selectRefresh, hash)
}

// Renewal replaces the tokens of a device.
type Renewal struct {
	// Old is the SHA-256 of the refresh token that is shown.
	Old []byte
	// Access and Refresh are the SHA-256 of the new tokens.
	Access, Refresh  []byte
	NowTS, ExpiresTS int64 // unix milliseconds
}

// Renew gives a device new tokens. The old ones count until a new one is
// used, so that a lost answer costs nothing; see UseToken.
//
// Errors: ErrNotFound for a refresh token that has never been; ErrSpent for
// one whose successor is in use, after which no token of the device is left.
func (s *Store) Renew(ctx context.Context, r Renewal) error {
	var stolen bool
	err := s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		o, err := queryOne(ctx, tx, scanTokenOwner, lockRefresh, r.Old)
		if err != nil {
			return err
		}
		id := []byte(o.DeviceID)
		tx.Change(Change{Kind: ChangeSession, UserID: o.UserID})
		if stolen = o.Unused; stolen {
			return tx.deleteTokens(ctx, o.UserID, id)
		}
		return tx.renew(ctx, r, o)
	})
	if err == nil && stolen {
		return ErrSpent
	}
	return err
}

func (tx *Tx) renew(ctx context.Context, r Renewal, o TokenOwner) error {
	id := []byte(o.DeviceID)
	last, err := queryOne(ctx, tx, scanInt64, lastRefresh, o.UserID, id)
	if err != nil {
		return err
	}
	for _, statement := range []string{spendOthers, deleteOthers} {
		if _, err := tx.Exec(ctx, statement, o.UserID, id, o.Generation); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, insertRefresh, r.Refresh, o.UserID, id, last+1); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertToken, r.Access, o.UserID, id, r.NowTS, r.ExpiresTS, last+1, int64(1)); err != nil {
		return err
	}
	tx.Later(forgetSpent, o.UserID, id, last-spentKept)
	return nil
}

// UseToken notes that an access token that came with a renewal is in use:
// the tokens that its device had before end.
func (s *Store) UseToken(ctx context.Context, hash []byte, o TokenOwner) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		id := []byte(o.DeviceID)
		tx.Later(spendBefore, o.UserID, id, o.Generation)
		tx.Later(deleteBefore, o.UserID, id, o.Generation)
		tx.Later(markUsed, hash)
		tx.Change(Change{Kind: ChangeSession, UserID: o.UserID})
		return nil
	})
}
