// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Login is a sign-in by password.
type Login struct {
	// User is a user id or a local part.
	User, Password string
	// DeviceID of an existing device is used again; empty: a new one.
	DeviceID, DeviceName string
	// Caller tells where the request comes from.
	Caller httpapi.Caller
}

// Session is a signed-in device.
type Session struct {
	UserID      event.UserID
	DeviceID    string
	AccessToken string
}

const (
	// maxDevices bounds the devices of one account: each costs every member
	// of its encrypted rooms a key.
	maxDevices    = 1000
	maxDeviceID   = 255
	maxDeviceName = 100
)

// Login checks the password and starts a session.
//
// Errors for clients: M_FORBIDDEN, the same for a wrong password and a user
// that does not exist; M_USER_DEACTIVATED; M_LIMIT_EXCEEDED when the account
// is guessed at too often, from wherever; M_INVALID_PARAM for a bad device id;
// M_FORBIDDEN for one that is the name of a cross-signing key, because a
// signature by the device could pass for one by the key.
func (s *Service) Login(ctx context.Context, l Login) (*Session, error) {
	if err := checkDevice(l.DeviceID); err != nil {
		return nil, err
	}
	id := s.userOf(l.User)
	// The route counts addresses; this counts the account that is guessed at.
	if id != "" {
		if wait := s.Limiter.Take(httpapi.LimitLogin, string(id)); wait > 0 {
			return nil, matrixerr.LimitExceeded(wait)
		}
	}
	u, err := s.checkPassword(ctx, id, l.Password)
	if err != nil {
		return nil, err
	}
	taken, err := s.Store.IsCrossSigningKey(ctx, u.ID, l.DeviceID)
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, matrixerr.Forbidden("this device id is the name of a cross-signing key")
	}
	n, err := s.Store.CountDevices(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	if n >= maxDevices {
		return nil, matrixerr.New(http.StatusForbidden, matrixerr.CodeResourceLimitExceeded,
			"this account has too many devices; sign out of some")
	}
	session, token := s.newSession(u.ID, l.DeviceID, l.DeviceName, l.Caller)
	if err := s.Store.StartSession(ctx, session); err != nil {
		return nil, err
	}
	return &Session{UserID: id, DeviceID: session.DeviceID, AccessToken: token}, nil
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
// same time whether the account exists or not.
func (s *Service) checkPassword(ctx context.Context, id event.UserID, password string) (store.User, error) {
	var u store.User
	var err error
	if id != "" {
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

// newSession makes a device and its access token; the store keeps only the
// token's hash.
func (s *Service) newSession(user, device, name string, c httpapi.Caller) (session store.Session, token string) {
	if device == "" {
		device = newDeviceID()
	}
	if len(name) > maxDeviceName {
		name = strings.ToValidUTF8(name[:maxDeviceName], "")
	}
	token = "foyer_" + randomText(32)
	hash := sha256.Sum256([]byte(token))
	now := s.nowTS()
	return store.Session{
		Device: store.Device{
			UserID: user, DeviceID: device, DisplayName: name,
			CreatedTS: now, LastSeenTS: now, LastSeenIP: addressText(c.Address),
		},
		TokenHash: hash[:],
	}, token
}

// Logout ends the caller's session and deletes its device.
func (s *Service) Logout(ctx context.Context, c httpapi.Caller) error {
	return s.Store.DeleteDevices(ctx, string(c.UserID), []string{c.DeviceID})
}

// LogoutAll deletes all devices of the caller.
func (s *Service) LogoutAll(ctx context.Context, c httpapi.Caller) error {
	devices, err := s.Store.Devices(ctx, string(c.UserID))
	if err != nil {
		return err
	}
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.DeviceID
	}
	return s.Store.DeleteDevices(ctx, string(c.UserID), ids)
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
