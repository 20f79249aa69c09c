// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// appendRoom appends "id":{…} for a room, or nothing if there is nothing to say.
func (b *builder) appendRoom(ctx context.Context, a *roomAnswer, dst []byte) ([]byte, error) {
	if a.empty() {
		return dst, nil
	}
	memberships, err := b.s.rooms.MembershipsAt(ctx, b.r.User, a.timeline.events)
	if err != nil {
		return dst, err
	}
	var bundles rooms.Bundles
	if a.timeline.limited { // else the client has all that they are made of
		if bundles, err = b.s.rooms.Bundle(ctx, b.viewer(), a.timeline.events); err != nil {
			return dst, err
		}
	}
	dst = append(event.AppendString(dst, string(a.info.ID)), `:{"timeline":{"events":[`...)
	for i, e := range a.timeline.events {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := b.viewer()
		v.Membership, v.Relations = memberships[i], bundles[e.NID]
		dst = b.appendEvent(dst, e, v)
	}
	dst = append(dst, `],"limited":`...)
	dst = strconv.AppendBool(dst, a.timeline.limited)
	dst = append(append(dst, `,"prev_batch":"`...), b.prevBatch(a.timeline)...)
	dst = append(dst, `"},"state`...)
	if b.r.UseStateAfter {
		dst = append(dst, "_after"...)
	}
	dst = append(dst, `":{"events":[`...)
	for i, e := range a.state {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = b.appendEvent(dst, e, b.viewer())
	}
	dst = append(dst, `]}`...)
	dst = b.appendUnread(a.summary.append(dst), a.unread)
	dst = appendEvents(dst, `,"ephemeral":`, a.ephemeral)
	dst = appendEvents(dst, `,"account_data":`, a.accountData)
	return append(dst, '}'), nil
}

// prevBatch is the token from which /messages goes on backwards.
func (b *builder) prevBatch(t *timeline) string {
	switch {
	case len(t.events) > 0:
		return rooms.Token(t.events[0].StreamPos - 1)
	case t.start == beginning:
		return rooms.Token(b.to)
	default:
		return rooms.Token(t.start)
	}
}

// viewer is for whom the answer is.
func (b *builder) viewer() rooms.Viewer {
	return rooms.Viewer{UserID: b.r.User, DeviceID: b.r.Device, OmitRoomID: true}
}

// appendEvent appends an event as the filter wants it.
func (b *builder) appendEvent(dst []byte, e *rooms.StoredEvent, v rooms.Viewer) []byte {
	if b.lazy() && e.Type() == typeMember {
		b.sent = append(b.sent, e.NID)
	}
	if b.r.Filter.Federation() {
		return append(dst, e.JSON()...)
	}
	if b.fields == nil {
		return b.s.rooms.ClientEvent(dst, e, v)
	}
	return b.fields.Append(dst, b.s.rooms.ClientEvent(nil, e, v))
}
