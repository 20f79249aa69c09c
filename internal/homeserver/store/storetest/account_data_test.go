// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Changes of one piece of account data see each other, also where they share
// a commit, with what was put in between.
func TestChangesOfAccountDataInOneCommitAreMadeOneAfterTheOther(t *testing.T) {
	Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		const alice, tag = "@alice:" + ServerName, "m.tag"
		var waits []func() (store.Committed, error)
		for i := range 6 {
			add := func(old []byte) ([]byte, error) { return fmt.Append(old, i), nil }
			if i == 4 {
				add = func([]byte) ([]byte, error) { return nil, nil }
			}
			waits = append(waits, s.Submit(store.Write{Apply: func(ctx context.Context, tx *store.Tx) error {
				return tx.ChangeAccountData(ctx, store.AccountDataChange{UserID: alice, RoomNID: int64(i % 2), Type: tag, New: add})
			}}))
		}
		Start(t.Context(), t, s)
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Fatal(err)
			}
		}
		for room, want := range []string{"02", "135"} {
			d, err := s.AccountData(t.Context(), alice, int64(room), tag)
			if err != nil || string(d.Content) != want {
				t.Errorf("room %d has %q, %v, want %q", room, d.Content, err, want)
			}
		}
	})
}
