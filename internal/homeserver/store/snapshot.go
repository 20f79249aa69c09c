// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	sqlitelib "modernc.org/sqlite"
)

// Snapshot is a database as it stood at one moment, for reading only. A
// server may go on writing meanwhile; the snapshot does not see it. On SQLite
// the write-ahead log grows for as long as the snapshot is open.
type Snapshot struct {
	db      *sql.DB
	conn    *sql.Conn
	dialect *dialect
}

// OpenSnapshot opens the database that o names, which must exist and have
// this program's schema. It changes nothing. o.ServerName may be empty.
//
// Errors: ErrNotFound, ErrSchemaTooOld, ErrSchemaTooNew, ErrCorrupt,
// ErrServerNameMismatch, ErrUnavailable.
func OpenSnapshot(ctx context.Context, o Options) (*Snapshot, error) {
	open := snapshotSQLite
	if o.PostgresURL != "" {
		open = snapshotPostgres
	}
	s, begin, err := open(o)
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx, begin, o.ServerName); err != nil {
		return nil, fmt.Errorf("%w%s", err, closing(s.Close()))
	}
	return s, nil
}

func snapshotSQLite(o Options) (s *Snapshot, begin string, err error) {
	path := filepath.Join(o.Dir, "foyer.db")
	if _, err := os.Stat(path); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"query_only(1)", "busy_timeout(10000)", "cache_size(-8000)"}}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	db := sql.OpenDB(&fileConnector{dsn, &sqlitelib.Driver{}})
	return &Snapshot{db: db, dialect: sqliteDialect}, "BEGIN", nil
}

func snapshotPostgres(o Options) (s *Snapshot, begin string, err error) {
	cfg, err := pgx.ParseConfig(o.PostgresURL)
	if err != nil {
		return nil, "", errBadURL
	}
	cfg.RuntimeParams["application_name"] = "foyer check"
	return &Snapshot{db: stdlib.OpenDB(*cfg), dialect: postgresDialect}, "BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ", nil
}

// enter takes the snapshot and makes sure that it can be understood.
func (s *Snapshot) enter(ctx context.Context, begin, serverName string) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.dialect.dbError("connect", err)
	}
	s.conn = conn
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return s.dialect.dbError("begin", err)
	}
	var version int
	if err := conn.QueryRowContext(ctx, `SELECT version FROM schema_version`).Scan(&version); err != nil {
		return s.dialect.dbError("read schema version", err)
	}
	steps, err := schemaSteps()
	switch {
	case err != nil:
		return err
	case version > len(steps):
		return fmt.Errorf("%w: it has version %d, this program knows %d", ErrSchemaTooNew, version, len(steps))
	case version < len(steps):
		return fmt.Errorf("%w: it has version %d of %d", ErrSchemaTooOld, version, len(steps))
	}
	var name []byte
	err = conn.QueryRowContext(ctx, `SELECT value FROM server WHERE name = 'server_name'`).Scan(&name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s.dialect.dbError("read server name", err)
	}
	if serverName != "" && string(name) != serverName {
		return fmt.Errorf("%w: it is of %q, not %q", ErrServerNameMismatch, name, serverName)
	}
	return nil
}

// Close releases the snapshot.
func (s *Snapshot) Close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	return errors.Join(err, s.db.Close())
}

// Each calls row for every row of a query in the portable SQL of this
// package, as it arrives. No other call of the snapshot is possible in row.
func (s *Snapshot) Each(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	rows, err := s.conn.QueryContext(ctx, s.dialect.rewrite(query), args...)
	if err != nil {
		return s.dialect.dbError("query", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return s.dialect.dbError("read rows", rows.Err())
}

// EachOf is Each for a query that ends in IN, with values in the list. row
// may be called in any order.
func EachOf[T any](ctx context.Context, s *Snapshot, query string, values []T, row func(*sql.Rows) error) error {
	for chunk := range slices.Chunk(values, maxList) {
		if err := s.Each(ctx, query+list(1, len(chunk)), listArgs(nil, chunk), row); err != nil {
			return err
		}
	}
	return nil
}

// Damage calls report with each defect that the database itself finds in its
// file. Postgres has no such check for those who only use it: then ok is false.
func (s *Snapshot) Damage(ctx context.Context, report func(defect string) error) (ok bool, err error) {
	if s.dialect != sqliteDialect {
		return false, nil
	}
	return true, s.Each(ctx, `PRAGMA integrity_check`, nil, func(rows *sql.Rows) error {
		var defect string
		if err := rows.Scan(&defect); err != nil {
			return err
		}
		if defect == "ok" {
			return nil
		}
		return report(defect)
	})
}
