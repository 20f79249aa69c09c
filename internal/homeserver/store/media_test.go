// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// succeed counts how many of n calls at a time succeed; the others must
// return the error refused.
func succeed(t *testing.T, n int, refused error, call func(i int) error) int {
	t.Helper()
	outcomes := make(chan error, n)
	var g errgroup.Group
	for i := range n {
		g.Go(func() error {
			outcomes <- call(i)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	succeeded := 0
	for range n {
		if err := <-outcomes; err == nil {
			succeeded++
		} else if !errors.Is(err, refused) {
			t.Errorf("refused with %v, want %v", err, refused)
		}
	}
	return succeeded
}

func TestMediaQuotaAndPendingOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		if n := succeed(t, 8, store.ErrTooMany, func(i int) error {
			return s.AddMedia(ctx, store.Media{ID: "m" + strconv.Itoa(i), UserID: "@a:b", SHA256: []byte{1}, Size: 6000}, 20_000)
		}); n != 3 {
			t.Errorf("%d uploads of 6000 bytes fit into 20000", n)
		}
		if used, err := s.MediaUsage(ctx, "@a:b"); err != nil || used != 18_000 {
			t.Errorf("usage %d (%v)", used, err)
		}
		if used, err := s.MediaUsage(ctx, "@other:b"); err != nil || used != 0 {
			t.Errorf("usage of another user: %d (%v)", used, err)
		}
		if n := succeed(t, 8, store.ErrTooMany, func(i int) error {
			return s.AddPendingMedia(ctx, store.PendingMedia{ID: "p" + strconv.Itoa(i), UserID: "@a:b", ExpiresTS: 100}, 10, 5)
		}); n != 5 {
			t.Errorf("%d uploads are pending, want 5", n)
		}
		late := store.PendingMedia{ID: "late", UserID: "@a:b", ExpiresTS: 200}
		if err := s.AddPendingMedia(ctx, late, 100, 5); err != nil {
			t.Fatalf("when the others have expired: %v", err)
		}
		for i := range 8 {
			if p, err := s.PendingMedia(ctx, "p"+strconv.Itoa(i)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an expired one is kept: %+v (%v)", p, err)
			}
		}
		finish := func(user string, at int64) error {
			return s.FinishMedia(ctx, store.Media{ID: "late", UserID: user, SHA256: []byte{1}, Size: 9, CreatedTS: at}, 1<<40)
		}
		for name, err := range map[string]error{"another user": finish("@other:b", 150), "too late": finish("@a:b", 200)} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if used, err := s.MediaUsage(ctx, "@other:b"); err != nil || used != 0 {
			t.Errorf("what was refused is counted: %d (%v)", used, err)
		}
		if n := succeed(t, 4, store.ErrNotFound, func(int) error { return finish("@a:b", 150) }); n != 1 {
			t.Errorf("%d uploads to one id", n)
		}
		if m, err := s.Media(ctx, "late"); err != nil || m.UserID != "@a:b" {
			t.Errorf("media %+v (%v)", m, err)
		}
		if used, err := s.MediaUsage(ctx, "@a:b"); err != nil || used != 18_000+store.MediaUnit {
			t.Errorf("usage %d (%v)", used, err)
		}
	})
}
