// SPDX-License-Identifier: Apache-2.0

// Package event is the pure core of a Matrix room: identifiers, canonical JSON,
// the table of room versions, and building, parsing, hashing, redacting, signing
// and verifying events, together with the authorisation rules and state resolution.
//
// Nothing here does I/O, reads a clock or starts a goroutine, and nothing panics,
// whatever the input: events come from servers that we do not trust.
package event

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// StateKey identifies one piece of room state.
type StateKey struct{ Type, Key string }

// StateMap is a room state: which event set each key.
type StateMap = map[StateKey]EventID

// Reference points at another event. Hash is its reference hash (sha256), which
// only room versions 1 and 2 write into the pointing event.
type Reference struct {
	ID   EventID
	Hash []byte
}

// Event is an immutable room event (PDU). Make one with Rules.Build, Rules.Parse
// or Rules.Load. It is safe for use by several goroutines, and every slice that
// a method returns belongs to the event: callers must not change it.
type Event struct {
	rules    *Rules
	id       EventID
	raw      []byte // canonical JSON; strings and slices below point into it
	roomID   RoomID
	typ      string
	stateKey string
	sender   UserID
	content  []byte
	unsigned []byte
	depth    int64
	ts       int64
	prev     []EventID
	auth     []EventID
	has      field

	facts atomic.Pointer[authFacts] // what authFacts read, once
}

// field is a set of the top-level members that an event has.
type field uint16

const (
	hasAuthEvents field = 1 << iota
	hasContent
	hasDepth
	hasEventID
	hasHashes
	hasTimestamp
	hasPrevEvents
	hasRoomID
	hasSender
	hasSignatures
	hasStateKey
	hasType
)

// Load reads an event of our own database: raw is the JSON that an earlier event
// returned, and belongs to the event from now on. It is cheap, one pass without
// hashing or verifying, so it must never see what a peer sent. Malformed JSON
// gives ErrBadJSON.
func (r *Rules) Load(id EventID, raw []byte) (*Event, error) {
	e := &Event{rules: r, id: id, raw: raw}
	if err := e.read(); err != nil {
		return nil, fmt.Errorf("load event %s: %w", id, err)
	}
	e.nameRoom()
	return e, nil
}

// ID returns the event id.
func (e *Event) ID() EventID { return e.id }

// RoomID returns the room; for a create event of version 12 the room that it makes.
func (e *Event) RoomID() RoomID { return e.roomID }

// Type returns the event type.
func (e *Event) Type() string { return e.typ }

// StateKey returns the state key; false if this is no state event.
func (e *Event) StateKey() (string, bool) { return e.stateKey, e.has&hasStateKey != 0 }

// IsState reports whether the event sets key.
func (e *Event) IsState(key StateKey) bool {
	return e.has&hasStateKey != 0 && e.typ == key.Type && e.stateKey == key.Key
}

// Tuple returns type and state key. Meaningful for state events only: for others
// the key is empty.
func (e *Event) Tuple() StateKey { return StateKey{Type: e.typ, Key: e.stateKey} }

// Sender returns who sent the event.
func (e *Event) Sender() UserID { return e.sender }

// Content returns the content, a JSON object in canonical form.
func (e *Event) Content() []byte { return e.content }

// OriginServerTS returns the time that the sender's server claims, unix milliseconds.
func (e *Event) OriginServerTS() int64 { return e.ts }

// Depth returns the depth, 0 to Rules.MaxDepth.
func (e *Event) Depth() int64 { return e.depth }

// PrevEvents returns the events before this one.
func (e *Event) PrevEvents() []EventID { return e.prev }

// AuthEvents returns the events that authorise this one, as listed: in version 12
// the create event is not among them.
func (e *Event) AuthEvents() []EventID { return e.auth }

// Redacts returns the event that this one redacts; "" if it is no redaction, is
// itself redacted, or names none.
func (e *Event) Redacts() EventID {
	if e.typ != typeRedaction {
		return ""
	}
	raw := e.raw
	if e.rules.RedactsInContent {
		raw = e.content
	}
	o, _ := ParseObject(raw)
	id, _ := o.String("redacts")
	return EventID(id)
}

// Rules returns the rules of the room's version.
func (e *Event) Rules() *Rules { return e.rules }

// JSON returns the event in the federation format and canonical form. It has an
// unsigned member only if the event was built with one.
func (e *Event) JSON() []byte { return e.raw }

// Reference returns a pointer to this event for another's prev_events or
// auth_events, with the reference hash in versions 1 and 2.
func (e *Event) Reference() Reference {
	ref := Reference{ID: e.id}
	if e.rules.EventIDFormat == EventIDField {
		hash := e.referenceHash()
		ref.Hash = hash[:]
	}
	return ref
}

// Unsigned returns the unsigned object, nil if there is none. What a peer put
// there is its claim alone: no signature covers it.
func (e *Event) Unsigned() []byte { return e.unsigned }

// Membership returns content.membership of an m.room.member event, "" otherwise.
func (e *Event) Membership() string {
	if e.typ != typeMember {
		return ""
	}
	o, _ := ParseObject(e.content)
	membership, _ := o.String(keyMembership)
	return membership
}

// isCreate reports whether this is the event that makes the room.
func (e *Event) isCreate() bool {
	return e.typ == typeCreate && e.has&hasStateKey != 0 && e.stateKey == ""
}

// nameRoom gives a create event of version 12 its room id (MSC4291).
func (e *Event) nameRoom() {
	if e.rules.RoomIDIsCreateHash && e.isCreate() && len(e.id) > 0 {
		e.roomID = RoomID("!" + string(e.id[1:]))
	}
}

// read fills the fields from e.raw, and checks their JSON types but nothing else.
func (e *Event) read() error {
	o, ok := ParseObject(e.raw)
	if !ok {
		return fmt.Errorf("%w: the event is no object", ErrBadJSON)
	}
	var prev, auth []byte
	for m := firstEntry(o.raw); m.ok; m = m.next(o.raw) {
		switch view(m.key) {
		case `"prev_events"`:
			prev = m.value
		case `"auth_events"`:
			auth = m.value
		default:
			if err := e.readMember(m); err != nil {
				return err
			}
		}
	}
	return e.readReferences(prev, auth)
}

func (e *Event) readMember(m entry) error {
	ok, want, what := true, field(0), "a string"
	var s string
	switch view(m.key) {
	case `"content"`:
		e.content, what, want = m.value, "an object", hasContent
		ok = isObject(m.value)
	case `"depth"`:
		e.depth, ok = IntValue(m.value)
		what, want = "an integer", hasDepth
	case `"event_id"`:
		s, ok = StringValue(m.value)
		want = hasEventID
		if e.id == "" {
			e.id = EventID(s)
		}
	case `"hashes"`:
		ok, what, want = isObject(m.value), "an object", hasHashes
	case `"origin_server_ts"`:
		e.ts, ok = IntValue(m.value)
		what, want = "an integer", hasTimestamp
	case `"room_id"`:
		s, ok = StringValue(m.value)
		e.roomID, want = RoomID(s), hasRoomID
	case `"sender"`:
		s, ok = StringValue(m.value)
		e.sender, want = UserID(s), hasSender
	case `"signatures"`:
		ok, what, want = isObject(m.value), "an object", hasSignatures
	case `"state_key"`:
		e.stateKey, ok = StringValue(m.value)
		want = hasStateKey
	case `"type"`:
		e.typ, ok = StringValue(m.value)
		want = hasType
	case `"unsigned"`:
		e.unsigned, what = m.value, "an object"
		ok = isObject(m.value)
	}
	if !ok {
		return fmt.Errorf("%w: %s is not %s", ErrBadJSON, m.key, what)
	}
	e.has |= want
	return nil
}

func isObject(v []byte) bool {
	_, ok := ParseObject(v)
	return ok
}

// readReferences fills prev and auth, which share one array.
func (e *Event) readReferences(prev, auth []byte) error {
	// Every reference has a "$", and ids hold few others: a good estimate.
	ids := make([]EventID, 0, bytes.Count(prev, []byte{'$'})+bytes.Count(auth, []byte{'$'}))
	ids, ok := e.rules.appendReferences(ids, prev)
	if !ok {
		return fmt.Errorf("%w: prev_events is no list of events", ErrBadJSON)
	}
	n := len(ids)
	if ids, ok = e.rules.appendReferences(ids, auth); !ok {
		return fmt.Errorf("%w: auth_events is no list of events", ErrBadJSON)
	}
	e.prev, e.auth = ids[:n:n], ids[n:]
	if prev != nil {
		e.has |= hasPrevEvents
	}
	if auth != nil {
		e.has |= hasAuthEvents
	}
	return nil
}

// appendReferences reads [id, ...], or [[id, {"sha256": hash}], ...] in versions 1 and 2.
func (r *Rules) appendReferences(ids []EventID, list []byte) ([]EventID, bool) {
	if list == nil {
		return ids, true
	}
	valid := true
	isList := EachElement(list, func(v []byte) bool {
		if r.EventIDFormat == EventIDField {
			v, valid = firstOfPair(v)
		}
		id, ok := StringValue(v)
		valid = valid && ok
		ids = append(ids, EventID(id))
		return valid
	})
	return ids, isList && valid
}

// firstOfPair returns the id of a reference of versions 1 and 2.
func firstOfPair(pair []byte) ([]byte, bool) {
	var id []byte
	n, hashed := 0, false
	EachElement(pair, func(v []byte) bool {
		if n++; n == 1 {
			id = v
		}
		hashed = isReferenceHash(v)
		return true
	})
	return id, n == 2 && hashed
}

// isReferenceHash reports whether v could be the hash of a reference. Nobody
// compares it with the event, but other servers refuse one that is not base64.
func isReferenceHash(v []byte) bool {
	o, ok := ParseObject(v)
	if !ok {
		return false
	}
	raw, present := o.Get("sha256")
	hash, isText := StringValue(raw)
	return !present || isText && isBase64(hash)
}
