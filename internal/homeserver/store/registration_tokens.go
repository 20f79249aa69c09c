// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// AnyNumber of uses is allowed.
const AnyNumber = -1

// RegistrationToken lets those who know it register.
type RegistrationToken struct {
	Token string
	// UsesAllowed is how many accounts it makes, or AnyNumber.
	UsesAllowed int64
	// Completed is how many it made.
	Completed int64
	ExpiresTS int64 // unix milliseconds; 0: never
}

// Valid reports whether the token makes an account at the time now, in unix
// milliseconds.
func (t RegistrationToken) Valid(now int64) bool {
	return (t.UsesAllowed == AnyNumber || t.Completed < t.UsesAllowed) && (t.ExpiresTS == 0 || t.ExpiresTS > now)
}

const (
	registrationColumns       = `SELECT token, uses_allowed, completed, expires_ts FROM registration_tokens `
	selectRegistrationToken   = registrationColumns + `WHERE token = $1`
	selectRegistrationTokens  = registrationColumns + `ORDER BY token`
	insertRegistrationToken   = `INSERT INTO registration_tokens (token, uses_allowed, completed, expires_ts) VALUES ($1, $2, 0, $3) ON CONFLICT (token) DO NOTHING`
	updateRegistrationToken   = `UPDATE registration_tokens SET uses_allowed = $1, expires_ts = $2 WHERE token = $3`
	deleteRegistrationToken   = `DELETE FROM registration_tokens WHERE token = $1`
	countRegistrationTokenUse = `UPDATE registration_tokens SET completed = completed + 1
	WHERE token = $1 AND (uses_allowed < 0 OR completed < uses_allowed) AND (expires_ts = 0 OR expires_ts > $2)`

	forgetNonces = `DELETE FROM used_nonces WHERE expires_ts <= $1`
	insertNonce  = `INSERT INTO used_nonces (nonce, expires_ts) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING`
)

func scanRegistrationToken(row scanner) (RegistrationToken, error) {
	var t RegistrationToken
	err := row.Scan(&t.Token, &t.UsesAllowed, &t.Completed, &t.ExpiresTS)
	return t, err
}

// RegistrationToken returns a token, or ErrNotFound.
func (s *Store) RegistrationToken(ctx context.Context, token string) (RegistrationToken, error) {
	return queryOne(ctx, s, scanRegistrationToken, selectRegistrationToken, token)
}

// RegistrationTokens returns all tokens.
func (s *Store) RegistrationTokens(ctx context.Context) ([]RegistrationToken, error) {
	return queryAll(ctx, s, scanRegistrationToken, selectRegistrationTokens)
}

// AddRegistrationToken keeps a token that nobody has used, or returns ErrExists.
func (s *Store) AddRegistrationToken(ctx context.Context, t RegistrationToken) error {
	return s.changeOne(ctx, ErrExists, insertRegistrationToken, t.Token, t.UsesAllowed, t.ExpiresTS)
}

// SetRegistrationToken changes the limits of a token, or returns ErrNotFound.
func (s *Store) SetRegistrationToken(ctx context.Context, t RegistrationToken) error {
	return s.changeOne(ctx, ErrNotFound, updateRegistrationToken, t.UsesAllowed, t.ExpiresTS, t.Token)
}

// DeleteRegistrationToken forgets a token, or returns ErrNotFound.
func (s *Store) DeleteRegistrationToken(ctx context.Context, token string) error {
	return s.changeOne(ctx, ErrNotFound, deleteRegistrationToken, token)
}

// changeOne runs a statement and returns failure if it changes no row.
func (s *Store) changeOne(ctx context.Context, failure error, statement string, args ...any) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.changeOne(ctx, failure, statement, args...) })
}

func (tx *Tx) changeOne(ctx context.Context, failure error, statement string, args ...any) error {
	n, err := tx.Exec(ctx, statement, args...)
	if err == nil && n == 0 {
		return failure
	}
	return err
}

// A Condition is part of the transaction that creates an account; if it
// fails, there is no account.
type Condition func(context.Context, *Tx) error

// SpendRegistrationToken uses a registration token up, or returns ErrSpent if
// it cannot be used at the time now, in unix milliseconds.
func SpendRegistrationToken(token string, now int64) Condition {
	return func(ctx context.Context, tx *Tx) error {
		return tx.changeOne(ctx, ErrSpent, countRegistrationTokenUse, token, now)
	}
}

// SpendNonce returns ErrSpent if the nonce was used before. It is remembered
// until expires, in unix milliseconds.
func SpendNonce(nonce []byte, now, expires int64) Condition {
	return func(ctx context.Context, tx *Tx) error {
		tx.Later(forgetNonces, now)
		return tx.changeOne(ctx, ErrSpent, insertNonce, nonce, expires)
	}
}
