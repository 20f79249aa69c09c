// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

var eventInvariants = []invariant{
	{"an event is of no room", `SELECT e.event_id, e.room_nid FROM events e
		WHERE NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_nid = e.room_nid)`, doRestore},
	{"the state before an event is missing", `SELECT e.event_id, e.state_nid FROM events e WHERE e.state_nid <> 0
		AND NOT EXISTS (SELECT 1 FROM state s WHERE s.state_nid = e.state_nid AND s.room_nid = e.room_nid)`, doRestore},
	{"the state that an event sets is not named", `SELECT e.event_id, e.skid FROM events e WHERE e.skid <> 0
		AND NOT EXISTS (SELECT 1 FROM state_keys k WHERE k.skid = e.skid)`, doRestore},
	{"what an event replaced is missing", `SELECT e.event_id, e.replaces_nid FROM events e WHERE e.replaces_nid <> 0 AND NOT EXISTS
		(SELECT 1 FROM events o WHERE o.event_nid = e.replaces_nid AND o.room_nid = e.room_nid AND o.skid = e.skid)`, doRestore},
	{"the redaction of an event is missing", `SELECT e.event_id, e.redacted_by FROM events e WHERE e.redacted_by <> 0
		AND NOT EXISTS (SELECT 1 FROM events o WHERE o.event_nid = e.redacted_by AND o.room_nid = e.room_nid)`, doRestore},
}

const (
	pageSize = 200
	// hashSample is of about how many events hashes are recomputed, unless it is of all.
	hashSample = 10_000

	selectEventPage = `SELECT e.event_nid, e.event_id, e.room_nid, r.room_id, r.version, e.type, k.type, k.state_key, e.skid,
	e.sender, e.depth, e.origin_ts, e.stream_pos, e.redacted_by, e.json
	FROM events e JOIN rooms r ON r.room_nid = e.room_nid LEFT JOIN state_keys k ON k.skid = e.skid
	WHERE e.event_nid > $1 ORDER BY e.event_nid LIMIT $2`
	selectPlaces = `SELECT event_id, room_nid FROM events WHERE event_id IN `
)

// storedEvent is an event as the columns have it.
type storedEvent struct {
	nid, roomNID, skid, depth, ts, pos, redactedBy int64
	id, roomID, version, sender                    string
	typ, keyType, key, json                        []byte
}

func (e *storedEvent) scan(rows *sql.Rows) error {
	return rows.Scan(&e.nid, &e.id, &e.roomNID, &e.roomID, &e.version, &e.typ, &e.keyType, &e.key, &e.skid,
		&e.sender, &e.depth, &e.ts, &e.pos, &e.redactedBy, &e.json)
}

// events reads every event, a page at a time.
func (c *checker) events(ctx context.Context) error {
	if err := c.hold(ctx, eventInvariants); err != nil {
		return err
	}
	every := int64(1)
	if !c.Full {
		err := c.Each(ctx, `SELECT COUNT(*) FROM events`, nil, func(rows *sql.Rows) error { return rows.Scan(&every) })
		if err != nil {
			return err
		}
		every = every/hashSample + 1
	}
	last := int64(-1)
	for {
		var page []storedEvent
		err := c.Each(ctx, selectEventPage, []any{last, pageSize}, func(rows *sql.Rows) error {
			page = append(page, storedEvent{})
			return page[len(page)-1].scan(rows)
		})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.eventPage(ctx, page, every); err != nil {
			return err
		}
		last = page[len(page)-1].nid
	}
}

// eventPage checks some events and that what they refer to is there.
func (c *checker) eventPage(ctx context.Context, page []storedEvent, every int64) error {
	needed := map[string][]*storedEvent{}
	for i := range page {
		e := &page[i]
		rules, ok := event.RulesFor(event.RoomVersion(e.version))
		if !ok {
			if err := c.wrong(e, "an event is of a room whose version is unknown"); err != nil {
				return err
			}
			continue
		}
		parsed, err := rules.Load(event.EventID(e.id), e.json)
		if err != nil {
			err = c.wrong(e, "an event cannot be read")
		} else {
			err = c.event(e, parsed, c.counts.Events%every == 0)
			for _, id := range e.needs(parsed) {
				needed[string(id)] = append(needed[string(id)], e)
			}
		}
		if err != nil {
			return err
		}
		c.counts.Events++
	}
	return c.references(ctx, needed)
}

func (c *checker) wrong(e *storedEvent, what string) error {
	return c.found(Finding{What: what, Where: "event_id=" + e.id + " room=" + e.roomID, Do: doRestore})
}

// needs lists the events that this one refers to and that must be there: of
// an event in the stream both kinds, of one that is kept for reference none.
func (e *storedEvent) needs(parsed *event.Event) []event.EventID {
	if e.pos == 0 {
		return nil
	}
	needs := parsed.AuthEvents()
	if e.pos > 0 {
		needs = append(needs[:len(needs):len(needs)], parsed.PrevEvents()...)
	}
	return needs
}

// references checks that the events exist in the rooms of those that need them.
func (c *checker) references(ctx context.Context, needed map[string][]*storedEvent) error {
	ids := make([]string, 0, len(needed))
	for id := range needed {
		ids = append(ids, id)
	}
	rooms := make(map[string]int64, len(needed))
	err := store.EachOf(ctx, c.Snapshot, selectPlaces, ids, func(rows *sql.Rows) error {
		var id string
		var room int64
		err := rows.Scan(&id, &room)
		rooms[id] = room
		return err
	})
	if err != nil {
		return err
	}
	for id, by := range needed {
		for _, e := range by {
			if rooms[id] == e.roomNID {
				continue
			}
			where := fmt.Sprintf("event_id=%s needs=%s room=%s", e.id, id, e.roomID)
			if err := c.found(Finding{What: "an event refers to one that is missing in its room", Where: where, Do: doRestore}); err != nil {
				return err
			}
		}
	}
	return nil
}

// event compares the columns with the JSON, and the JSON with its hashes.
func (c *checker) event(e *storedEvent, parsed *event.Event, hashes bool) error {
	key, isState := parsed.StateKey()
	same := string(parsed.Sender()) == e.sender && parsed.Type() == string(e.typ) && parsed.Depth() == e.depth &&
		parsed.OriginServerTS() == e.ts && string(parsed.RoomID()) == e.roomID && isState == (e.skid != 0)
	if isState {
		same = same && key == string(e.key) && parsed.Type() == string(e.keyType)
	}
	if !same {
		if err := c.wrong(e, "an event's columns differ from its JSON"); err != nil {
			return err
		}
	}
	if !hashes {
		return nil
	}
	c.counts.Hashed++
	again, err := parsed.Rules().Parse(e.json)
	if err != nil {
		return c.wrong(e, "an event is not valid")
	}
	if string(again.ID()) != e.id {
		return c.wrong(e, "an event's id is not that of its content")
	}
	if e.redactedBy == 0 && !again.HashOK() {
		return c.wrong(e, "an event's content hash is wrong")
	}
	return nil
}
