// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// counter is a database driver that counts the questions put to the one behind it.
type counter struct {
	driver.Connector
	selects *atomic.Int64
}

func (c counter) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return countedConn{conn, c.selects}, err
}

type countedConn struct {
	driver.Conn
	selects *atomic.Int64
}

func (c countedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil || !strings.HasPrefix(query, "SELECT") {
		return st, err
	}
	return countedStmt{st, c.selects}, nil
}

func (c countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.selects.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

type countedStmt struct {
	driver.Stmt
	selects *atomic.Int64
}

func (s countedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.selects.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// counted is a store that counts its queries.
func counted(t testing.TB) (*store.Store, *atomic.Int64) {
	t.Helper()
	selects := &atomic.Int64{}
	s, err := store.Open(context.Background(), store.Options{
		Dir: t.TempDir(), ServerName: storetest.ServerName,
		Wrap: func(c driver.Connector) driver.Connector { return counter{c, selects} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s, selects
}

// sleepers are devices of many users that wait for the same room.
type sleepers struct {
	*world
	selects *atomic.Int64
	devices []*device
}

// cost is how many queries something makes.
func (s *sleepers) cost(happens func()) int64 {
	before := s.selects.Load()
	happens()
	return s.selects.Load() - before
}

// woken is how many queries something makes that wakes all of them, and their answers.
func (s *sleepers) woken(happens func()) int64 {
	s.Helper()
	var answers []<-chan *answer
	for _, d := range s.devices {
		d.sync()
		answers = append(answers, d.poll(s.ctx(), time.Minute))
	}
	return s.cost(func() {
		happens()
		for _, a := range answers {
			if got := <-a; got == nil || len(got.Rooms.Join) != 1 {
				s.Fatalf("woken with %+v", got)
			}
		}
	})
}

// newSleepers makes users who share one of the rooms that they are in.
func newSleepers(t testing.TB, n int, filter string) (*sleepers, event.RoomID) {
	t.Helper()
	db, selects := counted(t)
	s := &sleepers{world: newWorld(t, db), selects: selects}
	room := s.create(alice)
	for i := range n {
		user := event.UserID(fmt.Sprintf("@u%d:%s", i, storetest.ServerName))
		s.join(room, user)
		for range 20 {
			s.join(s.create(alice), user)
		}
		d := s.device(user).with(filter)
		d.useStateAfter = i%2 == 1
		d.sync()
		s.devices = append(s.devices, d)
	}
	return s, room
}

func TestAWokenSyncAsksTheDatabaseNothing(t *testing.T) {
	for name, filter := range map[string]string{
		"without a filter":  "",
		"with lazy loading": `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":20}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, room := newSleepers(t, 20, filter)
				message := func() { s.send(room, alice, "m") }
				message()
				alone := s.cost(message)
				if got := s.woken(message) - alone; got != 0 {
					t.Errorf("woken by a message they made %d queries", got)
				}
				typing := func() { s.ok(s.stream.SetTyping(s.ctx(), alice, room, time.Hour)) }
				s.ok(s.stream.SetTyping(s.ctx(), alice, room, 0)) // now her memberships are cached
				if got := s.woken(typing); got != 0 {
					t.Errorf("woken by typing they made %d queries", got)
				}
				last := s.send(room, alice, "read this")
				read := func() { s.read(room, alice, stream.Marker{Type: "m.read", EventID: last}) }
				if got := s.woken(read); got > 3 { // two of them to set it
					t.Errorf("woken by a receipt they made %d queries", got)
				}
			})
		})
	}
}
