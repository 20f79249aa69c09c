// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Draft is an event that is not hashed and signed yet.
type Draft struct {
	// RoomID is empty for a create event of version 12, which makes the room id.
	RoomID RoomID
	Type   string
	// StateKey is nil for an event that is no state.
	StateKey *string
	Sender   UserID
	// Content is a JSON object; its numbers must be integers within ±(2^53-1) in
	// every room version.
	Content []byte
	// PrevEvents and AuthEvents need their Hash in versions 1 and 2 only.
	// Version 12 never lists the create event in AuthEvents.
	PrevEvents []Reference
	AuthEvents []Reference
	Depth      int64
	// OriginServerTS is in unix milliseconds.
	OriginServerTS int64
	// Redacts is written where the version wants it: beside content, or in it.
	Redacts EventID
	// Unsigned is a JSON object, or nil.
	Unsigned []byte
}

// Build makes the event that d describes: canonical, hashed, signed by s, and
// checked like an event from outside. The event id of versions 1 and 2, which the
// sender chooses, is derived from the content hash, so that Build stays pure.
//
// The error is an ErrBadJSON (content, numbers, depth), ErrTooLarge, ErrInvalidID
// or, for an unusable key, ErrSignature.
func (r *Rules) Build(d Draft, s Signer) (*Event, error) {
	e, err := r.build(d, s)
	if err != nil {
		return nil, fmt.Errorf("build %s event: %w", d.Type, err)
	}
	return e, nil
}

func (r *Rules) build(d Draft, s Signer) (*Event, error) {
	w, err := r.newWriter(&d)
	if err != nil {
		return nil, err
	}
	body := w.append(make([]byte, 0, w.size()))
	if r.EventIDFormat == EventIDField {
		hash := sha256.Sum256(body)
		w.eventID = EventID("$" + base64.RawURLEncoding.EncodeToString(hash[:24]) + ":" + string(s.Server))
		body = w.append(body[:0])
	}
	hash := sha256.Sum256(body)
	w.hash = &hash
	e := &Event{rules: r, typ: d.Type, raw: w.append(body[:0])}
	signed := e.appendRedacted(make([]byte, 0, len(e.raw)), true)
	if w.signature, err = s.sign(signed); err != nil {
		return nil, err
	}
	w.server, w.keyID = s.Server, s.KeyID

	e = &Event{rules: r, raw: w.append(make([]byte, 0, len(e.raw)+len(w.signature)+len(s.Server)+len(s.KeyID)+len(w.unsigned)+64))}
	if err := e.checked(); err != nil {
		return nil, err
	}
	if r.EventIDFormat != EventIDField {
		e.setID(sha256.Sum256(signed))
	}
	return e, nil
}

// writer writes an event's members in canonical order, in three states: without
// hash for the content hash, without signature for the signature, and whole.
type writer struct {
	*Draft
	rules     *Rules
	content   []byte
	unsigned  []byte
	eventID   EventID
	hash      *[sha256.Size]byte
	signature []byte
	server    ServerName
	keyID     string
}

func (r *Rules) newWriter(d *Draft) (*writer, error) {
	w := &writer{Draft: d, rules: r}
	var err error
	if w.content, err = canonicalObject(d.Content, "content"); err != nil {
		return nil, err
	}
	if d.Redacts != "" && r.RedactsInContent {
		w.content = setMember(w.content, "redacts", AppendString(nil, string(d.Redacts)))
	}
	if d.Unsigned != nil {
		if w.unsigned, err = canonicalObject(d.Unsigned, "unsigned"); err != nil {
			return nil, err
		}
	}
	if err := d.checkText(); err != nil {
		return nil, err
	}
	for _, n := range []int64{d.Depth, d.OriginServerTS} {
		if n < -maxSafeInteger || n > maxSafeInteger {
			return nil, fmt.Errorf("%w: %d is beyond 2^53-1", ErrBadJSON, n)
		}
	}
	return w, nil
}

// checkText refuses what could not be written as it is.
func (d *Draft) checkText() error {
	for _, s := range []string{d.Type, deref(d.StateKey), string(d.Redacts), string(d.Sender), string(d.RoomID)} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %q is not UTF-8", ErrBadJSON, s)
		}
	}
	for _, refs := range [][]Reference{d.PrevEvents, d.AuthEvents} {
		for _, ref := range refs {
			if !utf8.ValidString(string(ref.ID)) {
				return fmt.Errorf("%w: %q is not UTF-8", ErrBadJSON, ref.ID)
			}
		}
	}
	return nil
}

func canonicalObject(raw []byte, name string) ([]byte, error) {
	canonical, err := Canonical(raw, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !isObject(canonical) {
		return nil, fmt.Errorf("%w: %s is not an object", ErrBadJSON, name)
	}
	return canonical, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// size estimates the length of the event without signature and unsigned.
func (w *writer) size() int {
	const fixed, reference = 320, 56
	n := fixed + len(w.content) + len(w.RoomID) + len(w.Type) + len(w.Sender) + len(deref(w.StateKey))
	perRef := reference
	if w.rules.EventIDFormat == EventIDField {
		perRef *= 3
	}
	return n + perRef*(len(w.PrevEvents)+len(w.AuthEvents))
}

func (w *writer) append(dst []byte) []byte {
	dst = w.appendReferences(append(dst, `{"auth_events":`...), w.AuthEvents)
	dst = append(append(dst, `,"content":`...), w.content...)
	dst = strconv.AppendInt(append(dst, `,"depth":`...), w.Depth, 10)
	if w.eventID != "" {
		dst = AppendString(append(dst, `,"event_id":`...), string(w.eventID))
	}
	if w.hash != nil {
		dst = appendHash(append(dst, `,"hashes":`...), w.hash[:])
	}
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), w.OriginServerTS, 10)
	dst = w.appendReferences(append(dst, `,"prev_events":`...), w.PrevEvents)
	if w.Redacts != "" && !w.rules.RedactsInContent {
		dst = AppendString(append(dst, `,"redacts":`...), string(w.Redacts))
	}
	if w.RoomID != "" {
		dst = AppendString(append(dst, `,"room_id":`...), string(w.RoomID))
	}
	dst = AppendString(append(dst, `,"sender":`...), string(w.Sender))
	if w.signature != nil {
		dst = AppendString(append(dst, `,"signatures":{`...), string(w.server))
		dst = AppendString(append(dst, `:{`...), w.keyID)
		dst = append(append(append(dst, ':'), w.signature...), `}}`...)
	}
	if w.StateKey != nil {
		dst = AppendString(append(dst, `,"state_key":`...), *w.StateKey)
	}
	dst = AppendString(append(dst, `,"type":`...), w.Type)
	if w.signature != nil && w.unsigned != nil {
		dst = append(append(dst, `,"unsigned":`...), w.unsigned...)
	}
	return append(dst, '}')
}

func (w *writer) appendReferences(dst []byte, refs []Reference) []byte {
	dst = append(dst, '[')
	for i, ref := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		if w.rules.EventIDFormat != EventIDField {
			dst = AppendString(dst, string(ref.ID))
			continue
		}
		dst = append(AppendString(append(dst, '['), string(ref.ID)), ',')
		dst = append(appendHash(dst, ref.Hash), ']')
	}
	return append(dst, ']')
}

func appendHash(dst, hash []byte) []byte {
	dst = base64.RawStdEncoding.AppendEncode(append(dst, `{"sha256":"`...), hash)
	return append(dst, `"}`...)
}
