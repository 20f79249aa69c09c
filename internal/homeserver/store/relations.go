// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// The types of relations that the store treats in their own way.
const (
	relThread    = "m.thread"
	relReplace   = "m.replace"
	relReference = "m.reference"
)

// Relation says that an event points at another one of its room.
type Relation struct {
	EventNID, RoomNID int64
	EventID           string
	// RelatesTo is the event pointed at, which need not exist.
	RelatesTo     string
	RelType, Type string
	Sender        string
	OriginTS      int64
	// Edit: the event may replace another one of its sender and type.
	Edit bool
	// Annotation, if not nil, is unique: a Write with one that exists fails with ErrExists.
	Annotation []byte
}

var insertRelation = &Insert{
	Table:   "relations",
	Columns: "event_nid, event_id, room_nid, relates_to, rel_type, type, sender, origin_ts, stream_pos, edits, annotation",
}

const (
	deleteRelation = `DELETE FROM relations WHERE event_nid = $1`
	addToThread    = `INSERT INTO threads (room_nid, root_id, sender, n, last_pos, last_nid) VALUES ($1, $2, $3, 1, $4, $5)
	ON CONFLICT (room_nid, root_id, sender) DO UPDATE SET n = threads.n + 1,
	last_nid = CASE WHEN excluded.last_pos > threads.last_pos THEN excluded.last_nid ELSE threads.last_nid END,
	last_pos = CASE WHEN excluded.last_pos > threads.last_pos THEN excluded.last_pos ELSE threads.last_pos END`
	// Of two redactions of one event the second finds nothing to take away.
	shrinkThread = `UPDATE threads SET n = n - 1 WHERE room_nid = $1 AND root_id = $2 AND sender = $3
	AND EXISTS (SELECT 1 FROM relations WHERE event_nid = $4)`
	dropThread   = `DELETE FROM threads WHERE room_nid = $1 AND root_id = $2 AND sender = $3 AND n = 0`
	rewindThread = `UPDATE threads SET (last_pos, last_nid) = (SELECT stream_pos, event_nid FROM relations
		WHERE room_nid = $1 AND relates_to = $2 AND rel_type = $5 AND sender = $3 ORDER BY stream_pos DESC LIMIT 1)
	WHERE room_nid = $1 AND root_id = $2 AND sender = $3 AND last_nid = $4`
	selectAnnotation = `SELECT 1 FROM relations WHERE annotation = $1`
)

// RelationRef is the Ref of changes that concern what points at the event id.
// Different events may share it.
func RelationRef(id string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return int64(h.Sum64() >> 1)
}

// InsertRelation adds a relation of an event at the position pos.
func (tx *Tx) InsertRelation(r *Relation, pos Pos) {
	var annotation any
	if r.Annotation != nil {
		annotation = r.Annotation
	}
	tx.Insert(insertRelation, r.EventNID, r.EventID, r.RoomNID, r.RelatesTo, []byte(r.RelType), []byte(r.Type), r.Sender,
		r.OriginTS, pos, flag(r.Edit), annotation)
	if r.RelType == relThread {
		tx.Later(addToThread, r.RoomNID, r.RelatesTo, r.Sender, pos, r.EventNID)
	}
	tx.relationChanged(r)
}

// DeleteRelation removes the relation of an event that was redacted. The
// relations of a group of writes are there before any of this runs, so a
// thread is changed by one and never counted anew: that would count those
// twice whose turn comes later.
func (tx *Tx) DeleteRelation(r *Relation) {
	isThread := r.RelType == relThread
	if isThread {
		tx.Later(shrinkThread, r.RoomNID, r.RelatesTo, r.Sender, r.EventNID)
	}
	tx.Later(deleteRelation, r.EventNID)
	if isThread {
		tx.Later(dropThread, r.RoomNID, r.RelatesTo, r.Sender)
		tx.Later(rewindThread, r.RoomNID, r.RelatesTo, r.Sender, r.EventNID, []byte(relThread))
	}
	tx.relationChanged(r)
}

func (tx *Tx) relationChanged(r *Relation) {
	tx.Change(Change{Kind: ChangeRelation, RoomNID: r.RoomNID, Ref: RelationRef(r.RelatesTo)})
}

// HasAnnotation reports whether there is a relation with that Annotation.
func (s *Store) HasAnnotation(ctx context.Context, annotation []byte) (bool, error) {
	found, err := queryAll(ctx, s, scanInt64, selectAnnotation, annotation)
	return len(found) > 0, err
}

// Child is an event that points at another one.
type Child struct {
	RelatesTo, RelType string
	EventID, Sender    string
	NID, StreamPos     int64
	// Count is how many there are of the sender; of threads only, where the
	// Child is the last of them.
	Count int64
}

// maxReferences is how many references to one event are returned, the newest.
const maxReferences = 100

// What aggregates are made of: of each thread the last of every sender, the
// newest event that may replace, and references. $1 is the room, and the list
// the events pointed at.
const (
	selectAggregates = `SELECT t.root_id, CAST($2 AS BYTEA), e.event_id, t.sender, t.last_nid, t.last_pos, t.n
	FROM threads t JOIN events e ON e.event_nid = t.last_nid WHERE t.room_nid = $1 AND t.root_id IN `
	selectEdits = ` UNION ALL SELECT relates_to, rel_type, event_id, sender, event_nid, stream_pos, 0 FROM (
		SELECT r.relates_to, r.rel_type, r.event_id, r.sender, r.event_nid, r.stream_pos,
		ROW_NUMBER() OVER (PARTITION BY r.relates_to ORDER BY r.origin_ts DESC, r.event_id DESC) AS place
		FROM relations r JOIN events e ON e.event_id = r.relates_to
		WHERE r.room_nid = $1 AND e.room_nid = $1 AND e.sender = r.sender AND e.type = r.type AND r.edits = 1
		AND r.rel_type = $3 AND r.relates_to IN `
	selectReferences = `) edits WHERE place = 1
	UNION ALL SELECT relates_to, rel_type, event_id, sender, event_nid, stream_pos, 0 FROM (
		SELECT r.relates_to, r.rel_type, r.event_id, r.sender, r.event_nid, r.stream_pos,
		ROW_NUMBER() OVER (PARTITION BY r.relates_to ORDER BY r.stream_pos DESC) AS place
		FROM relations r WHERE r.room_nid = $1 AND r.rel_type = $4 AND r.relates_to IN `
	endAggregates  = `) refs WHERE place <= $5 ORDER BY 1, 6`
	selectChildren = `SELECT relates_to, rel_type, event_id, sender, event_nid, stream_pos, 0 FROM (
		SELECT r.relates_to, r.rel_type, r.event_id, r.sender, r.event_nid, r.stream_pos,
		ROW_NUMBER() OVER (PARTITION BY r.relates_to, r.rel_type ORDER BY r.stream_pos DESC) AS place
		FROM relations r WHERE r.room_nid = $1 AND r.rel_type IN ($2, $3, $4) AND r.relates_to IN `
	endChildren = `) children WHERE place <= $5 ORDER BY 1, 6`
)

func scanChild(row scanner) (Child, error) {
	var c Child
	var relType []byte
	err := row.Scan(&c.RelatesTo, &relType, &c.EventID, &c.Sender, &c.NID, &c.StreamPos, &c.Count)
	c.RelType = string(relType)
	return c, err
}

// Aggregates returns for many events of a room what points at them, as far as
// it is aggregated: one Child for each sender in a thread, the newest valid
// replacement, and the newest references. In the order of the stream.
func (s *Store) Aggregates(ctx context.Context, roomNID int64, ids []string) ([]Child, error) {
	return s.children(ctx, roomNID, ids, maxReferences, func(targets string) string {
		return selectAggregates + targets + selectEdits + targets + selectReferences + targets + endAggregates
	})
}

// Children returns for many events of a room the newest limit events of each
// type of relation that point at them, in the order of the stream.
func (s *Store) Children(ctx context.Context, roomNID int64, ids []string, limit int) ([]Child, error) {
	return s.children(ctx, roomNID, ids, limit, func(targets string) string {
		return selectChildren + targets + endChildren
	})
}

func (s *Store) children(ctx context.Context, roomNID int64, ids []string, limit int, query func(targets string) string) ([]Child, error) {
	var all []Child
	args := []any{roomNID, []byte(relThread), []byte(relReplace), []byte(relReference), limit}
	for chunk := range slices.Chunk(ids, maxList) {
		targets := list(len(args)+1, len(chunk))
		found, err := queryAll(ctx, s, scanChild, query(targets), listArgs(slices.Clone(args), chunk)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// RelationQuery asks for the events that point at an event, with From <
// position <= To.
type RelationQuery struct {
	RoomNID   int64
	RelatesTo string
	// RelType and Type are the only ones wanted; nil for all.
	RelType, Type *string
	From, To      int64
	Backwards     bool
	Limit         int
	// Depth is over how many events to come to them; 1 is directly.
	Depth int
}

// Place is an event and its position.
type Place struct{ NID, StreamPos int64 }

// The events that point at $2 directly, and those that they lead to over up to
// $6 steps; what stands in for %s restricts both.
const (
	selectRelated   = `SELECT r.event_nid, r.stream_pos FROM relations r WHERE r.room_nid = $1 AND r.relates_to = $2`
	selectRelatives = `WITH RECURSIVE related (event_id, event_nid, stream_pos, depth) AS (
		SELECT r.event_id, r.event_nid, r.stream_pos, CAST(1 AS BIGINT) FROM relations r
		WHERE r.room_nid = $1 AND r.relates_to = $2%s
		UNION SELECT r.event_id, r.event_nid, r.stream_pos, related.depth + 1 FROM related
		JOIN relations r ON r.room_nid = $1 AND r.relates_to = related.event_id
		WHERE related.depth < $6%s)
	SELECT DISTINCT event_nid, stream_pos FROM related WHERE TRUE`
	relatedBetween = ` AND stream_pos > $3 AND stream_pos <= $4 ORDER BY stream_pos`
)

// text is the query and its arguments.
func (q *RelationQuery) text() (query string, args []any) {
	args = []any{q.RoomNID, q.RelatesTo, q.From, q.To, q.Limit}
	if q.Depth > 1 {
		args = append(args, q.Depth)
	}
	wanted := ""
	restrict := func(column string, value *string) {
		if value != nil {
			args = append(args, []byte(*value))
			wanted += " AND " + column + " = $" + strconv.Itoa(len(args))
		}
	}
	restrict("r.rel_type", q.RelType)
	restrict("r.type", q.Type)
	query = selectRelated + wanted
	if q.Depth > 1 {
		query = strings.ReplaceAll(selectRelatives, "%s", wanted)
	}
	query += relatedBetween
	if q.Backwards {
		query += " DESC"
	}
	return query + " LIMIT $5", args
}

func scanPlace(row scanner) (Place, error) {
	var p Place
	return p, row.Scan(&p.NID, &p.StreamPos)
}

// Related returns the events that a query asks for.
func (s *Store) Related(ctx context.Context, q RelationQuery) ([]Place, error) {
	query, args := q.text()
	return queryAll(ctx, s, scanPlace, query, args...)
}

// maxLookBack is how much of the log RelatedAfter looks at.
const maxLookBack = 512

// RelatedAfter reports whether a relation in the room was added or removed
// after pos. known is false if that cannot be told from the log in memory.
func (l *Log) RelatedAfter(roomNID, pos int64) (related, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if pos+1 < l.oldest || l.head-pos > maxLookBack {
		return false, false
	}
	for p := pos + 1; p <= l.head; p++ {
		if c := &l.ring[p%ringSize]; c.Kind == ChangeRelation && c.RoomNID == roomNID {
			return true, true
		}
	}
	return false, true
}
