// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	typeTyping  = "m.typing"
	typeReceipt = "m.receipt"
)

// ephemeral returns the events of a room that are not kept in it: who types
// and who has read what.
func (b *builder) ephemeral(ctx context.Context, info *rooms.Info, d *roomDelta, fresh bool) ([][]byte, error) {
	want := &b.r.Filter.Room.Ephemeral
	if !want.MatchesRoom(string(info.ID)) {
		return nil, nil
	}
	var events [][]byte
	if fresh || d.read {
		found, err := b.readReceipts(ctx, info.NID, d, fresh)
		if err != nil {
			return nil, err
		}
		events = receiptEvents(found)
	}
	users, changed := b.typing[info.NID]
	if !changed && fresh {
		users = b.s.typing.since(0)[info.NID]
	}
	if !want.MatchesType(typeTyping) || !(changed && !fresh) && len(users) == 0 {
		return events, nil
	}
	users = slices.DeleteFunc(slices.Clone(users), func(u event.UserID) bool {
		_, ignored := b.ignored[u]
		return ignored || want.Senders != nil && !slices.Contains(want.Senders, string(u)) || slices.Contains(want.NotSenders, string(u))
	})
	e := append([]byte(nil), `{"content":{"user_ids":`...)
	e = append(appendStrings(e, users), `},"type":"m.typing"}`...)
	return append(events, e), nil
}

// readReceipts returns the receipts of a room that the user gets to see.
func (b *builder) readReceipts(ctx context.Context, room int64, d *roomDelta, fresh bool) ([]store.Receipt, error) {
	var found []store.Receipt
	var err error
	switch {
	case fresh && b.ahead.has(room):
		found = b.ahead.receipts[room]
	case fresh:
		found, err = b.s.store.ReceiptsBetween(ctx, room, 0, b.to)
	case b.delta.known:
		found, err = b.s.receipts.at(ctx, b.s.store, room, d.receipts)
	default:
		found, err = b.s.store.ReceiptsBetween(ctx, room, b.from, b.to)
	}
	want := &b.r.Filter.Room.Ephemeral
	return slices.DeleteFunc(slices.Clone(found), func(r store.Receipt) bool {
		_, ignored := b.ignored[event.UserID(r.UserID)]
		return ignored || r.StreamPos > b.to || r.Type == store.ReceiptTypePrivate && r.UserID != string(b.r.User) ||
			!want.Matches(typeReceipt, r.UserID)
	}), err
}

// receiptEvents puts receipts into as few m.receipt events as can hold them:
// a user may have more than one on an event, of different threads, for which
// the content has only one place.
func receiptEvents(receipts []store.Receipt) [][]byte {
	type place struct{ event, typ, user string }
	var events [][]byte
	for len(receipts) > 0 {
		taken := map[place]bool{}
		var now, later []store.Receipt
		for _, r := range receipts {
			if p := (place{r.EventID, r.Type, r.UserID}); !taken[p] {
				taken[p] = true
				now = append(now, r)
				continue
			}
			later = append(later, r)
		}
		events = append(events, receiptEvent(now))
		receipts = later
	}
	return events
}

func receiptEvent(receipts []store.Receipt) []byte {
	slices.SortFunc(receipts, func(a, b store.Receipt) int {
		return slices.Compare([]string{a.EventID, a.Type, a.UserID}, []string{b.EventID, b.Type, b.UserID})
	})
	e := append([]byte(nil), `{"content":{`...)
	for i, r := range receipts {
		switch {
		case i == 0 || receipts[i-1].EventID != r.EventID:
			if i > 0 {
				e = append(e, `}},`...)
			}
			e = append(event.AppendString(e, r.EventID), `:{`...)
			e = append(event.AppendString(e, r.Type), `:{`...)
		case receipts[i-1].Type != r.Type:
			e = append(e, `},`...)
			e = append(event.AppendString(e, r.Type), `:{`...)
		default:
			e = append(e, ',')
		}
		e = append(event.AppendString(e, r.UserID), `:{"ts":`...)
		e = strconv.AppendInt(e, r.TS, 10)
		if r.Thread != "" {
			e = event.AppendString(append(e, `,"thread_id":`...), r.Thread)
		}
		e = append(e, '}')
	}
	return append(e, `}}},"type":"m.receipt"}`...)
}

// roomAccountData returns the events of the user's account data of a room.
func (b *builder) roomAccountData(ctx context.Context, info *rooms.Info, fresh bool) ([][]byte, error) {
	want := &b.r.Filter.Room.AccountData
	if !want.MatchesRoom(string(info.ID)) {
		return nil, nil
	}
	found := b.accountData[info.NID]
	if fresh && !b.initial() {
		all, err := b.s.store.AccountDataOfRoom(ctx, string(b.r.User), info.NID)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(all, func(d store.AccountData) bool { return d.StreamPos > b.to })
	}
	var events [][]byte
	for _, d := range found {
		if want.Matches(d.Type, d.UserID) {
			events = append(events, accountDataEvent(d.Type, d.Content))
		}
	}
	return events, nil
}

// maxRecentReceipts bounds how many receipts are kept in memory.
const maxRecentReceipts = 8192

// recentReceipts keeps receipts by their stream position, so that one that
// wakes a whole room is read once.
type recentReceipts struct {
	mu    sync.Mutex
	byPos map[int64]*store.Receipt // nil: another one took its place
}

func newRecentReceipts() *recentReceipts { return &recentReceipts{byPos: map[int64]*store.Receipt{}} }

// at returns the receipts of a room that were set at the positions, oldest
// first. Those that others took the place of are left out.
func (c *recentReceipts) at(ctx context.Context, s *store.Store, room int64, positions []int64) ([]store.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.have(positions) {
		found, err := s.ReceiptsBetween(ctx, room, positions[0]-1, positions[len(positions)-1])
		if err != nil {
			return nil, err
		}
		if len(c.byPos)+len(positions) > maxRecentReceipts {
			clear(c.byPos)
		}
		for _, p := range positions {
			c.byPos[p] = nil
		}
		for i := range found {
			c.byPos[found[i].StreamPos] = &found[i]
		}
	}
	var all []store.Receipt
	last := int64(math.MinInt64)
	for _, p := range positions {
		if r := c.byPos[p]; r != nil && p > last {
			all = append(all, *r)
			last = p
		}
	}
	return all, nil
}

func (c *recentReceipts) have(positions []int64) bool {
	for _, p := range positions {
		if _, ok := c.byPos[p]; !ok {
			return false
		}
	}
	return true
}
