// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Most of 5,000 public rooms do not match: a page of a search looks at a part
// of them, and tells where to go on.
func TestASearchOfALargeRoomDirectoryTakesItInParts(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		public := func(name string) event.RoomID {
			return s.create(rooms.CreateRequest{Public: true, Name: &name})
		}
		last := public("needle one") // of rooms with as many members the newest comes first
		s.fillDirectory(5000)
		first := public("needle two")
		walk := func(q rooms.DirectoryQuery, next func(*rooms.DirectoryPage) string) (found []event.RoomID, pages int, end string) {
			t.Helper()
			for ; ; pages++ {
				page, err := s.Directory(s.ctx, q)
				s.must(err)
				for _, r := range page.Rooms {
					found = append(found, r.ID)
				}
				if next(page) == "" {
					return found, pages + 1, q.Since
				}
				q.Since = next(page)
			}
		}
		forwards := func(p *rooms.DirectoryPage) string { return p.Next }
		found, pages, end := walk(rooms.DirectoryQuery{Limit: 10, Term: "Needle"}, forwards)
		if !slices.Equal(found, []event.RoomID{first, last}) || pages != 3 {
			t.Errorf("found %v on %d pages, want %v and %v on 3", found, pages, first, last)
		}
		page, err := s.Directory(s.ctx, rooms.DirectoryQuery{Limit: 10, Term: "Needle", Since: end})
		s.must(err)
		found, pages, _ = walk(rooms.DirectoryQuery{Limit: 10, Term: "Needle", Since: page.Prev},
			func(p *rooms.DirectoryPage) string { return p.Prev })
		if !slices.Equal(found, []event.RoomID{first}) || pages != 3 {
			t.Errorf("backwards found %v on %d pages, want %v on 3", found, pages, first)
		}
		found, pages, _ = walk(rooms.DirectoryQuery{Limit: 2000}, forwards)
		if len(found) != 5002 || pages != 3 {
			t.Errorf("%d rooms on %d pages without a term", len(found), pages)
		}
	})
}

// fillDirectory makes public rooms that are nothing but rows.
func (s *server) fillDirectory(n int) {
	s.t.Helper()
	first, err := s.store.NewIDs(s.ctx, "room", int64(n))
	s.must(err)
	for part := range n / 500 {
		s.must(s.store.Do(s.ctx, func(ctx context.Context, tx *store.Tx) error {
			for i := range 500 {
				nid := first + int64(part*500+i)
				r := store.Room{NID: nid, ID: fmt.Sprintf("!%d:test.example", nid), Version: "12", Public: true, Heads: []byte{}, Joined: 1}
				if err := tx.InsertRoom(ctx, r); err != nil {
					return err
				}
			}
			tx.Change(store.Change{Kind: store.ChangeDirectory})
			return nil
		}))
	}
}
