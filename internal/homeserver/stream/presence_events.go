// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"slices"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

const typePresence = "m.presence"

// presenceEvents returns what changed in the presence of others who share a
// room with the user, and the presence of those who began to.
func (b *builder) presenceEvents(ctx context.Context) ([][]byte, error) {
	p, want := b.s.presence, &b.r.Filter.Presence
	if p == nil {
		return nil, nil
	}
	after, met := b.presenceAfter()
	all := p.since(after)
	for _, user := range met {
		known := slices.ContainsFunc(all, func(a presentAs) bool { return a.user == user })
		if a := (presentAs{user, p.of(user)}); !known && a.notable() {
			all = append(all, a)
		}
	}
	var events [][]byte
	for _, a := range all {
		_, ignored := b.ignored[a.user]
		if a.user == b.r.User || ignored || after == 0 && !a.notable() || !want.Matches(typePresence, string(a.user)) {
			continue
		}
		shared, err := b.s.rooms.ShareRoom(ctx, b.r.User, a.user)
		if err != nil {
			return nil, err
		}
		if shared {
			events = append(events, b.presenceEvent(a))
		}
	}
	// A token that is ahead of us is of another replica, whose users are not
	// ours: to answer at once because of it would never end.
	ahead := !b.initial() && b.r.Since.Typing > p.count.now()
	b.said = b.said || len(events) > 0 && !ahead
	return events, nil
}

// notable: it is not what a client takes for granted.
func (a presentAs) notable() bool { return a.State != PresenceOffline || a.Status != "" }

// presenceAfter returns the count behind which changes are news to the
// client, and users whom it may have met only now. A client that joined a
// room, or has its token from another start, is told of everybody.
func (b *builder) presenceAfter() (count int64, met []event.UserID) {
	if b.initial() || b.r.Since.Typing < b.s.count.first || b.r.Since.Typing > b.s.count.now() {
		return 0, nil
	}
	for _, r := range b.delta.rooms {
		if r.own {
			return 0, nil
		}
		met = append(met, r.members...)
	}
	slices.Sort(met)
	return b.r.Since.Typing, slices.Compact(met)
}

func (b *builder) presenceEvent(a presentAs) []byte {
	e := append([]byte(nil), `{"content":{"presence":"`...)
	e = append(append(e, a.State...), '"')
	if !a.Active.IsZero() {
		e = strconv.AppendInt(append(e, `,"last_active_ago":`...), max(0, b.s.now().Sub(a.Active).Milliseconds()), 10)
	}
	if a.State == PresenceOnline {
		e = append(e, `,"currently_active":true`...)
	}
	if a.Status != "" {
		e = event.AppendString(append(e, `,"status_msg":`...), a.Status)
	}
	e = event.AppendString(append(e, `},"sender":`...), string(a.user))
	return append(e, `,"type":"m.presence"}`...)
}
