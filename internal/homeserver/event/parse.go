// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	// maxEvent is the greatest size of an event in canonical form, signatures
	// included (client-server API, "Size limits").
	maxEvent = 65536
	// maxPrevEvents and maxAuthEvents bound the references (server-server API, PDU).
	maxPrevEvents = 20
	maxAuthEvents = 10
)

// Parse reads an untrusted event in the federation format and computes its id.
// It checks everything that needs no other event: the JSON (see Canonical; the
// last of a doubled member counts), the presence and type of every field, the
// grammar of the ids, the sizes, and in version 12 that a create event has no
// room_id and no other event lists it in auth_events. Neither the content hash
// nor any signature is verified: see HashOK, Signers and VerifySignature.
//
// unsigned is left out of JSON, because no signature covers it, but can be read
// with Unsigned. So are members that only the sender's database knows.
//
// The error is an ErrBadJSON, ErrTooLarge or ErrInvalidID.
func (r *Rules) Parse(raw []byte) (*Event, error) {
	canonical, err := canonicalise(raw, r.StrictCanonicalJSON, "unsigned")
	if err != nil {
		return nil, fmt.Errorf("parse event: %w", err)
	}
	o, ok := ParseObject(canonical)
	if !ok {
		return nil, fmt.Errorf("parse event: %w: the event is no object", ErrBadJSON)
	}
	unsigned, _ := o.Object("unsigned")
	unsigned.raw = bytes.Clone(unsigned.raw)
	kept := appendWithout(canonical[:0], canonical, r.foreign)
	if cap(kept) > 2*len(kept) {
		kept = bytes.Clone(kept) // events are cached: do not hold what was white space or unsigned
	}
	e := &Event{rules: r, raw: kept}
	if err := e.checked(); err != nil {
		return nil, fmt.Errorf("parse event: %w", err)
	}
	e.unsigned = unsigned.raw
	e.identify()
	return e, nil
}

// checked reads and checks e.raw, its size before anything is made of it.
func (e *Event) checked() error {
	if len(e.raw) > maxEvent {
		return fmt.Errorf("%w: the event has %d bytes, the limit is %d", ErrTooLarge, len(e.raw), maxEvent)
	}
	if err := e.read(); err != nil {
		return err
	}
	return e.check()
}

// foreign names the members that are dropped from a peer's event before it is
// hashed. All servers drop them: their own bookkeeping, leaked by accident, and
// event_id where the hash is the id.
func (r *Rules) foreign(key string) bool {
	switch key {
	case "unsigned", "age_ts", "destinations", "outlier":
		return true
	case "event_id":
		return r.EventIDFormat != EventIDField
	}
	return false
}

// identify sets the id from the reference hash, where that is the id.
func (e *Event) identify() {
	if e.rules.EventIDFormat != EventIDField {
		e.setID(e.referenceHash())
	}
}

// setID sets the id, and the room id of a create event of version 12.
func (e *Event) setID(hash [sha256.Size]byte) {
	encoding := base64.RawURLEncoding
	if e.rules.EventIDFormat == EventIDHash {
		encoding = base64.RawStdEncoding
	}
	id := make([]byte, 1, 44)
	id[0] = '$'
	e.id = EventID(view(encoding.AppendEncode(id, hash[:])))
	e.nameRoom()
}

// check verifies what read does not.
func (e *Event) check() error {
	if err := e.checkPresence(); err != nil {
		return err
	}
	if err := e.checkSizes(); err != nil {
		return err
	}
	if err := e.checkIDs(); err != nil {
		return err
	}
	if e.depth < 0 || e.depth > e.rules.MaxDepth {
		return fmt.Errorf("%w: depth %d is out of range", ErrBadJSON, e.depth)
	}
	return e.checkHashes()
}

func (e *Event) checkPresence() error {
	required := []struct {
		field field
		name  string
	}{
		{hasAuthEvents, "auth_events"},
		{hasContent, "content"},
		{hasDepth, "depth"},
		{hasEventID, "event_id"},
		{hasHashes, "hashes"},
		{hasTimestamp, "origin_server_ts"},
		{hasPrevEvents, "prev_events"},
		{hasRoomID, "room_id"},
		{hasSender, "sender"},
		{hasSignatures, "signatures"},
		{hasType, "type"},
	}
	has := e.has
	if e.rules.EventIDFormat != EventIDField {
		has |= hasEventID
	}
	if e.rules.RoomIDIsCreateHash && e.isCreate() {
		if has&hasRoomID != 0 {
			return fmt.Errorf("%w: a create event of version %s has a room_id", ErrBadJSON, e.rules.Version)
		}
		has |= hasRoomID
	}
	for _, r := range required {
		if has&r.field == 0 {
			return fmt.Errorf("%w: %s is missing", ErrBadJSON, r.name)
		}
	}
	return nil
}

func (e *Event) checkSizes() error {
	for _, f := range []struct{ name, value string }{
		{"type", e.typ},
		{"state_key", e.stateKey},
		{"sender", string(e.sender)},
		{"room_id", string(e.roomID)},
		{"event_id", string(e.id)},
	} {
		if len(f.value) > maxID {
			return fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLarge, f.name, len(f.value), maxID)
		}
	}
	if len(e.prev) > maxPrevEvents {
		return fmt.Errorf("%w: %d prev_events, the limit is %d", ErrTooLarge, len(e.prev), maxPrevEvents)
	}
	if len(e.auth) > maxAuthEvents {
		return fmt.Errorf("%w: %d auth_events, the limit is %d", ErrTooLarge, len(e.auth), maxAuthEvents)
	}
	return nil
}

func (e *Event) checkIDs() error {
	if _, err := ParseUserID(string(e.sender)); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if e.rules.EventIDFormat == EventIDField {
		if err := e.checkFieldID(); err != nil {
			return err
		}
	}
	if e.has&hasRoomID != 0 {
		if err := e.rules.checkRoomID(e.roomID); err != nil {
			return err
		}
	}
	create := e.roomID.createEventID()
	for _, ids := range [][]EventID{e.prev, e.auth} {
		for _, id := range ids {
			if _, err := ParseEventID(string(id)); err != nil {
				return err
			}
		}
	}
	for _, id := range e.auth {
		if e.rules.RoomIDIsCreateHash && id == create {
			return fmt.Errorf("%w: auth_events lists the create event", ErrBadJSON)
		}
	}
	return e.checkRedacts()
}

// checkFieldID checks the event_id of versions 1 and 2, which needs a server.
func (e *Event) checkFieldID() error {
	if _, err := ParseEventID(string(e.id)); err != nil {
		return err
	}
	if e.id.server() == "" {
		return invalid("event id", string(e.id), "has no server name")
	}
	return nil
}

func (r *Rules) checkRoomID(id RoomID) error {
	if _, err := ParseRoomID(string(id)); err != nil {
		return err
	}
	if _, hasServer := id.Server(); hasServer == r.RoomIDIsCreateHash {
		return invalid("room id", string(id), "is not of room version "+string(r.Version))
	}
	return nil
}

// checkRedacts checks the type of a top-level redacts, where that means something.
func (e *Event) checkRedacts() error {
	if e.typ != typeRedaction || e.rules.RedactsInContent {
		return nil
	}
	o, _ := ParseObject(e.raw)
	v, present := o.Get("redacts")
	if _, ok := StringValue(v); present && !ok {
		return fmt.Errorf("%w: redacts is not a string", ErrBadJSON)
	}
	return nil
}

// checkHashes wants a sha256 that could be one. A wrong one means that the event
// is a redacted copy, but none at all that it is malformed.
func (e *Event) checkHashes() error {
	if _, ok := e.contentHash(); !ok {
		return fmt.Errorf("%w: hashes has no sha256", ErrBadJSON)
	}
	return nil
}

// contentHash returns the content hash that the event claims.
func (e *Event) contentHash() ([sha256.Size]byte, bool) {
	var hash [sha256.Size]byte
	o, _ := ParseObject(e.raw)
	hashes, _ := o.Object("hashes")
	s, _ := hashes.String("sha256")
	return hash, decodeBase64(hash[:], s)
}

// decodeBase64 fills dst from unpadded base64; false unless s has exactly that
// length. Padding and the URL-safe alphabet are accepted: some servers write them,
// and all the others read them.
func decodeBase64(dst []byte, s string) bool {
	s = strings.TrimRight(s, "=")
	if len(s) != base64.RawStdEncoding.EncodedLen(len(dst)) {
		return false
	}
	n, err := encodingOf(s).Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}

// isBase64 reports whether s is base64 of any length, in either alphabet.
func isBase64(s string) bool {
	s = strings.TrimRight(s, "=")
	_, err := encodingOf(s).DecodeString(s)
	return err == nil
}

func encodingOf(s string) *base64.Encoding {
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding
	}
	return base64.RawStdEncoding
}

// HashOK reports whether the content hash is right. If it is not, the event was
// redacted, or tampered with, on its way: only its Redacted form may be used
// (server-server API, "Validating hashes and signatures on received events").
func (e *Event) HashOK() bool {
	claimed, ok := e.contentHash()
	body := appendWithout(make([]byte, 0, len(e.raw)), e.raw, func(key string) bool {
		return key == "hashes" || key == "signatures" || key == "unsigned"
	})
	return ok && sha256.Sum256(body) == claimed
}
