// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// Write is one unit of change: all of it is committed, or none. Many writes
// of one replica share a transaction (group commit), so a Write must not
// depend on being alone in it.
type Write struct {
	// Head is the compare-and-set move of a room's head. If the room is not
	// where it says, the Write fails with ErrConflict and Apply is not called.
	Head *HeadMove
	// Apply does the rest. When it returns an error the Write is undone and
	// that error is the result. It runs on the writer's goroutine: no slow
	// work, and no other call of the store, in it. It may run more than once.
	Apply func(ctx context.Context, tx *Tx) error
}

// HeadMove moves a room's head from one value of rooms.head_nid to another.
// To is an id that nobody else ever uses (the nid of the newest event), not a
// count: a write that was built on another write which then lost to a third
// must not find the count where it expects it.
type HeadMove struct {
	RoomNID, From, To, Depth, StateNID int64
	Heads                              []byte
	// Joined and Invited are how many users more are joined and invited after it.
	Joined, Invited int64
}

// Pos is a stream position that is not known yet: the place among the
// positions of the transaction. As an argument of Tx.Insert and Tx.Later it
// stands for the final position.
type Pos int64

// Committed tells where a Write landed in the stream.
type Committed struct{ base int64 }

// At returns the final stream position of p.
func (c Committed) At(p Pos) int64 { return c.base + int64(p) }

// Insert describes rows of one table that are written together. Suffix is an
// ON CONFLICT clause or empty.
type Insert struct {
	Table, Columns, Suffix string
}

// text is the statement for n rows.
func (in *Insert) text(n int) string {
	columns := strings.Count(in.Columns, ",") + 1
	var b strings.Builder
	b.WriteString("INSERT INTO " + in.Table + " (" + in.Columns + ") VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for col := range columns {
			if col > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(row*columns + col + 1))
		}
		b.WriteByte(')')
	}
	if in.Suffix != "" {
		b.WriteString(" " + in.Suffix)
	}
	return b.String()
}

type deferredStatement struct {
	query string
	args  []any
}

type deferredRows struct {
	insert *Insert
	rows   [][]any
}

// Tx is the transaction of a group of writes.
type Tx struct {
	st      *statements
	wrote   bool // an immediate statement of the current Write changed rows
	broken  bool // a statement failed: on Postgres the whole transaction is void then
	changes []Change
	inserts []*deferredRows
	later   []deferredStatement
	// accountData is what was put, which is deferred, for those that change it again.
	accountData []AccountData
}

func (tx *Tx) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	rows, err := tx.st.query(ctx, query, args)
	tx.broken = tx.broken || err != nil
	return rows, err
}

// Exec runs a statement now and returns how many rows it changed. Use it
// where the outcome matters (compare-and-set, insert-or-fail); a round trip.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	n, err := tx.st.exec(ctx, query, args)
	tx.wrote = tx.wrote || n > 0
	tx.broken = tx.broken || err != nil
	return n, err
}

// Insert adds a row to those written at the end of the transaction, many to a
// statement. Rows of one *Insert keep their order; use one package-level
// *Insert for each statement.
func (tx *Tx) Insert(in *Insert, args ...any) {
	for _, d := range tx.inserts {
		if d.insert == in {
			d.rows = append(d.rows, args)
			return
		}
	}
	tx.inserts = append(tx.inserts, &deferredRows{in, [][]any{args}})
}

// Later runs a statement at the end of the transaction, after the inserts.
func (tx *Tx) Later(query string, args ...any) {
	tx.later = append(tx.later, deferredStatement{query, args})
}

// Change appends to the change log and returns its position.
func (tx *Tx) Change(c Change) Pos {
	tx.changes = append(tx.changes, c)
	return Pos(len(tx.changes))
}

// mark remembers how much is deferred, so that a failed Write leaves nothing.
type mark struct {
	changes, later, accountData int
	rows                        []int
}

func (tx *Tx) mark() mark {
	m := mark{changes: len(tx.changes), later: len(tx.later), accountData: len(tx.accountData)}
	for _, d := range tx.inserts {
		m.rows = append(m.rows, len(d.rows))
	}
	return m
}

func (tx *Tx) undo(m mark) {
	tx.changes, tx.later = tx.changes[:m.changes], tx.later[:m.later]
	tx.accountData = tx.accountData[:m.accountData]
	tx.inserts = tx.inserts[:len(m.rows)]
	for i, n := range m.rows {
		tx.inserts[i].rows = tx.inserts[i].rows[:n]
	}
}

// maxRows is how many rows one statement inserts at most.
const maxRows = 64

const takePositions = `UPDATE stream_head SET pos = pos + $1 WHERE one = 1 RETURNING pos`

var insertChange = &Insert{Table: "changes", Columns: "stream_pos, kind, room_nid, user_id, ref"}

// flush takes the stream positions, the last contended step, and writes what
// was deferred. It returns the position before the first change.
func (tx *Tx) flush(ctx context.Context) (int64, error) {
	var base int64
	if n := int64(len(tx.changes)); n > 0 {
		head, err := queryOne(ctx, tx, scanInt64, takePositions, n)
		if err != nil {
			return 0, err
		}
		base = head - n
	}
	for i := range tx.changes {
		c := &tx.changes[i]
		c.Pos = base + int64(i) + 1
		tx.Insert(insertChange, c.Pos, int64(c.Kind), c.RoomNID, c.UserID, c.Ref)
	}
	for _, d := range tx.inserts {
		if err := tx.flushRows(ctx, d, base); err != nil {
			return 0, err
		}
	}
	for _, d := range tx.later {
		if _, err := tx.st.exec(ctx, d.query, resolve(d.args, base)); err != nil {
			return 0, err
		}
	}
	return base, nil
}

// flushRows inserts in powers of two, so that few distinct texts are prepared.
func (tx *Tx) flushRows(ctx context.Context, d *deferredRows, base int64) error {
	for rows := d.rows; len(rows) > 0; {
		n := maxRows
		for n > len(rows) {
			n /= 2
		}
		args := make([]any, 0, n*len(rows[0]))
		for _, row := range rows[:n] {
			args = append(args, resolve(row, base)...)
		}
		if _, err := tx.st.exec(ctx, d.insert.text(n), args); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// resolve replaces positions by their final values, in place.
func resolve(args []any, base int64) []any {
	for i, a := range args {
		if p, ok := a.(Pos); ok {
			args[i] = base + int64(p)
		}
	}
	return args
}
