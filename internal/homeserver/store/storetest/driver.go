// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"database/sql/driver"
)

// Tap puts a driver in front of the real one (store.Options.Wrap) that calls
// before ahead of every statement it runs, BEGIN and COMMIT included. If
// before returns an error the statement fails with it and does not run.
func Tap(before func(query string) error) func(driver.Connector) driver.Connector {
	return func(c driver.Connector) driver.Connector { return &tap{c, before} }
}

type tap struct {
	driver.Connector
	before func(query string) error
}

func (t *tap) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tapConn{conn, t.before}, nil
}

type tapConn struct {
	driver.Conn
	before func(query string) error
}

func (c *tapConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &tapStmt{st, query, c.before}, nil
}

func (c *tapConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.before(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *tapConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.before(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// CheckNamedValue lets the real driver say which types of arguments it takes.
func (c *tapConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type tapStmt struct {
	driver.Stmt
	query  string
	before func(query string) error
}

func (s *tapStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.before(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *tapStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.before(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
