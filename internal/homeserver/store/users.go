// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// The bits of User.Flags. Values are stored: never renumber.
const (
	UserAdmin       = 1
	UserDeactivated = 2
	UserLocked      = 4
	UserSuspended   = 8
)

// User is a local account.
type User struct {
	ID string
	// Password is an encoded hash; empty: no password signs in.
	Password  string
	Flags     int64
	CreatedTS int64 // unix milliseconds
}

// Is reports whether all bits of flag are set.
func (u User) Is(flag int64) bool { return u.Flags&flag == flag }

const (
	insertUser = `INSERT INTO users (user_id, password, flags, created_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_id) DO NOTHING`
	selectUser = `SELECT user_id, password, flags, created_ts FROM users WHERE user_id = $1`
)

// CreateUser creates an account and, unless session is nil, its first device
// and access token. Of several at once for one id exactly one succeeds.
// Returns ErrExists if there is an account of that id.
func (s *Store) CreateUser(ctx context.Context, u User, profile []ProfileField, session *Session) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, insertUser, u.ID, []byte(u.Password), u.Flags, u.CreatedTS)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrExists
		}
		for _, f := range profile {
			tx.Insert(insertProfileField, u.ID, []byte(f.Name), f.Value)
		}
		tx.Change(Change{Kind: ChangeSession, UserID: u.ID})
		if session == nil {
			return nil
		}
		return tx.startSession(ctx, *session)
	})
}

func scanUser(row scanner) (User, error) {
	var u User
	var password []byte
	err := row.Scan(&u.ID, &password, &u.Flags, &u.CreatedTS)
	u.Password = string(password)
	return u, err
}

// User returns the account of id, or ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return queryOne(ctx, s, scanUser, selectUser, id)
}
