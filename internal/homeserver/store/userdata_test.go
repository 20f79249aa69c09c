// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// eachUserData runs test with a running store on both databases.
func eachUserData(t *testing.T, test func(ctx context.Context, t *testing.T, s *store.Store)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		storetest.Start(t.Context(), t, s)
		test(context.Background(), t, s)
	})
}

func TestAReceiptIsNeverReplacedByAnOlderOne(t *testing.T) {
	eachUserData(t, func(ctx context.Context, t *testing.T, s *store.Store) {
		put := func(event string, pos int64) {
			t.Helper()
			r := store.Receipt{RoomNID: 1, UserID: "@a:x", Type: "m.read", EventID: event, EventPos: pos, TS: pos}
			if err := s.PutReceipts(ctx, []store.Receipt{r}, nil); err != nil {
				t.Fatal(err)
			}
		}
		put("$2", 2)
		put("$1", 1)
		found, err := s.ReceiptsBetween(ctx, 1, 0, s.Log().Head())
		if err != nil || len(found) != 1 || found[0].EventID != "$2" || found[0].StreamPos != 1 {
			t.Errorf("receipts %+v, %v", found, err)
		}
		put("$3", 3)
		if pos, err := s.ReceiptPos(ctx, store.Receipt{RoomNID: 1, UserID: "@a:x", Type: "m.read"}); err != nil || pos != 3 {
			t.Errorf("position %d, %v, want 3", pos, err)
		}
		if _, err := s.ReceiptPos(ctx, store.Receipt{RoomNID: 1, UserID: "@a:x", Type: "m.read", Thread: "main"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another thread: %v, want ErrNotFound", err)
		}
	})
}

func TestGuardedAccountDataDoesNotMoveBack(t *testing.T) {
	eachUserData(t, func(ctx context.Context, t *testing.T, s *store.Store) {
		for _, guard := range []int64{5, 3} {
			d := store.AccountData{UserID: "@a:x", RoomNID: 1, Type: "m.fully_read", Content: fmt.Appendf(nil, `{"n":%d}`, guard), Guard: guard}
			if err := s.PutReceipts(ctx, nil, &d); err != nil {
				t.Fatal(err)
			}
		}
		d := store.AccountData{UserID: "@a:x", Type: "t\x00", Content: []byte(`{"b":"\u0000"}`)}
		if err := s.PutAccountData(ctx, d, store.AccountDataLimits{Pieces: 100, Bytes: 1000}); err != nil {
			t.Fatal(err)
		}
		found, err := s.AccountDataBetween(ctx, "@a:x", 0, s.Log().Head())
		want := []store.AccountData{
			{UserID: "@a:x", RoomNID: 1, Type: "m.fully_read", Content: []byte(`{"n":5}`), Guard: 5, StreamPos: 1},
			{UserID: "@a:x", Type: "t\x00", Content: []byte(`{"b":"\u0000"}`), StreamPos: 3},
		}
		if diff := cmp.Diff(want, found); diff != "" || err != nil {
			t.Errorf("account data differs, %v:\n%s", err, diff)
		}
		if of, err := s.AccountDataOfRoom(ctx, "@a:x", 1); err != nil || len(of) != 1 {
			t.Errorf("of the room: %+v, %v", of, err)
		}
	})
}

func TestTheSameFilterHasOneNumberAndOldOnesGo(t *testing.T) {
	eachUserData(t, func(ctx context.Context, t *testing.T, s *store.Store) {
		const keep = 3
		put := func(json string) int64 {
			t.Helper()
			id, err := s.PutFilter(ctx, "@a:x", []byte(json), keep)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		first := put(`{"a":1}`)
		if again := put(`{"a":1}`); again != first {
			t.Errorf("the same filter has numbers %d and %d", first, again)
		}
		var last int64
		for i := range keep {
			last = put(fmt.Sprintf(`{"b":%d}`, i))
		}
		if _, err := s.Filter(ctx, "@a:x", first); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the oldest of %d filters: %v, want ErrNotFound", keep+1, err)
		}
		if json, err := s.Filter(ctx, "@a:x", last); err != nil || string(json) != `{"b":2}` {
			t.Errorf("the newest is %s, %v", json, err)
		}
		if _, err := s.Filter(ctx, "@b:x", last); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another user's: %v, want ErrNotFound", err)
		}
	})
}

func TestChangesOfManyRoomsAreFound(t *testing.T) {
	eachUserData(t, func(ctx context.Context, t *testing.T, s *store.Store) {
		const rooms = 700 // more than go into one list
		err := s.Do(ctx, func(_ context.Context, tx *store.Tx) error {
			for i := range int64(rooms) {
				tx.Change(store.Change{Kind: store.ChangeEvent, RoomNID: i + 1, UserID: "@a:x", Ref: i})
			}
			tx.Change(store.Change{Kind: store.ChangeReceipt, RoomNID: 1, UserID: "@b:x"})
			tx.Change(store.Change{Kind: store.ChangeAccountData, UserID: "@b:x"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all := make([]int64, rooms)
		for i := range all {
			all[i] = int64(i) + 1
		}
		found, err := s.RoomChangesBetween(ctx, all, 10, s.Log().Head())
		if err != nil || len(found) != rooms-10+1 {
			t.Errorf("%d changes, %v, want %d", len(found), err, rooms-10+1)
		}
		own, err := s.UserChangesBetween(ctx, "@b:x", 0, s.Log().Head())
		if err != nil || len(own) != 2 {
			t.Errorf("own changes %+v, %v", own, err)
		}
	})
}
