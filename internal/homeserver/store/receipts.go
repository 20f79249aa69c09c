// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Receipt says how far a user has read a room.
type Receipt struct {
	RoomNID int64
	UserID  string
	// Type is m.read or m.read.private.
	Type string
	// Thread is a thread root's event id, "main", or "" for an unthreaded receipt.
	Thread  string
	EventID string
	// EventPos is where the event lies in the stream; a receipt never moves back.
	EventPos int64
	// TS is when the user sent it, in milliseconds since 1970.
	TS        int64
	StreamPos int64
}

// Refs of ChangeReceipt.
const (
	// ReceiptPublic: everybody in the room gets to see it.
	ReceiptPublic int64 = 0
	// ReceiptPrivate: only its sender does.
	ReceiptPrivate int64 = 1
)

// ReceiptTypePrivate is the type of receipts that only their sender sees.
const ReceiptTypePrivate = "m.read.private"

const (
	upsertReceipt = `INSERT INTO receipts (room_nid, user_id, type, thread, event_id, event_pos, ts, stream_pos) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (room_nid, user_id, type, thread) DO UPDATE
	SET event_id = excluded.event_id, event_pos = excluded.event_pos, ts = excluded.ts, stream_pos = excluded.stream_pos
	WHERE excluded.event_pos > receipts.event_pos`
	selectReceiptPos  = `SELECT event_pos FROM receipts WHERE room_nid = $1 AND user_id = $2 AND type = $3 AND thread = $4`
	selectOwnReceipts = `SELECT thread, MAX(event_pos) FROM receipts WHERE room_nid = $1 AND user_id = $2 GROUP BY thread`
	selectReceipts    = `SELECT room_nid, user_id, type, thread, event_id, event_pos, ts, stream_pos FROM receipts
	WHERE room_nid = $1 AND stream_pos > $2 AND stream_pos <= $3 ORDER BY stream_pos`
)

// PutReceipts stores receipts, and the read marker unless it is nil, in one
// transaction. What would move back is left as it is.
func (s *Store) PutReceipts(ctx context.Context, receipts []Receipt, marker *AccountData) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for _, r := range receipts {
			ref := ReceiptPublic
			if r.Type == ReceiptTypePrivate {
				ref = ReceiptPrivate
			}
			pos := tx.Change(Change{Kind: ChangeReceipt, RoomNID: r.RoomNID, UserID: r.UserID, Ref: ref})
			tx.Later(upsertReceipt, r.RoomNID, r.UserID, r.Type, []byte(r.Thread), r.EventID, r.EventPos, r.TS, pos)
		}
		if marker != nil {
			tx.putAccountData(*marker)
		}
		return nil
	})
}

// ReceiptPos returns the position of the event that a receipt points at, or ErrNotFound.
func (s *Store) ReceiptPos(ctx context.Context, r Receipt) (int64, error) {
	return queryOne(ctx, s, scanInt64, selectReceiptPos, r.RoomNID, r.UserID, r.Type, []byte(r.Thread))
}

func scanReceipt(row scanner) (Receipt, error) {
	var r Receipt
	var thread []byte
	err := row.Scan(&r.RoomNID, &r.UserID, &r.Type, &thread, &r.EventID, &r.EventPos, &r.TS, &r.StreamPos)
	r.Thread = string(thread)
	return r, err
}

// ReceiptsBetween returns the receipts of a room that were set with from < position <= to, private ones of everybody included.
func (s *Store) ReceiptsBetween(ctx context.Context, roomNID, from, to int64) ([]Receipt, error) {
	return queryAll(ctx, s, scanReceipt, selectReceipts, roomNID, from, to)
}

// OwnReceipts returns how far a user has read a room, publicly or not, by thread: "" is the whole room.
func (s *Store) OwnReceipts(ctx context.Context, roomNID int64, user string) (map[string]int64, error) {
	type place struct {
		thread []byte
		pos    int64
	}
	found, err := queryAll(ctx, s, func(row scanner) (place, error) {
		var p place
		return p, row.Scan(&p.thread, &p.pos)
	}, selectOwnReceipts, roomNID, user)
	places := make(map[string]int64, len(found))
	for _, p := range found {
		places[string(p.thread)] = p.pos
	}
	return places, err
}
