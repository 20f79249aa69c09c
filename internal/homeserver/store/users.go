// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// The bits of User.Flags. Values are stored: never renumber.
const (
	UserAdmin       = 1
	UserDeactivated = 2
	UserLocked      = 4
	UserSuspended   = 8
	UserErased      = 16 // wanted what they sent to be erased when they left
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
	setFlags   = `UPDATE users SET flags = (flags & $1) | $2 WHERE user_id = $3 AND (flags & $4) = 0`
	selectUser = `SELECT user_id, password, flags, created_ts FROM users WHERE user_id = $1`
)

// NewUser is an account to be created.
type NewUser struct {
	User
	Profile []ProfileField
	// Session, unless nil, is its first device.
	Session *Session
	// Conditions have to be met in the same transaction.
	Conditions []Condition
}

// CreateUser creates an account. Of several at once for one id exactly one
// succeeds. Returns ErrExists if there is an account of that id, or the error
// of a condition that fails.
func (s *Store) CreateUser(ctx context.Context, n NewUser) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		for _, condition := range n.Conditions {
			if err := condition(ctx, tx); err != nil {
				return err
			}
		}
		if err := tx.changeOne(ctx, ErrExists, insertUser, n.ID, []byte(n.Password), n.Flags, n.CreatedTS); err != nil {
			return err
		}
		name := ""
		for _, f := range n.Profile {
			tx.Insert(insertProfileField, n.ID, []byte(f.Name), f.Value)
			if f.Name == fieldDisplayName {
				name = profileText(f.Value)
			}
		}
		if err := tx.indexUser(ctx, n.ID, name); err != nil {
			return err
		}
		tx.Change(Change{Kind: ChangeSession, UserID: n.ID})
		if n.Session == nil {
			return nil
		}
		return tx.startSession(ctx, *n.Session)
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

// FlagChange changes the flags of an account that has none of Unless.
type FlagChange struct{ Set, Clear, Unless int64 }

// SetUserFlags changes flags, or returns ErrNotFound.
func (s *Store) SetUserFlags(ctx context.Context, user string, c FlagChange) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Change(Change{Kind: ChangeSession, UserID: user})
		return tx.changeOne(ctx, ErrNotFound, setFlags, ^c.Clear, c.Set, user, c.Unless)
	})
}
