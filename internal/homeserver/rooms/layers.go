// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// A room state maps interned state keys to event nids. It is stored as a
// layer: the difference to a parent layer, which has a parent in turn, up to
// a full one. There are at most four levels (0 is full), and a level holds at
// most about n^(3/4), n^(1/2), n^(1/4) keys of a state of n, so that a new
// state costs few bytes and reading one key touches four rows at most.

// pair is one key of a state with its event; an event of 0 means removed.
type pair struct{ key, nid int64 }

// layer is a row of table state.
type layer struct {
	nid, parent    int64
	level          int64
	n              int64
	added, removed []byte
}

func newLayer(r store.StateRow) *layer {
	return &layer{nid: r.NID, parent: r.ParentNID, level: r.Level, n: r.N, added: r.Added, removed: r.Removed}
}

func (l *layer) row(roomNID int64) *store.StateRow {
	return &store.StateRow{
		NID: l.nid, RoomNID: roomNID, ParentNID: l.parent, Level: l.level, N: l.n, Added: l.added, Removed: l.removed,
	}
}

// size is about the memory that l takes.
func (l *layer) size() int64 { return int64(len(l.added)+len(l.removed)) + 96 }

// chain is a state: its layers, the newest first. It is never changed.
type chain []*layer

// lookup returns the event of key, 0 if there is none.
func (c chain) lookup(key int64) (int64, error) {
	for _, l := range c {
		nid, err := findPair(l.added, key)
		if err != nil || nid != 0 {
			return nid, err
		}
		gone, err := findKey(l.removed, key)
		if err != nil || gone {
			return 0, err
		}
	}
	return 0, nil
}

// expand returns the whole state, by key.
func (c chain) expand() ([]pair, error) {
	var merged []pair
	for _, l := range slices.Backward(c) {
		delta, err := l.pairs()
		if err != nil {
			return nil, err
		}
		merged = mergePairs(merged, delta)
	}
	return slices.DeleteFunc(merged, func(p pair) bool { return p.nid == 0 }), nil
}

// pairs returns the difference that l makes, by key.
func (l *layer) pairs() ([]pair, error) {
	var added, removed []pair
	err := eachPair(l.added, func(p pair) bool { added = append(added, p); return true })
	if err != nil {
		return nil, err
	}
	err = eachKey(l.removed, func(key int64) bool { removed = append(removed, pair{key: key}); return true })
	return mergePairs(added, removed), err
}

// mergePairs merges two sorted differences; newer wins.
func mergePairs(older, newer []pair) []pair {
	if len(older) == 0 {
		return newer
	}
	merged := make([]pair, 0, len(older)+len(newer))
	for len(older) > 0 && len(newer) > 0 {
		switch {
		case older[0].key < newer[0].key:
			merged, older = append(merged, older[0]), older[1:]
		case older[0].key == newer[0].key:
			older = older[1:]
		default:
			merged, newer = append(merged, newer[0]), newer[1:]
		}
	}
	return append(append(merged, older...), newer...)
}

// smallState is up to how many keys every state is written in full.
const smallState = 24

// capacity is how many keys a layer of the level may hold in a state of n.
func capacity(level, n int64) int {
	switch level {
	case 1:
		return int(math.Pow(float64(n), 0.75))
	case 2:
		return int(math.Sqrt(float64(n)))
	default:
		return max(4, int(math.Sqrt(math.Sqrt(float64(n)))))
	}
}

// derive returns the state that c becomes by changes, sorted by key with a
// nid of 0 for keys that go. nid is the number of the new state. Changes must
// change something: a key that goes was there.
func (c chain) derive(nid int64, changes []pair) (chain, error) {
	n, err := c.countAfter(changes)
	if err != nil {
		return nil, err
	}
	delta, parents, level := changes, c, int64(3)
	for len(parents) > 0 {
		top := parents[0]
		if top.level < level && len(delta) <= capacity(level, n) && n > smallState {
			break
		}
		// Fold the parent in, and stand where it stood or one level down.
		older, err := top.pairs()
		if err != nil {
			return nil, err
		}
		delta, parents = mergePairs(older, delta), parents[1:]
		for level > 0 && len(delta) > capacity(level, n) {
			level--
		}
	}
	l := &layer{nid: nid, level: level, n: n}
	if len(parents) == 0 {
		l.level = 0
		delta = slices.DeleteFunc(slices.Clone(delta), func(p pair) bool { return p.nid == 0 })
	} else {
		l.parent = parents[0].nid
	}
	l.added, l.removed = encodeDelta(delta)
	return append(chain{l}, parents...), nil
}

// countAfter is how many keys the state has after changes.
func (c chain) countAfter(changes []pair) (int64, error) {
	var n int64
	if len(c) > 0 {
		n = c[0].n
	}
	for _, change := range changes {
		before, err := c.lookup(change.key)
		switch {
		case err != nil:
			return 0, err
		case before == 0 && change.nid != 0:
			n++
		case before != 0 && change.nid == 0:
			n--
		}
	}
	return n, nil
}

// encodeDelta writes a sorted difference.
func encodeDelta(delta []pair) (added, removed []byte) {
	added, removed = []byte{}, []byte{}
	var lastKey, lastNID, lastRemoved int64
	for _, p := range delta {
		if p.nid == 0 {
			removed = binary.AppendVarint(removed, p.key-lastRemoved)
			lastRemoved = p.key
			continue
		}
		added = binary.AppendVarint(added, p.key-lastKey)
		added = binary.AppendVarint(added, p.nid-lastNID)
		lastKey, lastNID = p.key, p.nid
	}
	return added, removed
}

// errCorruptState says that a stored state cannot be read.
var errCorruptState = fmt.Errorf("%w: unreadable room state", store.ErrCorrupt)

// eachPair calls f with the pairs of an added column until f returns false.
func eachPair(data []byte, f func(pair) bool) error {
	var p pair
	for len(data) > 0 {
		key, n := binary.Varint(data)
		if n <= 0 {
			return errCorruptState
		}
		data = data[n:]
		nid, n := binary.Varint(data)
		if n <= 0 {
			return errCorruptState
		}
		data = data[n:]
		p = pair{p.key + key, p.nid + nid}
		if !f(p) {
			return nil
		}
	}
	return nil
}

// eachKey calls f with the keys of a removed column until f returns false.
func eachKey(data []byte, f func(key int64) bool) error {
	var key int64
	for len(data) > 0 {
		step, n := binary.Varint(data)
		if n <= 0 {
			return errCorruptState
		}
		data = data[n:]
		key += step
		if !f(key) {
			return nil
		}
	}
	return nil
}

func findPair(data []byte, key int64) (nid int64, err error) {
	err = eachPair(data, func(p pair) bool {
		if p.key == key {
			nid = p.nid
		}
		return p.key < key
	})
	return nid, err
}

func findKey(data []byte, key int64) (found bool, err error) {
	err = eachKey(data, func(k int64) bool {
		found = k == key
		return k < key
	})
	return found, err
}
