// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what the tools that call it send
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Registration by shared secret, as tools for Synapse do it: whoever knows
// the secret proves it with an HMAC over what they want and a nonce of ours.

const (
	nonceLife = time.Minute
	// nonceKept is how long after its end a nonce is remembered, because the
	// clocks of replicas differ.
	nonceKept    = time.Hour
	noncePurpose = "registration by shared secret"
	maxNameBytes = 512
)

// SecretRegistration asks for an account by shared secret.
type SecretRegistration struct {
	Nonce, Username, Password string
	// DisplayName is Username if nil.
	DisplayName *string
	UserType    *string
	Admin       bool
	// MAC is the hexadecimal HMAC-SHA1 of the above.
	MAC       string
	NoSession bool
	Device    NewDevice
}

// Nonce returns a nonce that can be used once within a minute.
func (s *Service) Nonce() string { return s.newNote(noncePurpose, nonceLife) }

// RegisterBySecret creates an account, whatever the registration mode.
//
// Errors for clients: M_FORBIDDEN for a wrong MAC; M_UNKNOWN for a nonce that
// is not ours, used or too old and for what cannot be part of a MAC;
// M_INVALID_USERNAME, M_USER_IN_USE, M_WEAK_PASSWORD; M_INVALID_PARAM for a
// display name that is too long.
func (s *Service) RegisterBySecret(ctx context.Context, r SecretRegistration) (*Session, error) {
	ends, ok := s.readNote(r.Nonce, noncePurpose)
	if !ok {
		return nil, errNonce()
	}
	if err := r.check(s.SharedSecret); err != nil {
		return nil, err
	}
	id, err := s.newUserID(ctx, strings.ToLower(r.Username))
	if err != nil {
		return nil, err
	}
	if err := CheckPassword(r.Password); err != nil {
		return nil, err
	}
	n := newAccount{
		user: store.User{ID: string(id), CreatedTS: s.nowTS()}, displayName: r.Username,
		conditions: []store.Condition{store.SpendNonce([]byte(r.Nonce), s.nowTS(), ends.Add(nonceKept).UnixMilli())},
	}
	if r.DisplayName != nil {
		if n.displayName = *r.DisplayName; len(n.displayName) > maxProfileText {
			return nil, matrixerr.InvalidParam("displayname has more than 1000 bytes")
		}
	}
	if r.Admin {
		n.user.Flags = store.UserAdmin
	}
	if n.user.Password, err = s.hasher.hash(ctx, r.Password); err != nil {
		return nil, err
	}
	if !r.NoSession {
		n.device = &r.Device
	}
	session, err := s.createUser(ctx, n)
	if errors.Is(err, store.ErrSpent) {
		return nil, errNonce()
	}
	return session, err
}

func errNonce() error {
	return matrixerr.BadRequest(matrixerr.CodeUnknown, "this nonce is unknown, used or too old")
}

func (r *SecretRegistration) check(secret []byte) error {
	for _, part := range []string{r.Username, r.Password} {
		if part == "" || len(part) > maxNameBytes || strings.Contains(part, "\x00") {
			return matrixerr.BadRequest(matrixerr.CodeUnknown, "username and password have 1 to 512 bytes, none of them zero")
		}
	}
	if r.UserType != nil && *r.UserType != "" {
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "this server has no types of users")
	}
	role := "notadmin"
	if r.Admin {
		role = "admin"
	}
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(strings.Join([]string{r.Nonce, r.Username, r.Password, role}, "\x00")))
	if got, err := hex.DecodeString(r.MAC); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return matrixerr.Forbidden("the HMAC is wrong")
	}
	return nil
}
