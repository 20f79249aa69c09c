// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// typeSpace is the type of rooms that are spaces.
const typeSpace = "m.space"

// spaceChild is a room that belongs to a space.
type spaceChild struct {
	room event.RoomID
	// order is empty where there is none.
	order     string
	suggested bool
	ts        int64
	// stripped is the m.space.child event as those who are not in the space see it.
	stripped []byte
}

// maxOrder is the longest valid order, in bytes.
const maxOrder = 50

// newSpaceChild reads an m.space.child event; false if it makes no child.
//
// https://spec.matrix.org/v1.19/client-server-api/#mspacechild
func newSpaceChild(ev *StoredEvent) (spaceChild, bool) {
	room, err := event.ParseRoomID(ev.Tuple().Key)
	content, ok := event.ParseObject(ev.Content())
	if err != nil || !ok || !hasVia(content) {
		return spaceChild{}, false
	}
	c := spaceChild{room: event.RoomID(strings.Clone(string(room))), ts: ev.OriginServerTS()}
	if order, ok := content.String("order"); ok && isOrder(order) {
		c.order = strings.Clone(order)
	}
	c.suggested, _ = content.Bool("suggested")
	c.stripped = bytes.TrimSuffix(ev.AppendStripped(nil), []byte("}"))
	c.stripped = append(c.stripped, `,"origin_server_ts":`...)
	c.stripped = append(strconv.AppendInt(c.stripped, c.ts, 10), '}')
	return c, true
}

// hasVia reports whether content.via lists servers: without that the room is no child.
func hasVia(content event.Object) bool {
	raw, _ := content.Get("via")
	n, good := 0, true
	isList := event.EachElement(raw, func(value []byte) bool {
		_, good = event.StringValue(value)
		n++
		return good
	})
	return isList && good && n > 0
}

func isOrder(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxOrder
}

// compareChildren puts children in order: those with an order first, then the oldest.
//
// https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space
func compareChildren(a, b spaceChild) int {
	if (a.order == "") != (b.order == "") {
		return cmp.Compare(b.order, a.order)
	}
	return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.ts, b.ts), cmp.Compare(a.room, b.room))
}

// childrenOf returns the children of a space in order. Cached; read only.
func (s *Service) childrenOf(ctx context.Context, roomNID int64) ([]spaceChild, error) {
	return s.children.load(ctx, roomNID, func(ctx context.Context) ([]spaceChild, int64, error) {
		state, err := s.CurrentState(ctx, roomNID)
		if err != nil {
			return nil, 0, err
		}
		entries, err := state.NonMembers(ctx)
		if err != nil {
			return nil, 0, err
		}
		var nids []int64
		for _, e := range entries {
			if e.Key.Type == typeSpaceChild {
				nids = append(nids, e.NID)
			}
		}
		events, err := s.plainEvents(ctx, nids)
		if err != nil {
			return nil, 0, err
		}
		var children []spaceChild
		size := int64(0)
		for _, ev := range events {
			if c, ok := newSpaceChild(ev); ok {
				children = append(children, c)
				size += int64(len(c.stripped)+len(c.room)) + 128
			}
		}
		slices.SortFunc(children, compareChildren)
		return children, size, nil
	})
}
