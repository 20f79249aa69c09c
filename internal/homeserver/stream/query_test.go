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

func TestAWokenSyncAsksTheDatabaseNothing(t *testing.T) {
	const sleepers = 20
	for name, filter := range map[string]string{
		"without a filter":  "",
		"with lazy loading": `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":20}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, selects := counted(t)
				w := newWorld(t, s)
				room := w.create(alice)
				var devices []*device
				for i := range sleepers {
					user := event.UserID(fmt.Sprintf("@u%d:%s", i, storetest.ServerName))
					w.join(room, user)
					for range 20 {
						w.join(w.create(alice), user)
					}
					d := w.device(user).with(filter)
					d.useStateAfter = i%2 == 1
					devices = append(devices, d)
				}
				for _, d := range devices {
					d.sync()
				}
				cost := func(happens func()) int64 {
					before := selects.Load()
					happens()
					return selects.Load() - before
				}
				message := func() { w.send(room, alice, "m") }
				woken := func(happens func()) int64 {
					var answers []<-chan *answer
					for _, d := range devices {
						d.sync()
						answers = append(answers, d.poll(w.ctx(), time.Minute))
					}
					return cost(func() {
						happens()
						for _, a := range answers {
							if got := <-a; got == nil || len(got.Rooms.Join) != 1 {
								t.Fatalf("woken with %+v", got)
							}
						}
					})
				}
				message()
				alone := cost(message)
				if got := woken(message) - alone; got != 0 {
					t.Errorf("%d syncs woken by a message made %d queries", sleepers, got)
				}
				typing := func() { w.ok(w.stream.SetTyping(w.ctx(), alice, room, time.Hour)) }
				w.ok(w.stream.SetTyping(w.ctx(), alice, room, 0)) // now her memberships are cached
				if got := woken(typing); got != 0 {
					t.Errorf("%d syncs woken by typing made %d queries", sleepers, got)
				}
				last := w.send(room, alice, "read this")
				read := func() { w.read(room, alice, stream.Marker{Type: "m.read", EventID: last}) }
				if got := woken(read); got > 3 {
					t.Errorf("%d syncs woken by a receipt, and setting it, made %d queries", sleepers, got)
				}
			})
		})
	}
}
