// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// notice is what a push gateway is told.
//
// https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
type notice struct {
	EventID      event.EventID   `json:"event_id,omitempty"`
	RoomID       event.RoomID    `json:"room_id,omitempty"`
	Type         string          `json:"type,omitempty"`
	Sender       event.UserID    `json:"sender,omitempty"`
	SenderName   string          `json:"sender_display_name,omitempty"`
	RoomName     string          `json:"room_name,omitempty"`
	RoomAlias    string          `json:"room_alias,omitempty"`
	UserIsTarget bool            `json:"user_is_target,omitempty"`
	Priority     string          `json:"prio,omitempty"`
	Content      json.RawMessage `json:"content,omitempty"`
	Counts       noticeCounts    `json:"counts"`
	Devices      []noticeDevice  `json:"devices"`

	tweaks map[string]json.RawMessage
}

type noticeCounts struct {
	// Unread is told as 0 where it alone is told: a badge could not go otherwise.
	Unread *int64 `json:"unread,omitempty"`
}

type noticeDevice struct {
	AppID     string                     `json:"app_id"`
	PushKey   string                     `json:"pushkey"`
	PushKeyTS int64                      `json:"pushkey_ts"`
	Data      json.RawMessage            `json:"data"`
	Tweaks    map[string]json.RawMessage `json:"tweaks,omitempty"`
}

// The members of a room's state that notifications tell.
const (
	typeName           = "m.room.name"
	typeCanonicalAlias = "m.room.canonical_alias"
)

// describe returns all that can be told of an event.
func (s *Service) describe(ctx context.Context, ev *rooms.StoredEvent, user event.UserID, o *outcome) (*notice, error) {
	n := &notice{
		EventID: ev.ID(), Type: ev.Type(), Sender: ev.Sender(), Content: ev.Content(), tweaks: o.tweaks,
		UserIsTarget: ev.IsState(event.StateKey{Type: typeMember, Key: string(user)}), Priority: "high",
	}
	// A device decides of encrypted events itself how loud they are.
	if !o.highlight && o.sound == nil && ev.Type() != typeEncrypted {
		n.Priority = "low"
	}
	info, err := s.rooms.RoomByNID(ctx, ev.RoomNID)
	if err != nil {
		return nil, err
	}
	n.RoomID = info.ID
	state, err := s.rooms.CurrentState(ctx, ev.RoomNID)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		key    event.StateKey
		member string
		into   *string
	}{
		{event.StateKey{Type: typeName}, "name", &n.RoomName},
		{event.StateKey{Type: typeCanonicalAlias}, "alias", &n.RoomAlias},
		{event.StateKey{Type: typeMember, Key: string(ev.Sender())}, "displayname", &n.SenderName},
	} {
		found, err := state.Event(ctx, part.key)
		if err != nil {
			return nil, err
		}
		if found != nil {
			content, _ := event.ParseObject(found.Content())
			*part.into, _ = content.String(part.member)
		}
	}
	return n, nil
}

// formatEventIDOnly is the value of format that leaves out what an event says.
const formatEventIDOnly = "event_id_only"

// address puts the pusher's data in, and leaves out what the pusher does not want.
func (n *notice) address(j *job) error {
	data, ok := event.ParseObject(j.pusher.Data)
	if !ok {
		return fmt.Errorf("data of pusher %q is no object", j.pusher.AppID)
	}
	rest := map[string]json.RawMessage{}
	data.Each(func(name string, value []byte) bool {
		if name != "url" {
			rest[name] = value
		}
		return true
	})
	raw, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("encode data of a pusher: %w", err)
	}
	device := noticeDevice{
		AppID: j.pusher.AppID, PushKey: j.pusher.PushKey, PushKeyTS: j.pusher.ChangedTS / 1000, Data: raw, Tweaks: n.tweaks,
	}
	if format, _ := data.String("format"); format == formatEventIDOnly {
		*n = notice{EventID: n.EventID, RoomID: n.RoomID}
		device.Tweaks = nil
	}
	if j.badge > 0 || j.what == nil {
		n.Counts.Unread = &j.badge
	}
	n.Devices = []noticeDevice{device}
	return nil
}
