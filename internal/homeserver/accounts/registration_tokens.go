// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/subtle"
	"errors"
	"regexp"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// registrationTokenPattern is the grammar of registration tokens.
// https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration
var registrationTokenPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,64}$`)

const (
	defaultTokenLength = 16
	maxTokenLength     = 64
)

func errBadRegistrationToken() *matrixerr.Error {
	return matrixerr.Forbidden("this registration token is unknown, used up or too old")
}

func (s *Service) checkRegistrationOpen() error {
	if s.Registration != config.RegistrationOpen && s.Registration != config.RegistrationToken {
		return matrixerr.Forbidden("registration is closed on this server")
	}
	return nil
}

// configuredToken reports whether the configuration has this token; such
// tokens have no limits.
func (s *Service) configuredToken(token string) bool {
	known := 0
	for _, t := range s.RegistrationTokens {
		known |= subtle.ConstantTimeCompare([]byte(t), []byte(token))
	}
	return known == 1
}

func (s *Service) checkRegistrationToken(ctx context.Context, token string) error {
	if !registrationTokenPattern.MatchString(token) {
		return errBadRegistrationToken()
	}
	t, err := s.Store.RegistrationToken(ctx, token)
	if errors.Is(err, store.ErrNotFound) || err == nil && !t.Valid(s.nowTS()) {
		return errBadRegistrationToken()
	}
	return err
}

// RegistrationTokenValid reports whether an account could be registered with
// the token now; M_FORBIDDEN when registration is closed.
func (s *Service) RegistrationTokenValid(ctx context.Context, token string) (bool, error) {
	if err := s.checkRegistrationOpen(); err != nil {
		return false, err
	}
	if s.configuredToken(token) {
		return true, nil
	}
	err := s.checkRegistrationToken(ctx, token)
	if matrixerr.Is(err, matrixerr.CodeForbidden) {
		return false, nil
	}
	return err == nil, err
}

// TokenRequest asks for a registration token. Of a nil limit there is none.
type TokenRequest struct {
	Token       string // empty: one is made up
	Length      int    // of one that is made up; 0: 16
	UsesAllowed *int64
	ExpiresTS   *int64 // unix milliseconds
}

// limits checks what the token is limited to.
func (r *TokenRequest) limits(now int64) (store.RegistrationToken, error) {
	t := store.RegistrationToken{Token: r.Token, UsesAllowed: store.AnyNumber}
	if r.UsesAllowed != nil {
		if t.UsesAllowed = *r.UsesAllowed; t.UsesAllowed < 0 {
			return t, matrixerr.InvalidParam("uses_allowed is a number from 0, or null")
		}
	}
	if r.ExpiresTS != nil {
		if t.ExpiresTS = *r.ExpiresTS; t.ExpiresTS <= now {
			return t, matrixerr.InvalidParam("expiry_time lies in the past")
		}
	}
	return t, nil
}

// AddRegistrationToken makes a token.
//
// Errors for clients: M_INVALID_PARAM for limits that cannot be or a token
// that exists.
func (s *Service) AddRegistrationToken(ctx context.Context, r TokenRequest) (store.RegistrationToken, error) {
	t, err := r.limits(s.nowTS())
	if err != nil {
		return t, err
	}
	switch {
	case t.Token != "" && !registrationTokenPattern.MatchString(t.Token):
		return t, matrixerr.InvalidParam("a token has 1 to 64 letters, digits and . _ ~ -")
	case r.Length < 0 || r.Length > maxTokenLength:
		return t, matrixerr.InvalidParam("length is a number from 1 to 64")
	case t.Token == "":
		length := r.Length
		if length == 0 {
			length = defaultTokenLength
		}
		t.Token = randomText(length)[:length]
	}
	err = s.Store.AddRegistrationToken(ctx, t)
	if errors.Is(err, store.ErrExists) {
		err = matrixerr.InvalidParam("there is such a token")
	}
	return t, err
}

// RegistrationToken returns a token, or M_NOT_FOUND.
func (s *Service) RegistrationToken(ctx context.Context, token string) (store.RegistrationToken, error) {
	t, err := s.Store.RegistrationToken(ctx, token)
	return t, noSuchToken(err)
}

func noSuchToken(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return matrixerr.NotFound("no such registration token")
	}
	return err
}

// RegistrationTokenList returns all tokens, or only those that can be used
// now, or only those that cannot.
func (s *Service) RegistrationTokenList(ctx context.Context, valid *bool) ([]store.RegistrationToken, error) {
	all, err := s.Store.RegistrationTokens(ctx)
	if err != nil || valid == nil {
		return all, err
	}
	now, some := s.nowTS(), []store.RegistrationToken{}
	for _, t := range all {
		if t.Valid(now) == *valid {
			some = append(some, t)
		}
	}
	return some, nil
}

// SetRegistrationToken changes the limits of a token: its uses, its end, or
// both; a limit that is to be set and nil is lifted.
//
// Errors for clients: M_NOT_FOUND, M_INVALID_PARAM.
func (s *Service) SetRegistrationToken(ctx context.Context, r TokenRequest, setUses, setExpiry bool) (store.RegistrationToken, error) {
	have, err := s.RegistrationToken(ctx, r.Token)
	if err != nil {
		return have, err
	}
	want, err := r.limits(s.nowTS())
	if err != nil {
		return have, err
	}
	if setUses {
		have.UsesAllowed = want.UsesAllowed
	}
	if setExpiry {
		have.ExpiresTS = want.ExpiresTS
	}
	return have, noSuchToken(s.Store.SetRegistrationToken(ctx, have))
}

// DeleteRegistrationToken forgets a token, or returns M_NOT_FOUND.
func (s *Service) DeleteRegistrationToken(ctx context.Context, token string) error {
	return noSuchToken(s.Store.DeleteRegistrationToken(ctx, token))
}
