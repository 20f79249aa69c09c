// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Info is what never changes about a room.
type Info struct {
	NID     int64
	ID      event.RoomID
	Version event.RoomVersion
	Rules   *event.Rules
}

// StoredEvent is an event together with where it lies in its room. It is
// shared between goroutines: read only.
type StoredEvent struct {
	*event.Event
	NID, RoomNID int64
	// StreamPos is where the event lies in the stream: > 0 live, < 0
	// backfilled, 0 outside the timeline.
	StreamPos int64
	// StateNID is the state of the room before the event.
	StateNID int64
	// ReplacesNID is the state event that this one took the place of, 0 if none.
	ReplacesNID int64
	// RedactedByNID is the redaction of this event, 0 if none.
	RedactedByNID int64
	// Replaces is that state event where the reader may see it, else nil.
	Replaces *event.Event
	// ReplacesID is its id, also where Replaces is nil.
	ReplacesID event.EventID
	// RedactedBecause is the redaction of this event, nil unless redacted.
	RedactedBecause *event.Event
	// TxnUser, TxnDevice and TxnID say which request sent the event; empty if none did.
	TxnUser   event.UserID
	TxnDevice string
	TxnID     string
}

// Viewer is for whom an event is put into the client format.
type Viewer struct {
	UserID   event.UserID
	DeviceID string
	// OmitRoomID leaves room_id out, as /sync does.
	OmitRoomID bool
	// Membership is the viewer's membership at the event (MSC4115); empty leaves it out.
	Membership string
	// Relations is what points at the event, from Bundle; nil leaves it out.
	Relations []byte
}

// Membership is what a user is to a room.
type Membership struct {
	UserID  event.UserID
	RoomNID int64
	// Membership is join, invite, leave, ban or knock.
	Membership string
	// EventNID is the m.room.member event, StreamPos its position.
	EventNID, StreamPos int64
	// Forgotten: the user asked not to see the room any more.
	Forgotten bool
}

// StateEntry is one key of a room's state.
type StateEntry struct {
	Key event.StateKey
	NID int64
}

// DeltaEntry says how one key of a room's state changed; a nid of 0 means that it was not set.
type DeltaEntry struct {
	Key            event.StateKey
	OldNID, NewNID int64
	// Pos is the position of the last change.
	Pos int64
}

// TimelineQuery asks for the events of a room with From < position <= To,
// oldest first, or newest first if Backwards; at most Limit.
type TimelineQuery struct {
	RoomNID   int64
	From, To  int64
	Limit     int
	Backwards bool
}
