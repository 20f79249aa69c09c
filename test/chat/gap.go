// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// fillGaps reads what a sync left out: a timeline that is limited holds only
// the newest events, and a client that wants all of them pages back from
// prev_batch to where it was.
// https://spec.matrix.org/v1.19/client-server-api/#syncing
func (u *User) fillGaps(ctx context.Context, syncer *mautrix.DefaultSyncer, res *mautrix.RespSync, since string) {
	if since == "" {
		return // the first sync begins where it begins
	}
	for room, data := range res.Rooms.Join {
		if !data.Timeline.Limited {
			continue
		}
		missed, err := u.between(ctx, room, since, data.Timeline.PrevBatch)
		if err != nil {
			u.note(func() { u.failures = append(u.failures, fmt.Errorf("read the gap in %s: %w", room, err)) })
			return
		}
		for _, evt := range missed {
			evt.RoomID = room
			evt.Type.Class = event.MessageEventType
			if evt.StateKey != nil {
				evt.Type.Class = event.StateEventType
			}
			if err := evt.Content.ParseRaw(evt.Type); err == nil || syncer.ParseErrorHandler(evt, err) {
				syncer.Dispatch(ctx, evt)
			}
		}
	}
}

// between returns the events of a room after since and before end, oldest first.
func (u *User) between(ctx context.Context, room id.RoomID, since, end string) ([]*event.Event, error) {
	var all []*event.Event
	for from := end; ; {
		page, err := u.readPage(ctx, room, from, since)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Chunk...)
		if page.End == "" || page.End == from {
			slices.Reverse(all)
			return all, nil
		}
		from = page.End
	}
}

// readPage repeats the request through an outage of the server.
func (u *User) readPage(ctx context.Context, room id.RoomID, from, to string) (*mautrix.RespMessages, error) {
	for {
		page, err := u.Client.Messages(ctx, room, from, to, mautrix.DirectionBackward, nil, 100)
		if err == nil || !isOutage(err) || ctx.Err() != nil {
			return page, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}
