// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Registration asks for a new account.
type Registration struct {
	// Localpart of the user id; nil: one is made up.
	Localpart *string
	Password  string
	// DeviceID and DeviceName are of the first device.
	DeviceID, DeviceName string
	// NoSession leaves out the device and the access token.
	NoSession bool
	// Auth is the client's auth object, nil in its first request.
	Auth   *Auth
	Caller httpapi.Caller
}

// registerOperation is what a registration's interactive authentication is bound to.
const registerOperation = "register"

// Register creates an account. The returned Session has an access token
// unless r.NoSession.
//
// Errors for clients: M_FORBIDDEN when registration is closed, M_INVALID_USERNAME,
// M_USER_IN_USE, M_WEAK_PASSWORD, 401 with the flows that have to be completed,
// M_LIMIT_EXCEEDED.
func (s *Service) Register(ctx context.Context, r Registration) (*Session, error) {
	if s.Registration != config.RegistrationOpen && s.Registration != config.RegistrationToken {
		return nil, matrixerr.Forbidden("registration is closed on this server")
	}
	localpart := strings.ToLower(newDeviceID())
	if r.Localpart != nil {
		localpart = *r.Localpart
	}
	id, err := s.newUserID(ctx, localpart)
	if err != nil {
		return nil, err
	}
	if err := CheckPassword(r.Password); err != nil && (r.Auth != nil || r.Password != "") {
		return nil, err
	}
	if err := checkDevice(r.DeviceID); err != nil {
		return nil, err
	}
	if err := s.interact(r.Auth, registerOperation, s.registrationStages()); err != nil {
		return nil, err
	}
	if wait := s.Limiter.Take(httpapi.LimitRegistration, addressText(r.Caller.Address)); wait > 0 {
		return nil, matrixerr.LimitExceeded(wait)
	}
	hash, err := s.hasher.hash(ctx, r.Password)
	if err != nil {
		return nil, err
	}
	return s.createUser(ctx, store.User{ID: string(id), Password: hash, CreatedTS: s.nowTS()}, r)
}

// createUser stores the account with the display name that clients expect a
// new user to have: the local part.
func (s *Service) createUser(ctx context.Context, u store.User, r Registration) (*Session, error) {
	id := event.UserID(u.ID)
	name, err := json.Marshal(id.Localpart())
	if err != nil {
		return nil, err
	}
	result := &Session{UserID: id}
	var session *store.Session
	if !r.NoSession {
		started, token := s.newSession(u.ID, r.DeviceID, r.DeviceName, r.Caller)
		session, result.DeviceID, result.AccessToken = &started, started.DeviceID, token
	}
	err = s.Store.CreateUser(ctx, u, []store.ProfileField{{Name: FieldDisplayName, Value: name}}, session)
	if errors.Is(err, store.ErrExists) {
		return nil, userInUse()
	}
	return result, err
}

func userInUse() error {
	return matrixerr.BadRequest(matrixerr.CodeUserInUse, "this user name is taken")
}

// Available returns nil if the local part can be registered, else
// M_INVALID_USERNAME or M_USER_IN_USE.
func (s *Service) Available(ctx context.Context, localpart string) error {
	_, err := s.newUserID(ctx, localpart)
	return err
}

// newUserID checks the local part that a new user wants.
func (s *Service) newUserID(ctx context.Context, localpart string) (event.UserID, error) {
	id, err := event.NewUserID(localpart, s.ServerName)
	if err != nil {
		return "", matrixerr.BadRequest(matrixerr.CodeInvalidUsername,
			"a user name may have only the letters a-z, digits and . _ = - / +, and at most 255 bytes with the server name")
	}
	taken, err := s.Exists(ctx, id)
	if err != nil {
		return "", err
	}
	if taken {
		return "", userInUse()
	}
	return id, nil
}

// registrationStages is what a client has to complete to register.
func (s *Service) registrationStages() map[string]stage {
	if s.Registration == config.RegistrationOpen {
		return map[string]stage{stageDummy: func(*Auth) error { return nil }}
	}
	return map[string]stage{stageToken: func(a *Auth) error {
		for _, t := range s.RegistrationTokens {
			if subtle.ConstantTimeCompare([]byte(t), []byte(a.Token)) == 1 {
				return nil
			}
		}
		return matrixerr.Forbidden("invalid registration token")
	}}
}

// EnsureAdmins creates the configured administrators that do not exist yet.
func (s *Service) EnsureAdmins(ctx context.Context, admins []config.Admin) error {
	for _, a := range admins {
		if err := s.ensureAdmin(ctx, a); err != nil {
			return fmt.Errorf("administrator %s: %w", a.Localpart, err)
		}
	}
	return nil
}

func (s *Service) ensureAdmin(ctx context.Context, a config.Admin) error {
	id, err := event.NewUserID(a.Localpart, s.ServerName)
	if err != nil {
		return err
	}
	if exists, err := s.Exists(ctx, id); err != nil || exists {
		return err
	}
	u := store.User{ID: string(id), Flags: store.UserAdmin, CreatedTS: s.nowTS()}
	if a.PasswordFile != "" {
		text, err := os.ReadFile(a.PasswordFile)
		if err != nil {
			return fmt.Errorf("read password: %w", err)
		}
		password := strings.TrimRight(string(text), "\r\n")
		if err := CheckPassword(password); err != nil {
			return err
		}
		if u.Password, err = s.hasher.hash(ctx, password); err != nil {
			return err
		}
	}
	_, err = s.createUser(ctx, u, Registration{NoSession: true})
	if matrixerr.Is(err, matrixerr.CodeUserInUse) {
		return nil // another replica was faster
	}
	return err
}
