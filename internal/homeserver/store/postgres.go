// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	postgresReaders = 8
	// tailInterval is how long a replica trusts that no hint was lost.
	tailInterval = 500 * time.Millisecond
	// hintInterval is how often a replica tells the others at most.
	hintInterval = 5 * time.Millisecond
	channel      = "foyer_changes"
)

// openPostgres opens the database at o.PostgresURL.
func openPostgres(_ context.Context, o Options) (*Store, error) {
	cfg, err := pgx.ParseConfig(o.PostgresURL)
	if err != nil {
		// The parser's error may quote the URL, which holds a password.
		return nil, errBadURL
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	cfg.RuntimeParams["application_name"] = "foyer"
	cfg.RuntimeParams["synchronous_commit"] = "on"
	cfg.RuntimeParams["lock_timeout"] = "10000"
	open := func(conns int) *sql.DB {
		c := stdlib.GetConnector(*cfg)
		if o.Wrap != nil {
			c = o.Wrap(c)
		}
		db := sql.OpenDB(c)
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return db
	}
	s := newStore(postgresDialect, open(postgresReaders), open(2))
	s.notify = &notifier{config: cfg, hint: make(chan struct{}, 1), stopped: make(chan struct{})}
	return s, nil
}

var errBadURL = errors.New("database URL is not a valid postgres:// URL")

// notifier tells other replicas that the head moved and hears it from them.
// A hint is never relied on: the tail is read every tailInterval regardless.
type notifier struct {
	config  *pgx.ConnConfig
	hint    chan struct{} // own commits to tell others of
	stopped chan struct{}
	once    sync.Once
}

func (n *notifier) stop() { n.once.Do(func() { close(n.stopped) }) }

// run follows the log until stop is called.
func (n *notifier) run(ctx context.Context, s *Store) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	heard := make(chan struct{}, 1)
	wg.Go(func() { n.listen(ctx, heard) })
	wg.Go(func() { n.tell(ctx, s) })
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		select {
		case <-heard:
		case <-tick.C:
		case <-n.stopped:
			cancel()
			wg.Wait()
			return
		}
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot read the change log; trying again", "error", err)
		}
	}
}

// listen turns notifications into signals on heard.
func (n *notifier) listen(ctx context.Context, heard chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := pgx.ConnectConfig(ctx, n.config)
		if err == nil {
			_, err = conn.Exec(ctx, "LISTEN "+channel)
			for err == nil {
				if _, err = conn.WaitForNotification(ctx); err == nil {
					signal(heard)
				}
			}
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		select {
		case <-ctx.Done():
		case <-time.After(tailInterval):
		}
	}
}

// tell sends at most one notification an interval, outside any transaction:
// NOTIFY inside one would take a database-wide lock at commit.
func (n *notifier) tell(ctx context.Context, s *Store) {
	for {
		select {
		case <-n.hint:
		case <-ctx.Done():
			return
		}
		if _, err := s.readDB.ExecContext(ctx, "NOTIFY "+channel); err != nil && ctx.Err() == nil {
			slog.DebugContext(ctx, "cannot notify other replicas; they poll", "error", err)
		}
		select {
		case <-time.After(hintInterval):
		case <-ctx.Done():
			return
		}
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
