// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The types of events and relations that matter here.
const (
	typeMember      = "m.room.member"
	typePowerLevels = "m.room.power_levels"
	typeCreate      = "m.room.create"
	typeRedaction   = "m.room.redaction"
	typeEncrypted   = "m.room.encrypted"
	relThread       = "m.thread"
)

// eventRoom is the room of an event as of the event. Only the members are
// counted as of now: no state knows their number.
type eventRoom struct {
	rooms *rooms.Service
	ev    *rooms.StoredEvent
}

func (r *eventRoom) MemberCount(ctx context.Context) (int, error) {
	joined, _, err := r.rooms.Counts(ctx, r.ev.RoomNID)
	return joined, err
}

func (r *eventRoom) MayNotify(ctx context.Context, key string) (bool, error) {
	info, err := r.rooms.RoomByNID(ctx, r.ev.RoomNID)
	if err != nil {
		return false, err
	}
	state, err := r.rooms.StateAt(ctx, r.ev.StateNID)
	if err != nil {
		return false, err
	}
	known := map[event.StateKey]*event.Event{}
	for _, typ := range []string{typeCreate, typePowerLevels} {
		ev, err := state.Event(ctx, event.StateKey{Type: typ})
		if err != nil {
			return false, err
		}
		if ev != nil {
			known[event.StateKey{Type: typ}] = ev.Event
		}
	}
	levels := info.Rules.DefaultPowerLevels(known[event.StateKey{Type: typeCreate}])
	if ev := known[event.StateKey{Type: typePowerLevels}]; ev != nil {
		if levels, err = ev.PowerLevels(); err != nil {
			return false, err
		}
	}
	have, unlimited := info.Rules.Level(event.AuthStateFunc(func(k event.StateKey) *event.Event { return known[k] }), r.ev.Sender())
	return unlimited || have >= levels.Notification(key), nil
}

func (r *eventRoom) DisplayName(ctx context.Context, user event.UserID) (string, error) {
	state, err := r.rooms.StateAt(ctx, r.ev.StateNID)
	if err != nil {
		return "", err
	}
	member, err := state.Event(ctx, event.StateKey{Type: typeMember, Key: string(user)})
	if err != nil || member == nil {
		return "", err
	}
	content, _ := event.ParseObject(member.Content())
	name, _ := content.String("displayname")
	return name, nil
}

// maxRelationHops is how far relations are followed to a thread, as the
// specification recommends.
const maxRelationHops = 3

// threadOf returns the root of the thread that an event belongs to, "" for
// the main timeline, in which the root itself is; and whether other events had
// to be asked for that.
//
// https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts
func (s *Service) threadOf(ctx context.Context, ev *rooms.StoredEvent) (thread string, indirect bool, err error) {
	for hops := range maxRelationHops {
		parent, typ := relationOf(ev)
		switch {
		case parent == "":
			return "", hops > 0, nil
		case typ == relThread:
			return string(parent), hops > 0, nil
		}
		info, err := s.rooms.RoomByNID(ctx, ev.RoomNID)
		if err != nil {
			return "", true, err
		}
		ev, err = s.rooms.EventByID(ctx, info, parent)
		if errors.Is(err, store.ErrNotFound) {
			return "", true, nil
		}
		if err != nil {
			return "", true, err
		}
	}
	return "", true, nil
}

// relationOf returns how an event points at another one; "" if it does not.
func relationOf(ev *rooms.StoredEvent) (parent event.EventID, typ string) {
	content, _ := event.ParseObject(ev.Content())
	relation, _ := content.Object("m.relates_to")
	text, _ := relation.String("event_id")
	typ, _ = relation.String("rel_type")
	if id, err := event.ParseEventID(text); err == nil && typ != "" {
		return id, typ
	}
	return "", ""
}
