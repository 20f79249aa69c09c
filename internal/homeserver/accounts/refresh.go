// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// accessTokenLife is how long an access token lasts that can be refreshed:
// what a token that leaks is worth, against two writes each time.
const accessTokenLife = 30 * time.Minute

// hashOf is what the store keeps of a token.
func hashOf(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Refresh exchanges a refresh token for new tokens. It can be repeated until
// one of the new ones is used; whoever shows it after that ends the session,
// because one of the two who know it is not the user.
// https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
//
// Errors for clients: M_UNKNOWN_TOKEN with soft_logout, M_USER_LOCKED.
func (s *Service) Refresh(ctx context.Context, token string) (*Session, error) {
	old := hashOf(token)
	owner, err := s.Store.RefreshOwner(ctx, old)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.UnknownToken(true)
	}
	if err != nil {
		return nil, err
	}
	flags := store.User{Flags: owner.UserFlags}
	switch {
	case flags.Is(store.UserDeactivated):
		return nil, matrixerr.UnknownToken(false)
	case flags.Is(store.UserLocked):
		return nil, matrixerr.UserLocked()
	}
	now := s.Now()
	fresh := &Session{
		UserID: event.UserID(owner.UserID), DeviceID: owner.DeviceID,
		AccessToken: newToken(), RefreshToken: newToken(), Expires: accessTokenLife,
	}
	err = s.Store.Renew(ctx, store.Renewal{
		Old: old, Access: hashOf(fresh.AccessToken), Refresh: hashOf(fresh.RefreshToken),
		NowTS: now.UnixMilli(), ExpiresTS: now.Add(accessTokenLife).UnixMilli(),
	})
	switch {
	case errors.Is(err, store.ErrSpent):
		s.Log.WarnContext(ctx, "a refresh token was used again; its session is over", "user", owner.UserID, "device", owner.DeviceID)
		return nil, matrixerr.UnknownToken(true)
	case errors.Is(err, store.ErrNotFound):
		return nil, matrixerr.UnknownToken(true)
	case err != nil:
		return nil, err
	}
	return fresh, nil
}

// firstUse ends the tokens before a refreshed one. A database that cannot be
// written to does not keep anybody from reading.
func (s *Service) firstUse(ctx context.Context, h tokenHash, owner store.TokenOwner) error {
	err := s.Store.UseToken(ctx, h[:], owner)
	if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnavailable) {
		s.Log.WarnContext(ctx, "cannot end the tokens before a refreshed one", "user", owner.UserID, "error", err)
		return nil
	}
	return err
}
