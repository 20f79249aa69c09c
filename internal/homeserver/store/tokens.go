// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Session is a device together with the tokens that act for it.
type Session struct {
	Device
	// TokenHash is the SHA-256 of the access token.
	TokenHash []byte
	// ExpiresTS is when the access token ends, unix milliseconds; 0: never.
	ExpiresTS int64
	// RefreshHash is the SHA-256 of the refresh token; empty: there is none.
	RefreshHash []byte
	// LoginToken is the SHA-256 of the token that this sign-in spends; empty: none.
	LoginToken []byte
	// Password is the hash that the account had when the sign-in was checked.
	Password string
	// Evict are devices that make room for this one.
	Evict []string
}

const (
	insertToken = `INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts, expires_ts, generation, unused)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	// lockAccount makes a deactivation or a new password wait, or finds that it has been.
	lockAccount         = `UPDATE users SET flags = flags WHERE user_id = $1 AND password = $2 AND (flags & $3) = 0`
	deleteTokens        = `DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2`
	deleteRefreshTokens = `DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = $2`
	selectToken         = `SELECT t.user_id, t.device_id, t.expires_ts, t.generation, t.unused, u.flags FROM access_tokens t
		JOIN users u ON u.user_id = t.user_id WHERE t.token_hash = $1`
)

// StartSession creates the device, unless it exists, and makes the given
// tokens its only ones. It returns ErrSpent if the login token is used up, and
// ErrNotFound if the account is deactivated or got another password since the
// sign-in was checked: what ends all sessions must not miss one that begins.
func (s *Store) StartSession(ctx context.Context, session Session) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		err := tx.changeOne(ctx, ErrNotFound, lockAccount, session.UserID, []byte(session.Password), int64(UserDeactivated))
		if err != nil {
			return err
		}
		if len(session.LoginToken) > 0 {
			if err := tx.changeOne(ctx, ErrSpent, deleteLoginToken, session.LoginToken, session.UserID); err != nil {
				return err
			}
		}
		if len(session.Evict) > 0 {
			if err := tx.deleteDevices(ctx, session.UserID, session.Evict); err != nil {
				return err
			}
		}
		tx.Change(Change{Kind: ChangeSession, UserID: session.UserID})
		return tx.startSession(ctx, session)
	})
}

func (tx *Tx) startSession(ctx context.Context, n Session) error {
	id := []byte(n.DeviceID)
	if err := tx.deleteTokens(ctx, n.UserID, id); err != nil {
		return err
	}
	created, err := tx.Exec(ctx, insertDevice, n.UserID, id, []byte(n.DisplayName), n.CreatedTS, n.LastSeenTS, n.LastSeenIP, []byte(n.UserAgent))
	if err != nil {
		return err
	}
	if created > 0 {
		// What another replica sent while an earlier device of this id was being deleted.
		if _, err := tx.Exec(ctx, dropToDevice, n.UserID, id); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, insertToken, n.TokenHash, n.UserID, id, n.CreatedTS, n.ExpiresTS, int64(1), int64(0)); err != nil {
		return err
	}
	if len(n.RefreshHash) == 0 {
		return nil
	}
	_, err = tx.Exec(ctx, insertRefresh, n.RefreshHash, n.UserID, id, int64(1))
	return err
}

// deleteTokens ends whatever acts for a device.
func (tx *Tx) deleteTokens(ctx context.Context, user string, device []byte) error {
	if _, err := tx.Exec(ctx, deleteTokens, user, device); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, deleteRefreshTokens, user, device)
	return err
}

// TokenOwner is whom a token belongs to.
type TokenOwner struct {
	UserID, DeviceID string
	ExpiresTS        int64 // unix milliseconds; 0: never
	UserFlags        int64
	// Generation counts how often the device's tokens were renewed.
	Generation int64
	// Unused: the token came with a renewal and has not been used yet; see UseToken.
	Unused bool
}

func scanTokenOwner(row scanner) (TokenOwner, error) {
	var o TokenOwner
	var device []byte
	var unused int64
	err := row.Scan(&o.UserID, &device, &o.ExpiresTS, &o.Generation, &unused, &o.UserFlags)
	o.DeviceID, o.Unused = string(device), unused == 1
	return o, err
}

// TokenOwner returns whom the access token with this SHA-256 belongs to, or ErrNotFound.
func (s *Store) TokenOwner(ctx context.Context, hash []byte) (TokenOwner, error) {
	return queryOne(ctx, s, scanTokenOwner, selectToken, hash)
}
