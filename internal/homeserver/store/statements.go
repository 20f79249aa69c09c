// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
)

// preparer is what *sql.DB and *sql.Conn share.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statements prepares each query text once. Safe for concurrent use.
type statements struct {
	on      preparer
	dialect *dialect
	mu      sync.RWMutex
	byText  map[string]*sql.Stmt
}

func newStatements(on preparer, d *dialect) *statements {
	return &statements{on: on, dialect: d, byText: map[string]*sql.Stmt{}}
}

// get returns the prepared statement of the portable text query.
func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	st := s.byText[query]
	s.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	st, err := s.on.PrepareContext(ctx, s.dialect.rewrite(query))
	if err != nil {
		return nil, s.dialect.dbError("prepare", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.byText[query]; other != nil {
		return other, st.Close()
	}
	s.byText[query] = st
	return st, nil
}

// close closes what was prepared. database/sql leaves that to whoever prepared
// on a connection of their own, and an SQLite connection with open statements
// keeps its locks even when it is closed.
func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.byText {
		_ = st.Close()
	}
	clear(s.byText)
}

func (s *statements) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	st, err := s.get(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(ctx, args...)
	return rows, s.dialect.dbError("query", err)
}

func (s *statements) exec(ctx context.Context, query string, args []any) (int64, error) {
	st, err := s.get(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, s.dialect.dbError("execute", err)
	}
	n, err := res.RowsAffected()
	return n, s.dialect.dbError("rows affected", err)
}

// querier reads rows: the store (outside a transaction) and *Tx (inside).
type querier interface {
	query(ctx context.Context, query string, args []any) (*sql.Rows, error)
}

// scanner is what *sql.Rows offers to a scan function.
type scanner interface {
	Scan(dest ...any) error
}

// queryAll returns every row of query, scanned.
func queryAll[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// queryOne returns the only row of query, or ErrNotFound.
func queryOne[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := queryAll(ctx, q, scan, query, args...)
	if err != nil || len(all) > 0 {
		var zero T
		if err != nil {
			return zero, err
		}
		return all[0], nil
	}
	var zero T
	return zero, ErrNotFound
}

// scanInt64 and its siblings scan rows of one column.
func scanInt64(row scanner) (int64, error) {
	var v int64
	return v, row.Scan(&v)
}

func scanString(row scanner) (string, error) {
	var v string
	return v, row.Scan(&v)
}

// list writes a parenthesised list of n placeholders beginning at $first,
// padded by padded(n) so that few distinct texts are prepared.
func list(first, n int) string {
	var b strings.Builder
	b.WriteByte('(')
	for i := range padded(n) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	b.WriteByte(')')
	return b.String()
}

// padded is the next power of two.
func padded(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// listArgs appends values to args, repeating the last one up to padded(len(values)).
func listArgs[T any](args []any, values []T) []any {
	for _, v := range values {
		args = append(args, v)
	}
	for range padded(len(values)) - len(values) {
		args = append(args, values[len(values)-1])
	}
	return args
}

func isConnectionLost(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
