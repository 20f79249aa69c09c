// SPDX-License-Identifier: Apache-2.0

package event

import "crypto/sha256"

const typeHistoryVisibility = "m.room.history_visibility"

// Redacted returns the event stripped by its version's redaction algorithm
// (client-server API, "Redactions"). Id and signatures are the same; unsigned is
// gone.
func (e *Event) Redacted() *Event {
	redacted := &Event{rules: e.rules, id: e.id, roomID: e.roomID}
	redacted.raw = e.appendRedacted(make([]byte, 0, len(e.raw)), false)
	if err := redacted.read(); err != nil {
		// Every member was read before, when e was made; a bare event is the
		// safe answer if that ever changes.
		return &Event{rules: e.rules, id: e.id, roomID: e.roomID, raw: []byte("{}"), content: []byte("{}")}
	}
	return redacted
}

// appendRedacted appends the redacted event to dst; bare leaves the signatures
// out, which gives the bytes that are signed and whose hash is the reference hash.
func (e *Event) appendRedacted(dst []byte, bare bool) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for m := firstEntry(e.raw); m.ok; m = m.next(e.raw) {
		key := view(m.key[1 : len(m.key)-1])
		if !e.rules.keepsField(key) || bare && key == "signatures" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if key != "content" {
			dst = append(dst, e.raw[m.start:m.end]...)
			continue
		}
		dst = append(append(dst, m.key...), ':')
		dst = e.rules.appendRedactedContent(dst, e.typ, m.value)
	}
	return append(dst, '}')
}

// keepsField names the top-level members that survive.
func (r *Rules) keepsField(key string) bool {
	switch key {
	case "auth_events", "content", "depth", "event_id", "hashes", "origin_server_ts", "prev_events",
		"room_id", "sender", "signatures", "state_key", "type":
		return true
	case "membership", "origin", "prev_state":
		return r.Redaction < RedactionV5
	}
	return false
}

func (r *Rules) appendRedactedContent(dst []byte, typ string, content []byte) []byte {
	if typ == typeCreate && r.Redaction >= RedactionV5 {
		return append(dst, content...)
	}
	dst = append(dst, '{')
	start := len(dst)
	for m := firstEntry(content); m.ok; m = m.next(content) {
		key := view(m.key[1 : len(m.key)-1])
		nested := typ == typeMember && key == keyThirdPartyInvite && r.Redaction >= RedactionV5 && isObject(m.value)
		if !nested && !r.keepsContent(typ, key) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if !nested {
			dst = append(dst, content[m.start:m.end]...)
			continue
		}
		// Only signed survives inside, and the object itself even without it.
		dst = append(append(dst, m.key...), ':')
		dst = appendWithout(dst, m.value, func(key string) bool { return key != "signed" })
	}
	return append(dst, '}')
}

// keepsContent names the members of content that survive whole.
func (r *Rules) keepsContent(typ, key string) bool {
	switch typ {
	case typeMember:
		return key == keyMembership || key == keyAuthorisingUser && r.Redaction >= RedactionV4
	case typeCreate:
		return key == "creator"
	case typeJoinRules:
		return key == "join_rule" || key == "allow" && r.Redaction >= RedactionV3
	case typePowerLevels:
		return keepsPowerLevel(key) || key == "invite" && r.Redaction >= RedactionV5
	case typeAliases:
		return key == "aliases" && r.Redaction == RedactionV1
	case typeHistoryVisibility:
		return key == "history_visibility"
	case typeRedaction:
		return key == "redacts" && r.Redaction >= RedactionV5
	}
	return false
}

func keepsPowerLevel(key string) bool {
	switch key {
	case "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default":
		return true
	}
	return false
}

// referenceHash hashes the redacted event without signatures (server-server API,
// "Calculating the reference hash for an event").
func (e *Event) referenceHash() [sha256.Size]byte {
	return sha256.Sum256(e.appendRedacted(make([]byte, 0, len(e.raw)), true))
}
