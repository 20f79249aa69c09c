// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
)

// The errors that callers tell apart, with errors.Is.
var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: a row with that key exists already.
	ErrExists = errors.New("already exists")
	// ErrConflict: the room moved on since it was read; reload and try again.
	ErrConflict = errors.New("room changed meanwhile")
	// ErrSpent: this can be used no more.
	ErrSpent = errors.New("used already")
	// ErrTooMany: a user has as many of these as one may have.
	ErrTooMany = errors.New("too many")
	// ErrUnavailable: the database cannot be reached now; nothing is known to be wrong with the request.
	ErrUnavailable = errors.New("database unavailable")
	// ErrFull: the disk or the database is full; reads still work.
	ErrFull = errors.New("database is full")
	// ErrCorrupt: the database file is damaged; the server must stop.
	ErrCorrupt = errors.New("database is damaged")
	// ErrSchemaTooNew: a newer version of Foyer wrote this database.
	ErrSchemaTooNew = errors.New("database schema is newer than this program")
	// ErrSchemaTooOld: the database has to be brought up to date by a start of the server.
	ErrSchemaTooOld = errors.New("database schema is older than this program; start the server once")
	// ErrLocked: another process serves from this data directory.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrStorageUnsupported: the data directory is on a file system SQLite cannot be trusted on.
	ErrStorageUnsupported = errors.New("file system is not supported")
	// ErrServerNameMismatch: the database belongs to another server name.
	ErrServerNameMismatch = errors.New("database belongs to another server name")
	// ErrClosed: the store is shutting down.
	ErrClosed = errors.New("store is closed")
)
