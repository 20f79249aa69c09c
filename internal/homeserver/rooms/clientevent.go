// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// ClientEvent appends ev in the client format to dst, with everything in
// unsigned that v may know.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-event-format
func (s *Service) ClientEvent(dst []byte, ev *StoredEvent, v Viewer) []byte {
	return ev.AppendClient(dst, event.ClientView{Unsigned: s.unsigned(ev, v), OmitRoomID: v.OmitRoomID})
}

func (s *Service) unsigned(ev *StoredEvent, v Viewer) []byte {
	now := s.millis()
	u := make([]byte, 0, 160)
	u = appendAge(append(u, '{'), ev.Event, now)
	if v.Relations != nil {
		u = append(append(u, `,"m.relations":`...), v.Relations...)
	}
	if v.Membership != "" {
		u = event.AppendString(append(u, `,"membership":`...), v.Membership)
	}
	if ev.Replaces != nil {
		u = append(append(u, `,"prev_content":`...), ev.Replaces.Content()...)
	}
	if ev.RedactedBecause != nil {
		inner := append(appendAge([]byte{'{'}, ev.RedactedBecause, now), '}')
		u = append(u, `,"redacted_because":`...)
		u = ev.RedactedBecause.AppendClient(u, event.ClientView{Unsigned: inner, OmitRoomID: v.OmitRoomID})
	}
	if ev.ReplacesID != "" {
		u = event.AppendString(append(u, `,"replaces_state":`...), string(ev.ReplacesID))
	}
	// A transaction id means something only to the device that chose it.
	if ev.TxnID != "" && v.DeviceID != "" && ev.TxnUser == v.UserID && ev.TxnDevice == v.DeviceID {
		u = event.AppendString(append(u, `,"transaction_id":`...), ev.TxnID)
	}
	return append(u, '}')
}

// appendAge appends the age member. A clock that went back gives no negative age.
func appendAge(dst []byte, ev *event.Event, now int64) []byte {
	return strconv.AppendInt(append(dst, `"age":`...), max(0, now-ev.OriginServerTS()), 10)
}

// strippedTypes is what is told of a room to those who are not in it.
// https://spec.matrix.org/v1.19/client-server-api/#stripped-state
var strippedTypes = []string{
	typeCreate, typeName, typeAvatar, typeTopic, typeJoinRules, typeCanonicalAlias, typeEncryption,
}

// StrippedState returns what an invited (or knocking) user may know of the
// room, in the stripped state format: the room's description, the user's own
// membership and the one of who is responsible for it.
func (s *Service) StrippedState(ctx context.Context, roomNID int64, user event.UserID) ([]json.RawMessage, error) {
	state, err := s.CurrentState(ctx, roomNID)
	if err != nil {
		return nil, err
	}
	keys := make([]event.StateKey, 0, len(strippedTypes)+2)
	for _, t := range strippedTypes {
		keys = append(keys, event.StateKey{Type: t})
	}
	keys = append(keys, memberKey(user))
	own, err := state.Event(ctx, memberKey(user))
	if err != nil {
		return nil, err
	}
	if own != nil && own.Sender() != user {
		keys = append(keys, memberKey(own.Sender()))
	}
	var stripped []json.RawMessage
	for _, key := range keys {
		ev, err := state.Event(ctx, key)
		if err != nil {
			return nil, err
		}
		if ev != nil {
			stripped = append(stripped, ev.AppendStripped(nil))
		}
	}
	return stripped, nil
}

func memberKey(user event.UserID) event.StateKey {
	return event.StateKey{Type: typeMember, Key: string(user)}
}
