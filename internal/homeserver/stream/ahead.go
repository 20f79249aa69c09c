// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// aheadRooms is how many rooms of an initial sync are read in one go, and
	// aheadEvents how many events of their timelines that may be: they have to
	// stay in the cache until they are written, next to those of other syncs.
	aheadRooms  = 20
	aheadEvents = 500
)

// step is how many rooms are read in one go.
func (b *builder) step() int {
	return max(1, min(aheadRooms, aheadEvents/(b.r.Filter.Room.Timeline.Max()+1)))
}

// ahead is what was read of some rooms before they are written, so that the
// number of queries does not grow with theirs. What else there is to read is
// in the caches then.
type ahead struct {
	// rooms are those that it is about.
	rooms    map[int64]bool
	latest   map[int64][]int64
	receipts map[int64][]store.Receipt
	named    map[int64]bool
	heroes   map[int64][]store.Hero
}

// readAhead reads the first of the rooms.
func (b *builder) readAhead(ctx context.Context, members []rooms.Membership) error {
	b.ahead = &ahead{rooms: map[int64]bool{}}
	nids := make([]int64, 0, aheadRooms)
	for _, m := range members[:min(len(members), b.step())] {
		if m.Forgotten || m.Membership != membershipJoin {
			continue
		}
		if want := b.r.Filter.Room; want.Rooms != nil || len(want.NotRooms) > 0 {
			switch info, err := b.info(ctx, m); {
			case err != nil:
				return err
			case info == nil:
				continue
			}
		}
		nids = append(nids, m.RoomNID)
	}
	if len(nids) < 2 {
		return nil
	}
	var err error
	b.ahead.latest, err = b.s.rooms.Warm(ctx, rooms.WarmQuery{
		RoomNIDs: nids, User: b.r.User, UpTo: b.to, Limit: b.r.Filter.Room.Timeline.Max() + 1, Lazy: b.lazy(),
	})
	if err != nil {
		return fmt.Errorf("read rooms ahead: %w", err)
	}
	if b.ahead.receipts, err = b.s.store.ReceiptsOf(ctx, nids, b.to); err != nil {
		return fmt.Errorf("read receipts: %w", err)
	}
	if b.ahead.named, err = b.s.rooms.Named(ctx, nids); err != nil {
		return fmt.Errorf("read names: %w", err)
	}
	if err := b.readHeroes(ctx, nids); err != nil {
		return fmt.Errorf("read heroes: %w", err)
	}
	for _, nid := range nids {
		b.ahead.rooms[nid] = true
	}
	return nil
}

// readHeroes reads after whom rooms without a name can be called.
func (b *builder) readHeroes(ctx context.Context, nids []int64) error {
	b.ahead.heroes = map[int64][]store.Hero{}
	for _, memberships := range heroMemberships {
		var nameless []int64
		for _, nid := range nids {
			if !b.ahead.named[nid] && len(b.ahead.heroes[nid]) == 0 {
				nameless = append(nameless, nid)
			}
		}
		found, err := b.s.store.HeroesOf(ctx, nameless, memberships, string(b.r.User), maxHeroes)
		if err != nil {
			return err
		}
		for nid, heroes := range found {
			b.ahead.heroes[nid] = heroes
		}
	}
	return nil
}

// has reports whether a room was read ahead.
func (a *ahead) has(room int64) bool { return a != nil && a.rooms[room] }
