// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
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
	// Device is the first device.
	Device NewDevice
	// NoSession leaves out the device and its tokens.
	NoSession bool
	// Auth is the client's auth object, nil in its first request.
	Auth *Auth
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
	if err := s.checkRegistrationOpen(); err != nil {
		return nil, err
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
	if err := checkDevice(r.Device.ID); err != nil {
		return nil, err
	}
	n := newAccount{user: store.User{ID: string(id), CreatedTS: s.nowTS()}, displayName: id.Localpart()}
	stages := s.registrationStages(ctx, &n)
	if err := s.interact(r.Auth, registerOperation, stages); err != nil {
		return nil, err
	}
	if wait := s.Limiter.Take(httpapi.LimitRegistration, httpapi.AddressKey(r.Device.Caller.Address)); wait > 0 {
		return nil, matrixerr.LimitExceeded(wait)
	}
	if n.user.Password, err = s.hasher.hash(ctx, r.Password); err != nil {
		return nil, err
	}
	if !r.NoSession {
		n.device = &r.Device
	}
	session, err := s.createUser(ctx, n)
	if errors.Is(err, store.ErrSpent) {
		return nil, s.challenge(s.newInteraction(registerOperation), stages, errBadRegistrationToken())
	}
	return session, err
}

// newAccount is an account that is about to be created.
type newAccount struct {
	user        store.User
	displayName string
	device      *NewDevice // nil: no session
	conditions  []store.Condition
}

// createUser stores the account, with a display name, which clients expect a
// new user to have. It returns store.ErrSpent if a condition fails.
func (s *Service) createUser(ctx context.Context, n newAccount) (*Session, error) {
	name, err := json.Marshal(n.displayName)
	if err != nil {
		return nil, err
	}
	result := &Session{UserID: event.UserID(n.user.ID)}
	u := store.NewUser{User: n.user, Profile: []store.ProfileField{{Name: FieldDisplayName, Value: name}}, Conditions: n.conditions}
	if n.device != nil {
		var started store.Session
		started, result = s.newSession(n.user.ID, *n.device)
		u.Session = &started
	}
	err = s.Store.CreateUser(ctx, u)
	if errors.Is(err, store.ErrExists) {
		return nil, userInUse()
	}
	return result, err
}

func userInUse() error {
	return matrixerr.BadRequest(matrixerr.CodeUserInUse, "this user name is taken")
}

// Available returns nil if the local part can be registered, else
// M_INVALID_USERNAME or M_USER_IN_USE; M_FORBIDDEN when registration is
// closed, as nobody needs to know then who has an account.
func (s *Service) Available(ctx context.Context, localpart string) error {
	if err := s.checkRegistrationOpen(); err != nil {
		return err
	}
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

// registrationStages is what a client has to complete to register. A token
// that counts its uses is used up with the account n, not before.
func (s *Service) registrationStages(ctx context.Context, n *newAccount) map[string]stage {
	if s.Registration == config.RegistrationOpen {
		return map[string]stage{stageDummy: func(*Auth) error { return nil }}
	}
	return map[string]stage{stageToken: func(a *Auth) error {
		if s.configuredToken(a.Token) {
			return nil
		}
		if err := s.checkRegistrationToken(ctx, a.Token); err != nil {
			return err
		}
		n.conditions = []store.Condition{store.SpendRegistrationToken(a.Token, s.nowTS())}
		return nil
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
	_, err = s.createUser(ctx, newAccount{user: u, displayName: a.Localpart})
	if matrixerr.Is(err, matrixerr.CodeUserInUse) {
		return nil // another replica was faster
	}
	return err
}
