// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Head is a forward extremity as it is stored.
type Head struct {
	NID int64
	ID  event.EventID
}

// DecodeHeads reads store.Room.Heads. The error is a store.ErrCorrupt.
func DecodeHeads(heads []byte) ([]Head, error) {
	tips, err := decodeHeads(heads)
	if err != nil {
		return nil, err
	}
	all := make([]Head, len(tips))
	for i, t := range tips {
		all[i] = Head{t.nid, t.ref.ID}
	}
	return all, nil
}

// DecodeState reads a state with its parents, the newest first: the event of
// each key. The error is a store.ErrCorrupt.
func DecodeState(rows []store.StateRow) (map[int64]int64, error) {
	var c chain
	for _, row := range rows {
		c = append(c, newLayer(row))
	}
	pairs, err := c.expand()
	if err != nil {
		return nil, err
	}
	state := make(map[int64]int64, len(pairs))
	for _, p := range pairs {
		state[p.key] = p.nid
	}
	return state, nil
}
