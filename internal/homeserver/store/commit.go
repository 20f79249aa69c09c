// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
)

// maxGroup is how many writes share a transaction at most.
const maxGroup = 256

type pending struct {
	write  Write
	done   chan struct{}
	result Committed
	err    error
}

// writer is the one goroutine of a replica that writes. While one group is
// being committed the next one grows in the queue.
type writer struct {
	db      *sql.DB
	dialect *dialect
	queue   chan *pending
	stopped chan struct{}
	publish func(ctx context.Context, changes []Change)
	// catchUp publishes what was committed without our knowing.
	catchUp func(ctx context.Context)

	conn *sql.Conn
	st   *statements
}

// Write commits w and returns where it landed. It returns once the change is
// on disk and visible to readers of this replica. It does not stop waiting
// when ctx ends: the outcome is always known.
//
// Errors: ErrConflict, ErrFull, ErrUnavailable, ErrClosed, and what w.Apply
// returned.
func (s *Store) Write(_ context.Context, w Write) (Committed, error) {
	return s.Submit(w)()
}

// Do is Write without room heads.
func (s *Store) Do(ctx context.Context, apply func(ctx context.Context, tx *Tx) error) error {
	_, err := s.Write(ctx, Write{Apply: apply})
	return err
}

// Submit queues w behind everything submitted before it by the same
// goroutine and returns a function that waits for its outcome.
func (s *Store) Submit(w Write) (wait func() (Committed, error)) {
	p := &pending{write: w, done: make(chan struct{})}
	select {
	case <-s.writer.stopped:
		return func() (Committed, error) { return Committed{}, ErrClosed }
	case s.writer.queue <- p:
	}
	return func() (Committed, error) {
		select {
		case <-p.done:
		case <-s.writer.stopped:
			select {
			case <-p.done:
			default:
				return Committed{}, ErrClosed
			}
		}
		return p.result, p.err
	}
}

// run commits groups until ctx ends and the queue is empty.
func (w *writer) run(ctx context.Context) error {
	defer close(w.stopped)
	defer w.dropConn()
	work := context.WithoutCancel(ctx)
	for {
		select {
		case p := <-w.queue:
			w.commit(work, w.drain(p))
		case <-ctx.Done():
			for {
				select {
				case p := <-w.queue:
					w.commit(work, w.drain(p))
				default:
					return nil
				}
			}
		}
	}
}

// drain takes what is waiting behind first.
func (w *writer) drain(first *pending) []*pending {
	group := []*pending{first}
	for len(group) < maxGroup {
		select {
		case p := <-w.queue:
			group = append(group, p)
		default:
			return group
		}
	}
	return group
}

// maxDeadlocks is how often a write that met another replica's locks is tried again.
const maxDeadlocks = 5

// errSplit marks a group that has to be retried one by one: a write of it
// failed after it had changed rows, or it met another replica's locks.
var errSplit = errors.New("group has to be split")

// commit gives every write of the group its outcome.
func (w *writer) commit(ctx context.Context, group []*pending) {
	err := w.commitTogether(ctx, group)
	if len(group) > 1 && errors.Is(err, errSplit) {
		for _, p := range group {
			w.commit(ctx, []*pending{p})
		}
		return
	}
	for range maxDeadlocks {
		if !errors.Is(err, errSplit) {
			break
		}
		err = w.commitTogether(ctx, group)
	}
	for _, p := range group {
		if err != nil && p.err == nil {
			p.err = err
		}
		close(p.done)
	}
}

// commitTogether runs the group in one transaction. On success the writes'
// own errors and results are set. On error nothing was committed, except when
// the connection is lost during COMMIT: then nobody knows, the error is
// ErrUnavailable, and a retry by the client has to be idempotent.
func (w *writer) commitTogether(ctx context.Context, group []*pending) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	tx := &Tx{st: w.st}
	base, err := w.apply(ctx, tx, group)
	if err == nil {
		err = fault.Hit(ctx, "store.commit.before")
	}
	if err != nil {
		w.rollback(ctx)
		if len(group) > 1 && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrFull) {
			return fmt.Errorf("%w: %w", errSplit, err)
		}
		return err
	}
	if _, err := w.conn.ExecContext(ctx, "COMMIT"); err != nil {
		w.rollback(ctx)
		w.catchUp(ctx)
		return w.dialect.dbError("commit", err)
	}
	if err := fault.Hit(ctx, "store.commit.after"); err != nil {
		w.catchUp(ctx)
		return err
	}
	for _, p := range group {
		p.result = Committed{base}
	}
	w.publish(ctx, tx.changes)
	return nil
}

// apply runs all writes of the group and flushes what they deferred.
func (w *writer) apply(ctx context.Context, tx *Tx, group []*pending) (int64, error) {
	for _, p := range group {
		p.err = nil
	}
	if err := moveHeads(ctx, tx, group); err != nil {
		return 0, err
	}
	for _, p := range group {
		if p.err != nil || p.write.Apply == nil {
			continue
		}
		m := tx.mark()
		tx.wrote = p.write.Head != nil
		if err := p.write.Apply(ctx, tx); err != nil {
			p.err = err
			if tx.wrote || tx.broken {
				return 0, err
			}
			tx.undo(m)
		}
	}
	if err := fault.Hit(ctx, "store.flush.before"); err != nil {
		return 0, err
	}
	return tx.flush(ctx)
}

const moveHead = `UPDATE rooms SET head_nid = $1, depth = $2, state_nid = $3, heads = $4,
	joined = joined + $5, invited = invited + $6 WHERE room_nid = $7 AND head_nid = $8`

// moveHeads does the compare-and-sets of the group, one statement a room:
// consecutive moves of one room are one step to the last of them.
func moveHeads(ctx context.Context, tx *Tx, group []*pending) error {
	type chain struct {
		first, joined, invited int64
		last                   *HeadMove
		users                  []*pending
	}
	var order []int64
	chains := map[int64]*chain{}
	for _, p := range group {
		m := p.write.Head
		if m == nil {
			continue
		}
		c := chains[m.RoomNID]
		switch {
		case c == nil:
			chains[m.RoomNID] = &chain{m.From, m.Joined, m.Invited, m, []*pending{p}}
			order = append(order, m.RoomNID)
		case c.last.To == m.From:
			c.last, c.users = m, append(c.users, p)
			c.joined, c.invited = c.joined+m.Joined, c.invited+m.Invited
		default:
			p.err = ErrConflict
		}
	}
	for _, room := range order {
		c := chains[room]
		m := c.last
		n, err := tx.Exec(ctx, moveHead, m.To, m.Depth, m.StateNID, m.Heads, c.joined, c.invited, room, c.first)
		if err != nil {
			return err
		}
		if n == 0 {
			for _, p := range c.users {
				p.err = ErrConflict
			}
		}
	}
	return nil
}

// begin begins a transaction. A connection that died since the last one is
// replaced: nothing is lost with it.
func (w *writer) begin(ctx context.Context) error {
	idle := w.conn != nil
	if err := w.connect(ctx); err != nil {
		return err
	}
	_, err := w.conn.ExecContext(ctx, w.dialect.begin)
	if err == nil {
		return nil
	}
	w.dropConn()
	if idle {
		return w.begin(ctx)
	}
	return w.dialect.dbError("begin", err)
}

// connect makes sure that there is a connection.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return w.dialect.dbError("connect", err)
	}
	w.conn, w.st = conn, newStatements(conn, w.dialect)
	return nil
}

// rollback undoes the transaction; a connection that cannot is given up.
func (w *writer) rollback(ctx context.Context) {
	if _, err := w.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		w.dropConn()
	}
}

// dropConn gives the connection up for good: the pool must not hand it out again.
func (w *writer) dropConn() {
	if w.conn == nil {
		return
	}
	if err := w.conn.Raw(func(any) error { return nil }); err == nil {
		w.st.close() // unless database/sql closed the connection under us
	}
	_ = w.conn.Raw(func(any) error { return errDiscard })
	_ = w.conn.Close()
	w.conn, w.st = nil, nil
}

// errDiscard makes database/sql throw a connection away.
var errDiscard = driver.ErrBadConn
