// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	sqlitelib "modernc.org/sqlite"
)

// sqliteReaders is the number of connections that read at the same time.
const sqliteReaders = 4

// fileConnector opens connections to one SQLite file.
type fileConnector struct {
	dsn    string
	driver driver.Driver
}

func (c *fileConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *fileConnector) Driver() driver.Driver                        { return c.driver }

// openSQLite opens Dir/foyer.db, which this process then has to itself.
func openSQLite(ctx context.Context, o Options) (*Store, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	if err := checkFileSystem(o.Dir); err != nil {
		return nil, err
	}
	unlock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	synchronous := o.Synchronous
	if synchronous == "" {
		synchronous = "FULL"
	}
	path := filepath.Join(o.Dir, "foyer.db")
	crashed := wasKilled(path)
	drv := &sqlitelib.Driver{}
	open := func(pragmas ...string) *sql.DB {
		q := url.Values{"_pragma": append(pragmas, "busy_timeout(10000)", "synchronous("+synchronous+")")}
		var c driver.Connector = &fileConnector{"file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode(), drv}
		if o.Wrap != nil {
			c = o.Wrap(c)
		}
		return sql.OpenDB(c)
	}
	// auto_vacuum works only when set before the first table is made.
	writeDB := open("auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "cache_size(-8000)")
	writeDB.SetMaxOpenConns(1)
	readDB := open("query_only(1)", "cache_size(-2000)")
	readDB.SetMaxOpenConns(sqliteReaders)
	readDB.SetMaxIdleConns(sqliteReaders)
	s := newStore(sqliteDialect, readDB, writeDB)
	s.unlock = unlock
	if crashed {
		if err := s.quickCheck(ctx); err != nil {
			return nil, fmt.Errorf("%w%s", err, closing(s.Close()))
		}
	}
	return s, nil
}

// wasKilled reports whether the last process that had the database open did
// not close it: closing removes the write-ahead log.
func wasKilled(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}

// quickCheckTime bounds what a start after a crash costs: a large database is
// looked at as far as one comes.
const quickCheckTime = 5 * time.Second

// quickCheck looks at the structure of the file, not at what its indexes say.
//
// Errors: ErrCorrupt.
func (s *Store) quickCheck(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, quickCheckTime)
	defer cancel()
	found, err := queryAll(limited, s, scanString, `PRAGMA quick_check(1)`)
	if limited.Err() != nil {
		slog.InfoContext(ctx, "the database is large; it was checked in part after a crash")
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("%w: %q; restore a backup", ErrCorrupt, found)
	}
	return nil
}
