// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
)

// Event is an event as it is stored.
type Event struct {
	NID     int64
	ID      string
	RoomNID int64
	Type    string
	// StateKeyID is the interned type and state key of a state event, else 0.
	StateKeyID int64
	Sender     string
	Depth      int64
	OriginTS   int64
	// StreamPos is known after the commit only.
	StreamPos int64
	// StateNID is the state before the event, 0 if unknown.
	StateNID int64
	// ReplacesNID is the event that had the state key before, 0 if none.
	ReplacesNID int64
	// RedactedBy is the redaction of the event, 0 if none.
	RedactedBy int64
	// Txn is the request that a local user sent the event with, nil if there
	// was none; TxnID its transaction id.
	Txn   *TxnKey
	TxnID string
	JSON  []byte
}

// What is selected of an event: what its JSON says it does not need to say again.
const (
	eventColumns = `event_nid, event_id, room_nid, sender, stream_pos, state_nid, replaces_nid, redacted_by,
	txn_device, txn_id, json`
	selectEvents    = `SELECT ` + eventColumns + ` FROM events WHERE event_nid IN `
	selectEventByID = `SELECT event_nid FROM events WHERE event_id = $1`
	// The timeline leaves out what is stored for reference only (position 0).
	selectTimelineForward = `SELECT event_nid FROM events
	WHERE room_nid = $1 AND stream_pos > $2 AND stream_pos <= $3 AND stream_pos <> 0 ORDER BY stream_pos LIMIT $4`
	selectTimelineBackward = `SELECT event_nid FROM events
	WHERE room_nid = $1 AND stream_pos > $2 AND stream_pos <= $3 AND stream_pos <> 0 ORDER BY stream_pos DESC LIMIT $4`
	redactEvent = `UPDATE events SET json = $1, redacted_by = $2 WHERE event_nid = $3 AND redacted_by = 0`
)

var insertEvent = &Insert{
	Table: "events",
	Columns: "event_nid, event_id, room_nid, type, skid, sender, depth, origin_ts, stream_pos, state_nid, " +
		"replaces_nid, redacted_by, flags, txn, txn_device, txn_id, json",
}

func scanEvent(row scanner) (Event, error) {
	var e Event
	var device, id []byte
	err := row.Scan(&e.NID, &e.ID, &e.RoomNID, &e.Sender, &e.StreamPos, &e.StateNID, &e.ReplacesNID, &e.RedactedBy,
		&device, &id, &e.JSON)
	if id != nil {
		e.Txn, e.TxnID = &TxnKey{UserID: e.Sender, DeviceID: string(device)}, string(id)
	}
	return e, err
}

// EventsByNID returns the events that exist, in no particular order. Of Txn
// only UserID and DeviceID are known, and Type, StateKeyID, Depth and OriginTS
// are left to the JSON.
func (s *Store) EventsByNID(ctx context.Context, nids []int64) ([]Event, error) {
	var all []Event
	for chunk := range slices.Chunk(nids, maxList) {
		found, err := queryAll(ctx, s, scanEvent, selectEvents+list(1, len(chunk)), listArgs(nil, chunk)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// EventNID returns the number of an event, or ErrNotFound.
func (s *Store) EventNID(ctx context.Context, id string) (int64, error) {
	return queryOne(ctx, s, scanInt64, selectEventByID, id)
}

// TimelineNIDs returns the events of the room with from < position <= to, oldest first
// or newest first, at most limit.
func (s *Store) TimelineNIDs(ctx context.Context, q TimelineQuery) ([]int64, error) {
	query := selectTimelineForward
	if q.Backwards {
		query = selectTimelineBackward
	}
	return queryAll(ctx, s, scanInt64, query, q.RoomNID, q.From, q.To, q.Limit)
}

// TimelineQuery asks for a part of a room's timeline.
type TimelineQuery struct {
	RoomNID, From, To int64
	Limit             int
	Backwards         bool
}

// InsertEvent adds an event at the position pos, that of its change. A
// request (Txn) that sent an event before makes the Write fail with ErrExists.
func (tx *Tx) InsertEvent(e *Event, pos Pos) {
	var txn, device, id any
	if e.Txn != nil {
		txn, device, id = e.Txn.hash(), []byte(e.Txn.DeviceID), []byte(e.TxnID)
	}
	tx.Insert(insertEvent, e.NID, e.ID, e.RoomNID, []byte(e.Type), e.StateKeyID, e.Sender, e.Depth, e.OriginTS, pos,
		e.StateNID, e.ReplacesNID, e.RedactedBy, int64(0), txn, device, id, e.JSON)
}

// RedactEvent replaces the JSON of the event target by that of the stripped
// event, unless it was redacted before.
func (tx *Tx) RedactEvent(target, redaction int64, stripped []byte) {
	tx.Later(redactEvent, stripped, redaction, target)
}

// RoomPlace is a position in a room's timeline.
type RoomPlace struct{ RoomNID, Pos int64 }

const selectNewest = `SELECT room_nid, COALESCE((SELECT MAX(e.stream_pos) FROM events e
	WHERE e.room_nid = m.room_nid AND e.stream_pos <= $1), 0) FROM memberships m WHERE m.user_id = $2 AND m.membership = 'join'`

// NewestInJoinedRooms returns the newest event up to a position of each room that a user is joined to.
func (s *Store) NewestInJoinedRooms(ctx context.Context, user string, to int64) ([]RoomPlace, error) {
	return queryAll(ctx, s, func(row scanner) (RoomPlace, error) {
		var p RoomPlace
		return p, row.Scan(&p.RoomNID, &p.Pos)
	}, selectNewest, to, user)
}
