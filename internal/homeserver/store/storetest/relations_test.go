// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const threadRoom = 1

// threadModel is what threads should be: the replies that are left, oldest first.
type threadModel struct {
	replies []*store.Relation
	nid     int64
}

// step returns the next write: a reply, or the redaction of one, which may
// have been redacted before.
func (m *threadModel) step(rng *rand.Rand, redacted []*store.Relation) (store.Write, *store.Relation) {
	if n := len(m.replies); n > 0 && rng.IntN(5) < 2 {
		i := rng.IntN(n)
		r := m.replies[i]
		if len(redacted) > 0 && rng.IntN(4) == 0 {
			r = redacted[rng.IntN(len(redacted))]
		} else {
			m.replies = append(m.replies[:i:i], m.replies[i+1:]...)
		}
		return store.Write{Apply: func(_ context.Context, tx *store.Tx) error {
			tx.DeleteRelation(r)
			return nil
		}}, r
	}
	m.nid++
	r := &store.Relation{
		EventNID: m.nid, EventID: fmt.Sprint("$reply", m.nid), RoomNID: threadRoom, RelatesTo: fmt.Sprint("$root", rng.IntN(2)),
		RelType: "m.thread", Type: "m.room.message", Sender: fmt.Sprintf("@%d:%s", rng.IntN(2), ServerName),
	}
	m.replies = append(m.replies, r)
	return store.Write{Apply: func(_ context.Context, tx *store.Tx) error {
		pos := tx.Change(store.Change{Kind: store.ChangeEvent, RoomNID: threadRoom, Ref: r.EventNID})
		tx.InsertEvent(&store.Event{NID: r.EventNID, ID: r.EventID, RoomNID: threadRoom, Type: r.Type, Sender: r.Sender, JSON: []byte("{}")}, pos)
		tx.InsertRelation(r, pos)
		return nil
	}}, nil
}

// want lists each sender's last reply in each thread and how many there are.
func (m *threadModel) want() map[string]string {
	counts, want := map[string]int{}, map[string]string{}
	for _, r := range m.replies {
		key := r.RelatesTo + " " + r.Sender
		counts[key]++
		want[key] = fmt.Sprint(counts[key], " ", r.EventID)
	}
	return want
}

// Replies and redactions that share a commit give the same threads as those
// that come one after the other.
func TestThreadsFollowRepliesAndRedactionsInOneCommitAndInMany(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			Each(t, func(t *testing.T, open func() *store.Store) { testThreads(t, open(), seed) })
		})
	}
}

func testThreads(t *testing.T, s *store.Store, seed uint64) {
	const together, all = 60, 80
	rng := rand.New(rand.NewPCG(seed, 3))
	m := &threadModel{}
	var redacted []*store.Relation
	var waits []func() (store.Committed, error)
	for i := range all {
		write, gone := m.step(rng, redacted)
		if gone != nil {
			redacted = append(redacted, gone)
		}
		if i == together {
			Start(t.Context(), t, s) // what was submitted before is one group
		}
		waits = append(waits, s.Submit(write))
		if i < together {
			continue
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Fatal(err)
			}
		}
		waits = nil
	}
	children, err := s.Aggregates(t.Context(), threadRoom, []string{"$root0", "$root1"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range children {
		got[c.RelatesTo+" "+c.Sender] = fmt.Sprint(c.Count, " ", c.EventID)
	}
	if diff := cmp.Diff(m.want(), got); diff != "" {
		t.Errorf("threads (-want +got):\n%s", diff)
	}
}
