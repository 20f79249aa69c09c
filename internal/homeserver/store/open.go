// SPDX-License-Identifier: Apache-2.0

// Package store keeps everything the homeserver knows, in SQLite or Postgres,
// by one SQL text. All SQL of the homeserver is here.
//
// One goroutine of each replica writes: it commits many writes together
// (group commit) and takes the stream positions last, so that their order is
// the order of commits, whatever the number of replicas. Readers use a pool.
// docs/architecture.md explains the design.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Options say where the data is.
type Options struct {
	// Dir holds foyer.db when PostgresURL is empty.
	Dir string
	// PostgresURL is a postgres:// URL.
	PostgresURL string
	// Synchronous is SQLite's durability, FULL (default) or NORMAL.
	Synchronous string
	// ServerName is written into a new database and compared with an existing one.
	ServerName string
	// Wrap lets a test put a driver in front of the real one.
	Wrap func(driver.Connector) driver.Connector
}

// Store is the database of one replica.
type Store struct {
	dialect    *dialect
	serverName string
	readDB     *sql.DB
	read       *statements
	writer     *writer
	log        *Log
	unlock     func() error
	notify     *notifier // nil on SQLite
	// tailMu serialises reading the tail of the change log between the writer and the follower.
	tailMu     sync.Mutex
	countersMu sync.Mutex
	counters   map[string]*idCounter
	// forgotTxns is when old requests were last forgotten; see txns.go.
	forgotTxns atomic.Int64
	// stateKeys interns state keys; see statekeys.go.
	stateKeys *stateKeyCache
}

// Open opens or creates the database and brings its schema up to date. Call
// Run before the first write.
//
// Errors: ErrSchemaTooNew, ErrLocked, ErrStorageUnsupported, ErrCorrupt,
// ErrServerNameMismatch, ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	open := openSQLite
	if o.PostgresURL != "" {
		open = openPostgres
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, o); err != nil {
		return nil, fmt.Errorf("%w%s", err, closing(s.Close()))
	}
	return s, nil
}

// closing words a second error that happened while giving up.
func closing(err error) string {
	if err == nil {
		return ""
	}
	return " (and while closing: " + err.Error() + ")"
}

// newStore wires the parts that both databases share.
func newStore(d *dialect, readDB, writeDB *sql.DB) *Store {
	s := &Store{
		dialect: d, readDB: readDB, read: newStatements(readDB, d),
		counters: map[string]*idCounter{}, unlock: func() error { return nil },
		stateKeys: newStateKeyCache(),
	}
	s.writer = &writer{
		db: writeDB, dialect: d, queue: make(chan *pending, maxGroup), stopped: make(chan struct{}),
		publish: s.publishOwn, catchUp: s.tryCatchUp,
	}
	return s
}

const (
	insertServerFact = `INSERT INTO server (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	selectServerFact = `SELECT value FROM server WHERE name = $1`
	selectHead       = `SELECT pos FROM stream_head WHERE one = 1`
)

func scanBytes(row scanner) ([]byte, error) {
	var v []byte
	return v, row.Scan(&v)
}

// prepare migrates, checks whose database it is and finds the stream head.
func (s *Store) prepare(ctx context.Context, o Options) error {
	if err := s.dialect.migrate(ctx, s.writer.db); err != nil {
		return err
	}
	insert := s.dialect.rewrite(insertServerFact)
	if _, err := s.writer.db.ExecContext(ctx, insert, "server_name", []byte(o.ServerName)); err != nil {
		return s.dialect.dbError("write server name", err)
	}
	name, err := queryOne(ctx, s, scanBytes, selectServerFact, "server_name")
	if err != nil {
		return err
	}
	if string(name) != o.ServerName {
		return fmt.Errorf("%w: it is of %q, not %q", ErrServerNameMismatch, name, o.ServerName)
	}
	head, err := queryOne(ctx, s, scanInt64, selectHead)
	if err != nil {
		return err
	}
	s.log, s.serverName = newLog(head), o.ServerName
	return nil
}

func (s *Store) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	return s.read.query(ctx, query, args)
}

// Log is the tail of the change log.
func (s *Store) Log() *Log { return s.log }

// Run writes and follows the change log until ctx ends, then finishes what
// was submitted.
func (s *Store) Run(ctx context.Context) error {
	var g errgroup.Group
	if s.notify != nil {
		tail, stop := context.WithCancel(context.WithoutCancel(ctx))
		g.Go(func() error { s.notify.run(tail, s); return nil })
		defer stop()
	}
	err := s.writer.run(ctx)
	if s.notify != nil {
		s.notify.stop()
	}
	return errors.Join(err, g.Wait())
}

// Ping reads from the database; nil means that requests can be served.
func (s *Store) Ping(ctx context.Context) error {
	_, err := queryOne(ctx, s, scanInt64, selectHead)
	return err
}

// Close releases the database. Call it after Run has returned.
func (s *Store) Close() error {
	return errors.Join(s.readDB.Close(), s.writer.db.Close(), s.unlock())
}
