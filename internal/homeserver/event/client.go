// SPDX-License-Identifier: Apache-2.0

package event

import "strconv"

// ClientView says how to show an event to one client.
type ClientView struct {
	// Unsigned is a JSON object, or nil for none. The event's own unsigned is
	// never shown: it was made for other servers, or by one.
	Unsigned []byte
	// OmitRoomID leaves room_id out, as /sync wants.
	OmitRoomID bool
}

// AppendClient appends the event in the client format (client-server API,
// "Types of room events") to dst. Content is copied byte for byte. A redaction
// has redacts both beside and in its content, whatever the room version (room
// version 11, "Moving the redacts property").
func (e *Event) AppendClient(dst []byte, v ClientView) []byte {
	redacts := e.Redacts()
	dst = append(dst, `{"content":`...)
	if redacts != "" && !e.rules.RedactsInContent {
		dst = append(dst, setMember(e.content, "redacts", AppendString(nil, string(redacts)))...)
	} else {
		dst = append(dst, e.content...)
	}
	dst = AppendString(append(dst, `,"event_id":`...), string(e.id))
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), e.ts, 10)
	if redacts != "" {
		dst = AppendString(append(dst, `,"redacts":`...), string(redacts))
	}
	if !v.OmitRoomID {
		dst = AppendString(append(dst, `,"room_id":`...), string(e.roomID))
	}
	dst = AppendString(append(dst, `,"sender":`...), string(e.sender))
	if e.has&hasStateKey != 0 {
		dst = AppendString(append(dst, `,"state_key":`...), e.stateKey)
	}
	dst = AppendString(append(dst, `,"type":`...), e.typ)
	if v.Unsigned != nil {
		dst = append(append(dst, `,"unsigned":`...), v.Unsigned...)
	}
	return append(dst, '}')
}

// AppendStripped appends the event as stripped state (client-server API,
// "Stripped state"), for invites and knocks, to dst.
func (e *Event) AppendStripped(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), e.content...)
	dst = AppendString(append(dst, `,"sender":`...), string(e.sender))
	dst = AppendString(append(dst, `,"state_key":`...), e.stateKey)
	return append(AppendString(append(dst, `,"type":`...), e.typ), '}')
}
