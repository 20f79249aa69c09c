// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// LoginTokenLife is how long a login token can be used, as the specification
// recommends.
const LoginTokenLife = 2 * time.Minute

// NewLoginToken returns a token with which another client signs in as user,
// once. The caller has confirmed who they are.
func (s *Service) NewLoginToken(ctx context.Context, user event.UserID) (string, error) {
	token, now := newToken(), s.Now()
	return token, s.Store.AddLoginToken(ctx, store.LoginToken{
		Hash: hashOf(token), UserID: string(user),
		NowTS: now.UnixMilli(), ExpiresTS: now.Add(LoginTokenLife).UnixMilli(),
	})
}

func errBadLoginToken() error {
	return matrixerr.Forbidden("this login token is unknown, used or too old")
}

// loginTokenUser returns whom the token signs in.
func (s *Service) loginTokenUser(ctx context.Context, token string) (store.User, error) {
	id, err := s.Store.LoginTokenOwner(ctx, hashOf(token), s.nowTS())
	if errors.Is(err, store.ErrNotFound) {
		return store.User{}, errBadLoginToken()
	}
	if err != nil {
		return store.User{}, err
	}
	u, err := s.Store.User(ctx, id)
	if err == nil && u.Is(store.UserDeactivated) {
		err = matrixerr.New(http.StatusForbidden, matrixerr.CodeUserDeactivated, "this account is deactivated")
	}
	return u, err
}
