// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// openIDStore keeps tokens that prove who a user is.
type openIDStore interface {
	AddOpenIDToken(ctx context.Context, t store.OpenIDToken, now, atMost int64) error
	OpenIDTokenOwner(ctx context.Context, hash []byte) (store.TokenOwner, error)
}

const (
	// OpenIDTokenLife is how long a token proves who its user is.
	OpenIDTokenLife = time.Hour
	// maxOpenIDTokens is how many a user may have at a time.
	maxOpenIDTokens = 100
	// retryOpenIDToken is when a user who has too many may try again.
	retryOpenIDToken = time.Minute
)

// NewOpenIDToken returns a token by which other services learn who the caller
// is. It is good for nothing else, and ends with the caller's device.
//
// Errors for clients: 429 M_LIMIT_EXCEEDED.
func (s *Service) NewOpenIDToken(ctx context.Context, caller httpapi.Caller) (string, error) {
	token, now := newToken(), s.Now()
	err := s.Store.AddOpenIDToken(ctx, store.OpenIDToken{
		Hash: hashOf(token), UserID: string(caller.UserID), DeviceID: caller.DeviceID,
		ExpiresTS: now.Add(OpenIDTokenLife).UnixMilli(),
	}, now.UnixMilli(), maxOpenIDTokens)
	if errors.Is(err, store.ErrTooMany) {
		return "", matrixerr.LimitExceeded(retryOpenIDToken)
	}
	return token, err
}

// OpenIDUser returns who asked for an OpenID token.
//
// Errors for clients: 401 M_UNKNOWN_TOKEN for a token that is unknown or has
// ended, and while its user is locked.
func (s *Service) OpenIDUser(ctx context.Context, token string) (event.UserID, error) {
	owner, err := s.Store.OpenIDTokenOwner(ctx, hashOf(token))
	user := store.User{Flags: owner.UserFlags}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", matrixerr.UnknownToken(false)
	case err != nil:
		return "", err
	case owner.ExpiresTS <= s.nowTS(), user.Is(store.UserDeactivated), user.Is(store.UserLocked):
		return "", matrixerr.UnknownToken(false)
	}
	return event.UserID(owner.UserID), nil
}
