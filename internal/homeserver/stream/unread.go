// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"maps"
	"slices"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
)

// appendUnread appends how much of a room is unread; of each thread alone if
// the filter asks for it.
//
// https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
func (b *builder) appendUnread(dst []byte, c *push.RoomCounts) []byte {
	if c == nil {
		return dst
	}
	dst = append(dst, `,"unread_notifications":`...)
	if !b.r.Filter.Room.Timeline.UnreadThreadNotifications {
		return appendCounts(dst, c.All)
	}
	dst = appendCounts(dst, c.Main)
	if len(c.Threads) == 0 {
		return dst
	}
	dst = append(dst, `,"unread_thread_notifications":{`...)
	for i, thread := range slices.Sorted(maps.Keys(c.Threads)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCounts(append(event.AppendString(dst, string(thread)), ':'), c.Threads[thread])
	}
	return append(dst, '}')
}

func appendCounts(dst []byte, c push.Counts) []byte {
	dst = strconv.AppendInt(append(dst, `{"highlight_count":`...), int64(c.Highlights), 10)
	dst = strconv.AppendInt(append(dst, `,"notification_count":`...), int64(c.Notifications), 10)
	return append(dst, '}')
}
