// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitelib "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is everything in which the two databases differ. All other code of
// this package is one text for both.
type dialect struct {
	name string
	// begin opens a write transaction.
	begin string
	// rewrite turns the portable SQL text (placeholders $1, types BIGINT,
	// TEXT and BYTEA) into the database's own.
	rewrite func(string) string
	// createSuffix ends a CREATE TABLE statement.
	createSuffix string
	// classify maps a driver's error to one of this package's.
	classify func(error) error
}

var (
	placeholder = regexp.MustCompile(`\$([0-9]+)`)
	byteaType   = regexp.MustCompile(`\bBYTEA\b`)
	bigintType  = regexp.MustCompile(`\bBIGINT\b`)
	textColumn  = regexp.MustCompile(`(?m)^(\s+\w+) TEXT\b`)
)

var sqliteDialect = &dialect{
	name:         "sqlite",
	begin:        "BEGIN IMMEDIATE",
	createSuffix: " STRICT",
	rewrite: func(q string) string {
		q = placeholder.ReplaceAllString(q, "?$1")
		q = byteaType.ReplaceAllString(q, "BLOB")
		return bigintType.ReplaceAllString(q, "INTEGER")
	},
	classify: classifySQLite,
}

var postgresDialect = &dialect{
	name:  "postgres",
	begin: "BEGIN",
	rewrite: func(q string) string {
		// Byte order everywhere, whatever the database was created with, so
		// that both databases sort and compare the same.
		return textColumn.ReplaceAllString(q, `$1 TEXT COLLATE "C"`)
	},
	classify: classifyPostgres,
}

func classifySQLite(err error) error {
	var e *sqlitelib.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case sqlite3.SQLITE_CONSTRAINT:
		if e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
			return fmt.Errorf("%w: %w", ErrExists, err)
		}
		return err
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err
	}
}

func classifyPostgres(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "53100": // disk_full
			return fmt.Errorf("%w: %w", ErrFull, err)
		case e.Code == "23505": // unique_violation
			return fmt.Errorf("%w: %w", ErrExists, err)
		case e.Code == "40P01", e.Code == "40001": // deadlock, serialization failure
			return fmt.Errorf("%w: %w", errSplit, err)
		case e.Code == "25006", // read only, as a standby is
			e.Code[:2] == "57", e.Code[:2] == "53", e.Code[:2] == "08":
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || isConnectionLost(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// dbError names what was being done and classifies err; nil stays nil.
func (d *dialect) dbError(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, d.classify(err))
}
