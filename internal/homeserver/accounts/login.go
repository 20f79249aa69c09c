// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Login is a sign-in.
type Login struct {
	// User is a user id or a local part.
	User, Password string
	// Token, if not empty, is a login token in place of User and Password.
	Token  string
	Device NewDevice
}

// NewDevice is the device that a sign-in is for.
type NewDevice struct {
	// ID of an existing device: it is used again; empty: a new one.
	ID, Name string
	// Refresh makes the access token one that ends and can be refreshed.
	Refresh bool
	// Caller tells where the request comes from.
	Caller httpapi.Caller
}

// Session is a signed-in device.
type Session struct {
	UserID      event.UserID
	DeviceID    string
	AccessToken string
	// RefreshToken is empty when the access token does not end.
	RefreshToken string
	// Expires is how long the access token lasts; 0: for ever.
	Expires time.Duration
}

const (
	// maxDevices bounds the devices of one account: each costs every member
	// of its encrypted rooms a key. A sign-in beyond it replaces the device
	// that was not used for longest, so that nobody is ever shut out.
	maxDevices    = 1000
	maxDeviceID   = 255
	maxDeviceName = 100
)

// Login checks the password or the token and starts a session.
//
// Errors for clients: M_FORBIDDEN, the same for a wrong password and a user
// that does not exist; M_USER_DEACTIVATED; M_USER_LOCKED; M_LIMIT_EXCEEDED
// when the account is guessed at too often, from wherever; M_INVALID_PARAM
// for a bad device id; M_FORBIDDEN for one that is the name of a
// cross-signing key, because a signature by the device could pass for one by
// the key.
func (s *Service) Login(ctx context.Context, l Login) (*Session, error) {
	if err := checkDevice(l.Device.ID); err != nil {
		return nil, err
	}
	u, err := s.identify(ctx, l)
	if err != nil {
		return nil, err
	}
	if u.Is(store.UserLocked) {
		return nil, matrixerr.UserLocked()
	}
	taken, err := s.Store.IsCrossSigningKey(ctx, u.ID, l.Device.ID)
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, matrixerr.Forbidden("this device id is the name of a cross-signing key")
	}
	session, started := s.newSession(u.ID, l.Device)
	session.Password = u.Password
	if l.Token != "" {
		session.LoginToken = hashOf(l.Token)
	}
	if session.Evict, err = s.Store.DevicesBeyond(ctx, u.ID, session.DeviceID, maxDevices-1); err != nil {
		return nil, err
	}
	err = s.Store.StartSession(ctx, session)
	switch {
	case errors.Is(err, store.ErrSpent): // somebody else used it meanwhile
		return nil, errBadLoginToken()
	case errors.Is(err, store.ErrNotFound): // a new password, or deactivated, meanwhile
		return nil, errForbidden()
	case err != nil:
		return nil, err
	}
	return started, nil
}

// identify finds out whom the sign-in is for.
func (s *Service) identify(ctx context.Context, l Login) (store.User, error) {
	if l.Token != "" {
		return s.loginTokenUser(ctx, l.Token)
	}
	return s.checkPassword(ctx, s.userOf(l.User), l.Password)
}

// userOf completes a local part to a user id, as sign-in forms take both.
// Local parts are lower case; people are not.
func (s *Service) userOf(user string) event.UserID {
	if !strings.HasPrefix(user, "@") {
		user = "@" + strings.ToLower(user) + ":" + string(s.ServerName)
	}
	id, err := event.ParseUserID(user)
	if err != nil || id.Server() != s.ServerName {
		return ""
	}
	return id
}

// checkPassword returns the account if the password is right. It takes the
// same time whether the account exists or not. Guesses count against the
// account that is guessed at, from whatever address and on whatever route.
func (s *Service) checkPassword(ctx context.Context, id event.UserID, password string) (store.User, error) {
	var u store.User
	var err error
	if id != "" {
		if wait := s.Limiter.Take(httpapi.LimitLogin, string(id)); wait > 0 {
			return u, matrixerr.LimitExceeded(wait)
		}
		u, err = s.Store.User(ctx, string(id))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return u, err
		}
	}
	ok, err := s.hasher.matches(ctx, u.Password, password)
	switch {
	case err != nil:
		return u, err
	case u.Is(store.UserDeactivated):
		return u, matrixerr.New(http.StatusForbidden, matrixerr.CodeUserDeactivated, "this account is deactivated")
	case !ok:
		return u, errForbidden()
	}
	return u, nil
}

func checkDevice(id string) error {
	if len(id) > maxDeviceID {
		return matrixerr.InvalidParam("device_id is longer than 255 bytes")
	}
	return nil
}

// newSession makes a device and its tokens; the store keeps only their hashes.
func (s *Service) newSession(user string, d NewDevice) (store.Session, *Session) {
	if d.ID == "" {
		d.ID = newDeviceID()
	}
	if len(d.Name) > maxDeviceName {
		d.Name = strings.ToValidUTF8(d.Name[:maxDeviceName], "")
	}
	started := &Session{UserID: event.UserID(user), DeviceID: d.ID, AccessToken: newToken()}
	now := s.nowTS()
	session := store.Session{
		Device: store.Device{
			UserID: user, DeviceID: d.ID, DisplayName: d.Name,
			CreatedTS: now, LastSeenTS: now, LastSeenIP: addressText(d.Caller.Address), UserAgent: d.Caller.UserAgent,
		},
		TokenHash: hashOf(started.AccessToken),
	}
	if d.Refresh {
		started.RefreshToken, started.Expires = newToken(), accessTokenLife
		session.RefreshHash = hashOf(started.RefreshToken)
		session.ExpiresTS = now + accessTokenLife.Milliseconds()
	}
	return session, started
}

// newToken returns a secret that says where it is from, for scanners of leaks.
func newToken() string { return "foyer_" + randomText(32) }

// Logout ends the caller's session and deletes its device.
func (s *Service) Logout(ctx context.Context, c httpapi.Caller) error {
	return s.Store.DeleteDevices(ctx, string(c.UserID), []string{c.DeviceID})
}

// LogoutAll deletes all devices of the caller.
func (s *Service) LogoutAll(ctx context.Context, c httpapi.Caller) error {
	return s.Store.DeleteOtherDevices(ctx, string(c.UserID), "")
}

// Devices lists the caller's devices.
func (s *Service) Devices(ctx context.Context, user event.UserID) ([]store.Device, error) {
	return s.Store.Devices(ctx, string(user))
}

// Device returns one device of user, or 404 M_NOT_FOUND.
func (s *Service) Device(ctx context.Context, user event.UserID, device string) (store.Device, error) {
	d, err := s.Store.Device(ctx, string(user), device)
	if errors.Is(err, store.ErrNotFound) {
		return d, matrixerr.NotFound("no such device")
	}
	return d, err
}

// RenameDevice sets a device's display name; nil leaves it as it is. A device
// that does not exist is 404 M_NOT_FOUND.
func (s *Service) RenameDevice(ctx context.Context, user event.UserID, device string, name *string) error {
	d, err := s.Device(ctx, user, device)
	if err != nil || name == nil || *name == d.DisplayName {
		return err
	}
	if len(*name) > maxDeviceName {
		return matrixerr.InvalidParam("the display name of a device has at most 100 bytes")
	}
	err = s.Store.RenameDevice(ctx, string(user), device, *name)
	if errors.Is(err, store.ErrNotFound) {
		return matrixerr.NotFound("no such device")
	}
	return err
}
