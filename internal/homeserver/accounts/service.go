// SPDX-License-Identifier: Apache-2.0

// Package accounts keeps users, their devices, access tokens and profiles. It
// registers accounts, signs users in and out, and says who an access token
// belongs to.
//
// Passwords are stored as argon2id hashes, access tokens as SHA-256: both are
// of no use to whoever reads the database.
package accounts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// accountStore is what accounts are kept in; *store.Store is one.
type accountStore interface {
	CreateUser(ctx context.Context, n store.NewUser) error
	User(ctx context.Context, id string) (store.User, error)
	SetUserFlags(ctx context.Context, user string, c store.FlagChange) error
	Devices(ctx context.Context, user string) ([]store.Device, error)
	Device(ctx context.Context, user, device string) (store.Device, error)
	DevicesBeyond(ctx context.Context, user, but string, keep int64) ([]string, error)
	IsCrossSigningKey(ctx context.Context, user, name string) (bool, error)
	DeleteDevices(ctx context.Context, user string, devices []string) error
	DeleteOtherDevices(ctx context.Context, user, keep string) error
	RenameDevice(ctx context.Context, user, device, name string) error
	RecordVisits(ctx context.Context, visits []store.Visit) error
	Profile(ctx context.Context, user string) ([]store.ProfileField, error)
	SetProfileField(ctx context.Context, user string, f store.ProfileField, maxSize int64) error
	tokenStore
	deactivationStore
	openIDStore
	userDirectory
}

// tokenStore is what tokens of all kinds are kept in.
type tokenStore interface {
	StartSession(ctx context.Context, session store.Session) error
	TokenOwner(ctx context.Context, hash []byte) (store.TokenOwner, error)
	UseToken(ctx context.Context, hash []byte, o store.TokenOwner) error
	RefreshOwner(ctx context.Context, hash []byte) (store.TokenOwner, error)
	Renew(ctx context.Context, r store.Renewal) error
	AddLoginToken(ctx context.Context, t store.LoginToken) error
	LoginTokenOwner(ctx context.Context, hash []byte, now int64) (string, error)
	RegistrationToken(ctx context.Context, token string) (store.RegistrationToken, error)
	RegistrationTokens(ctx context.Context) ([]store.RegistrationToken, error)
	AddRegistrationToken(ctx context.Context, t store.RegistrationToken) error
	SetRegistrationToken(ctx context.Context, t store.RegistrationToken) error
	DeleteRegistrationToken(ctx context.Context, token string) error
}

// rateLimiter slows down guessing.
type rateLimiter interface {
	Take(limit httpapi.Limit, key string) (wait time.Duration)
}

// Options are what a Service needs.
type Options struct {
	Store      accountStore
	Changes    *store.Log
	ServerName event.ServerName
	// Registration says who may register.
	Registration config.RegistrationMode
	// RegistrationTokens are accepted in mode Token, besides those that
	// administrators make.
	RegistrationTokens []string
	// SharedSecret is what RegisterBySecret takes.
	SharedSecret []byte
	Limiter      rateLimiter
	// Secret signs interactive authentication sessions; all replicas share it.
	Secret []byte
	Log    *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the accounts of one replica. It is safe for concurrent use.
type Service struct {
	Options
	hasher   *hasher
	sessions *sessionCache
	visits   *visits
	// deactivated wakes the task that removes the traces of accounts.
	deactivated chan struct{}
}

// New returns a Service that follows the store's change log.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, hasher: newHasher(), sessions: newSessionCache(), visits: newVisits(), deactivated: make(chan struct{}, 1)}
	o.Changes.Follow(s.follow)
	return s
}

// follow drops cached sessions of users whose sessions changed.
func (s *Service) follow(changes []store.Change) {
	for _, c := range changes {
		if c.Kind == store.ChangeSession {
			s.sessions.drop(c.UserID)
		}
	}
}

// Run records when devices were last seen, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(visitFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.FlushVisits(ctx)
		case <-ctx.Done():
			s.FlushVisits(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (s *Service) nowTS() int64 { return s.Now().UnixMilli() }

// randomText returns n random bytes as URL-safe base64.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

const deviceLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// newDeviceID returns ten random letters.
func newDeviceID() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails: crypto/rand
	for i := range b {
		b[i] = deviceLetters[int(b[i])%len(deviceLetters)]
	}
	return string(b)
}

// addressText is how an address is stored; none is "".
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Admin reports whether user is a server administrator.
func (s *Service) Admin(ctx context.Context, user event.UserID) (bool, error) {
	u, err := s.Store.User(ctx, string(user))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return u.Is(store.UserAdmin), err
}

// Exists reports whether user has an account here.
func (s *Service) Exists(ctx context.Context, user event.UserID) (bool, error) {
	_, err := s.Store.User(ctx, string(user))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// errForbidden is the one answer to everything that is wrong with a sign-in:
// it must not tell which names exist.
func errForbidden() error { return matrixerr.Forbidden("wrong user name or password") }
