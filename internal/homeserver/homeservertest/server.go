// SPDX-License-Identifier: Apache-2.0

// Package homeservertest runs a real homeserver inside a test: real HTTP on a
// local port, a real database, everything assembled as in production. Its
// Client speaks raw HTTP, so that tests see what clients see.
package homeservertest

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// ServerName is the name of every server in tests.
const ServerName = storetest.ServerName

// Options change what New makes; the zero value is a server on SQLite with
// open registration and no rate limits.
type Options struct {
	// Postgres puts the data into a fresh Postgres database.
	Postgres bool
	// Configure changes the configuration before the server starts.
	Configure func(*config.Config)
	// ConfigFile is watched for changes, if not empty.
	ConfigFile string
	// Inject is asked at every failpoint.
	Inject fault.Injector
	// Now is the clock of everything but the network; time.Now if nil.
	Now func() time.Time
	// WrapDriver puts a database driver in front of the real one.
	WrapDriver func(driver.Connector) driver.Connector
	// LogLevel is the least that goes to the test's log; warnings if nil.
	LogLevel slog.Leveler
	// Pipes makes the network one in memory, so that the server and its clients
	// can live in a bubble of testing/synctest, on its clock.
	Pipes bool
}

// Server is a homeserver that runs until the test ends.
type Server struct {
	// URL is where it answers; it stays the same over restarts.
	URL string
	// Config is what it runs with.
	Config config.Config

	t       testing.TB
	options Options
	record  *recorder
	pipes   *pipes // nil: a real network
	server  *homeserver.Server
	stop    context.CancelFunc
	done    chan error
}

// Each runs test with a server on SQLite and with one on Postgres.
func Each(t *testing.T, o Options, test func(t *testing.T, s *Server)) {
	t.Helper()
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			o.Postgres = postgres
			test(t, New(t, o))
		})
	}
}

// New starts a server.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	c := config.Default()
	c.ServerName = ServerName
	c.DataDir = filepath.Join(t.TempDir(), "data")
	c.Listen.Client = "127.0.0.1:0"
	c.Registration.Mode = config.RegistrationOpen
	c.RateLimits.Disabled = true
	c.Database.Synchronous = "NORMAL"
	if o.Postgres {
		c.Database.URL = storetest.PostgresURL(t)
	}
	return start(t, c, o)
}

func start(t testing.TB, c config.Config, o Options) *Server {
	t.Helper()
	if o.Configure != nil {
		o.Configure(&c)
	}
	if o.LogLevel == nil {
		o.LogLevel = slog.LevelWarn
	}
	s := &Server{Config: c, t: t, options: o, record: newRecorder(t)}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Replica starts another server on the same Postgres database.
func (s *Server) Replica() *Server {
	s.t.Helper()
	if s.Config.Database.URL == "" {
		s.t.Fatal("replicas need Postgres")
	}
	c := s.Config
	c.Listen.Client = "127.0.0.1:0"
	o := s.options
	o.Configure = nil
	return start(s.t, c, o)
}

// Start starts the server again after Stop or Kill, on the same data and at
// the same address.
func (s *Server) Start() {
	s.t.Helper()
	listener, err := s.listen()
	if err != nil {
		s.t.Fatalf("listen: %v", err)
	}
	s.Config.Listen.Client = listener.Addr().String()
	s.Config.PublicBaseURL = ""
	s.Config.Complete()
	if err := s.Config.Validate(); err != nil {
		s.t.Fatalf("configuration: %v", err)
	}
	s.URL = "http://" + s.Config.Listen.Client
	ctx, cancel := context.WithCancel(fault.With(context.Background(), s.inject))
	level := &slog.LevelVar{}
	level.Set(s.options.LogLevel.Level())
	s.server, err = homeserver.New(ctx, homeserver.Options{
		Config: s.Config, ConfigFile: s.options.ConfigFile, Listener: listener, Level: level,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: level})),
		Now: s.options.Now, WrapDriver: s.options.WrapDriver,
	})
	if err != nil {
		cancel()
		s.t.Fatalf("start server: %v", err)
	}
	s.stop, s.done = cancel, make(chan error, 1)
	go func(server *homeserver.Server, done chan<- error) { done <- server.Run(ctx) }(s.server, s.done)
}

func (s *Server) listen() (net.Listener, error) {
	if s.options.Pipes {
		s.pipes = newPipes()
		return s.pipes, nil
	}
	return new(net.ListenConfig).Listen(context.Background(), "tcp", s.Config.Listen.Client)
}

// Dial opens a connection to a server on Pipes, for tests of what is beneath HTTP.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.pipes.dial(ctx, "", "") }

func (s *Server) inject(name string) error {
	if s.options.Inject == nil {
		return nil
	}
	return s.options.Inject(name)
}

// Stop stops the server as SIGTERM does and waits for it. Stopping twice is fine.
func (s *Server) Stop() {
	s.t.Helper()
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	if err := <-s.done; err != nil {
		s.t.Errorf("run server: %v", err)
	}
}

// Kill drops every connection at once, then stops the server: its clients see
// what they would see of a crash, though what waits to be written still is.
// To crash at a certain point, use a failpoint or a process of its own.
func (s *Server) Kill() {
	s.t.Helper()
	s.server.Kill()
	s.Stop()
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}
