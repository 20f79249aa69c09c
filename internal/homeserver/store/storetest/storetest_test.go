// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"context"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

func TestAChangeOfOneStoreIsReadBackAtItsPosition(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		s := open()
		storetest.Start(ctx, t, s)
		err := s.Do(ctx, func(_ context.Context, tx *store.Tx) error {
			tx.Change(store.Change{Kind: store.ChangeProfile, UserID: "@a:test.example"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Log().Head(); got != 1 {
			t.Errorf("head %d, want 1", got)
		}
		changes, err := s.ChangesBetween(ctx, 0, 1, 10)
		if err != nil || len(changes) != 1 || changes[0].UserID != "@a:test.example" || changes[0].Pos != 1 {
			t.Errorf("changes %+v, %v", changes, err)
		}
	})
}
