// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Session is a device together with the access token that acts for it.
type Session struct {
	Device
	// TokenHash is the SHA-256 of the access token.
	TokenHash []byte
	// ExpiresTS is when the token ends, unix milliseconds; 0: never.
	ExpiresTS int64
}

const (
	insertToken = `INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts, expires_ts)
		VALUES ($1, $2, $3, $4, $5)`
	deleteTokens = `DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2`
	selectToken  = `SELECT t.user_id, t.device_id, t.expires_ts, u.flags FROM access_tokens t
		JOIN users u ON u.user_id = t.user_id WHERE t.token_hash = $1`
)

// StartSession creates the device, unless it exists, and makes the given
// token its only one.
func (s *Store) StartSession(ctx context.Context, session Session) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Change(Change{Kind: ChangeSession, UserID: session.UserID})
		return tx.startSession(ctx, session)
	})
}

func (tx *Tx) startSession(ctx context.Context, n Session) error {
	id := []byte(n.DeviceID)
	if _, err := tx.Exec(ctx, deleteTokens, n.UserID, id); err != nil {
		return err
	}
	created, err := tx.Exec(ctx, insertDevice, n.UserID, id, []byte(n.DisplayName), n.CreatedTS, n.LastSeenTS, n.LastSeenIP)
	if err != nil {
		return err
	}
	if created > 0 {
		// What another replica sent while an earlier device of this id was being deleted.
		if _, err := tx.Exec(ctx, dropToDevice, n.UserID, id); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, insertToken, n.TokenHash, n.UserID, id, n.CreatedTS, n.ExpiresTS)
	return err
}

// TokenOwner is whom an access token belongs to.
type TokenOwner struct {
	UserID, DeviceID string
	ExpiresTS        int64 // unix milliseconds; 0: never
	UserFlags        int64
}

func scanTokenOwner(row scanner) (TokenOwner, error) {
	var o TokenOwner
	var device []byte
	err := row.Scan(&o.UserID, &device, &o.ExpiresTS, &o.UserFlags)
	o.DeviceID = string(device)
	return o, err
}

// TokenOwner returns whom the token with this SHA-256 belongs to, or ErrNotFound.
func (s *Store) TokenOwner(ctx context.Context, hash []byte) (TokenOwner, error) {
	return queryOne(ctx, s, scanTokenOwner, selectToken, hash)
}
