// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A random walk through states has to give, at every step, what a plain map gives.
func TestLayeredStatesHoldWhatAPlainMapHolds(t *testing.T) {
	for _, keys := range []int64{3, 30, 300, 3000} {
		rng := rand.New(rand.NewPCG(1, uint64(keys)))
		var state chain
		plain := map[int64]int64{}
		for step := int64(1); step <= 1500; step++ {
			changes := randomChanges(rng, plain, keys, step)
			next, err := state.derive(step, changes)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range changes {
				plain[p.key] = p.nid
				if p.nid == 0 {
					delete(plain, p.key)
				}
			}
			state = next
			checkShape(t, state, len(plain))
			checkSample(t, rng, state, plain, keys)
			if step%97 == 0 {
				checkAll(t, state, plain)
			}
		}
		checkAll(t, state, plain)
	}
}

// randomChanges sets mostly one key, sometimes many, and sometimes removes keys that are there.
func randomChanges(rng *rand.Rand, plain map[int64]int64, keys, step int64) []pair {
	changes := map[int64]int64{}
	count := 1
	if rng.IntN(20) == 0 {
		count = 1 + rng.IntN(40)
	}
	for i := range count {
		key := rng.Int64N(keys)*7 + 1
		nid := step*100 + int64(i)
		if rng.IntN(5) == 0 && plain[key] != 0 {
			nid = 0
		}
		changes[key] = nid
	}
	var sorted []pair
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		sorted = append(sorted, pair{key, changes[key]})
	}
	return sorted
}

func checkShape(t *testing.T, state chain, n int) {
	t.Helper()
	if len(state) > 4 {
		t.Fatalf("%d layers", len(state))
	}
	if state[0].n != int64(n) {
		t.Fatalf("n is %d, want %d", state[0].n, n)
	}
	for i, l := range state {
		last := i == len(state)-1
		if last != (l.level == 0) || last != (l.parent == 0) {
			t.Fatalf("layer %d of %d has level %d and parent %d", i, len(state), l.level, l.parent)
		}
		if !last && (state[i+1].level >= l.level || l.parent != state[i+1].nid) {
			t.Fatalf("layer %d stands on level %d", i, state[i+1].level)
		}
	}
}

func checkSample(t *testing.T, rng *rand.Rand, state chain, plain map[int64]int64, keys int64) {
	t.Helper()
	for range 10 {
		key := rng.Int64N(keys*7) + 1
		nid, err := state.lookup(key)
		if err != nil || nid != plain[key] {
			t.Fatalf("key %d: %d, %v; want %d", key, nid, err, plain[key])
		}
	}
}

func checkAll(t *testing.T, state chain, plain map[int64]int64) {
	t.Helper()
	pairs, err := state.expand()
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]int64{}
	for _, p := range pairs {
		got[p.key] = p.nid
	}
	if !maps.Equal(got, plain) || len(pairs) != len(plain) {
		t.Fatalf("got %d keys, want %d", len(got), len(plain))
	}
}

// Ten thousand members who come one by one must cost far less than a copy of the state each.
func TestTenThousandJoinsCostLittle(t *testing.T) {
	var state chain
	var total int64
	const members = 10_000
	for nid := int64(1); nid <= members; nid++ {
		next, err := state.derive(nid, []pair{{nid*2 + 1, nid + 1000}})
		if err != nil {
			t.Fatal(err)
		}
		state = next
		total += int64(len(state[0].added) + len(state[0].removed))
	}
	if perState := total / members; perState > 150 {
		t.Errorf("%d bytes a state", perState)
	} else {
		t.Logf("%d bytes a state, %d in all", perState, total)
	}
}

func TestAnUnreadableStateIsAnError(t *testing.T) {
	bad := chain{{nid: 1, added: []byte{0x80}}}
	if _, err := bad.lookup(5); err == nil {
		t.Error("lookup succeeded")
	}
	if _, err := bad.expand(); err == nil {
		t.Error("expand succeeded")
	}
}
