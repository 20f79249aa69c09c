// SPDX-License-Identifier: Apache-2.0

// Package homeserver is the built-in Matrix homeserver: it assembles the
// packages below it, listens, reloads what can be reloaded, and stops without
// losing anything. It knows nothing of Kubernetes.
package homeserver

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Options are what a Server needs. Only Config is required.
type Options struct {
	// Config is complete and valid.
	Config config.Config
	// ConfigFile, if not empty, is watched for what can change without a restart.
	ConfigFile string
	// Listener, if not nil, serves clients in place of Config.Listen.Client.
	Listener net.Listener
	// Log is where the server logs; slog.Default() if nil.
	Log *slog.Logger
	// Level, if not nil, follows the configured log level.
	Level *slog.LevelVar
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// WrapDriver lets a test put a database driver in front of the real one.
	WrapDriver func(driver.Connector) driver.Connector
}

// Server is one replica of a homeserver.
type Server struct {
	options  Options
	config   config.Config
	log      *slog.Logger
	store    *store.Store
	signer   event.Signer
	limiter  *httpapi.Limiter
	metrics  *prometheus.Registry
	services *services
	client   net.Listener
	others   []net.Listener
	servers  []*httpServer

	fatal        chan error // what makes it impossible to go on
	shuttingDown atomic.Bool
}

// New opens the database and the listeners and assembles a server; Run makes
// it answer. See Reason for its errors. Only a call of Run releases what New opened.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		options: o, config: o.Config, log: o.Log, metrics: newRegistry(),
		fatal: make(chan error, 1),
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.closeAll())
	}
	return s, nil
}

// open does what can fail at start, the cheapest checks first.
func (s *Server) open(ctx context.Context) error {
	secrets, err := readSecrets(s.config.Registration)
	if err != nil {
		return err
	}
	url, err := s.config.Database.PostgresURL()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	server := event.ServerName(s.config.ServerName)
	generate := strings.HasPrefix(s.config.SigningKeyFile, s.config.DataDir+"/")
	if s.signer, err = loadSigningKey(s.config.SigningKeyFile, server, generate); err != nil {
		return err
	}
	s.store, err = store.Open(ctx, store.Options{
		Dir: s.config.DataDir, PostgresURL: url, Synchronous: s.config.Database.Synchronous,
		ServerName: s.config.ServerName, Wrap: s.options.WrapDriver,
	})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.limiter = httpapi.NewLimiter(s.config.RateLimits, s.options.Now)
	if s.services, err = s.assemble(secrets); err != nil {
		return err
	}
	return s.listen(ctx)
}

// secrets are what registration needs of files.
type secrets struct {
	tokens []string
	shared []byte
}

func readSecrets(r config.Registration) (secrets, error) {
	tokens, err := registrationTokens(r)
	if err != nil || r.SharedSecretFile == "" {
		return secrets{tokens: tokens}, err
	}
	shared, err := readSecret("registration.sharedSecretFile", r.SharedSecretFile)
	return secrets{tokens, shared}, err
}

// readSecret reads the secret in a file that the configuration names under key.
func readSecret(key, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
	}
	secret := bytes.TrimSpace(text)
	if len(secret) == 0 {
		return nil, fmt.Errorf("%w: %s: is empty", ErrConfig, key)
	}
	return secret, nil
}

// turnSecret reads the secret that TURN servers share with this one, nil where there are none.
func turnSecret(t config.Turn) ([]byte, error) {
	if len(t.URIs) == 0 {
		return nil, nil
	}
	return readSecret("turn.sharedSecretFile", t.SharedSecretFile)
}

// registrationTokens reads the tokens of mode Token.
func registrationTokens(r config.Registration) ([]string, error) {
	if r.Mode != config.RegistrationToken || r.TokenFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("%w: registration.tokenFile: %w", ErrConfig, err)
	}
	tokens := strings.Fields(string(text))
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%w: registration.tokenFile: holds no token", ErrConfig)
	}
	return tokens, nil
}

// closeAll releases what open opened.
func (s *Server) closeAll() error {
	var errs []error
	for _, l := range append(s.others, s.client) {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

// Address is where clients are listened to.
func (s *Server) Address() net.Addr { return s.client.Addr() }

// shutdownTime is how long requests may take to end when the server stops.
const shutdownTime = 8 * time.Second

// Run serves until ctx ends or the server cannot go on. Then it stops
// accepting, lets long polls answer, finishes what was begun, writes what is
// queued and closes the database, in less than ten seconds.
func (s *Server) Run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var background errgroup.Group
	storeStopped := make(chan error, 1)
	writer, stopWriter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriter()
	go func() { storeStopped <- s.store.Run(writer) }()
	for _, run := range s.services.background {
		background.Go(func() error { return run(work) })
	}
	background.Go(func() error { return s.watchConfig(work) })
	err := s.services.accounts.EnsureAdmins(ctx, s.config.Admins)
	if err != nil {
		err = fmt.Errorf("%w: admins: %w", ErrConfig, err)
	} else {
		err = s.serve(ctx)
	}
	stopWork()
	err = errors.Join(err, background.Wait())
	stopWriter()
	return errors.Join(err, <-storeStopped, s.closeAll())
}

// fail makes Run end with err.
func (s *Server) fail(err error) {
	select {
	case s.fatal <- err:
	default: // another one was first
	}
}

// onRequestError stops the server when the database turns out to be damaged:
// every further write could make it worse.
func (s *Server) onRequestError(err error) {
	if errors.Is(err, store.ErrCorrupt) {
		s.fail(err)
	}
}
