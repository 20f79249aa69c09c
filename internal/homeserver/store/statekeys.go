// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"sync"
)

// StateKey is a pair of event type and state key.
type StateKey struct{ Type, Key string }

// stateKeyCache remembers interned pairs, both ways. Pairs never change, so
// an entry is never stale; the cache starts anew when it is full.
type stateKeyCache struct {
	mu   sync.RWMutex
	ids  map[StateKey]int64
	keys map[int64]StateKey
}

// maxStateKeys bounds the cache to some megabytes.
const maxStateKeys = 50_000

func newStateKeyCache() *stateKeyCache {
	return &stateKeyCache{ids: map[StateKey]int64{}, keys: map[int64]StateKey{}}
}

func (c *stateKeyCache) put(id int64, k StateKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) >= maxStateKeys {
		c.ids, c.keys = map[StateKey]int64{}, map[int64]StateKey{}
	}
	c.ids[k], c.keys[id] = id, k
}

const selectStateKeyID = `SELECT skid FROM state_keys WHERE type = $1 AND state_key = $2`

var insertStateKey = &Insert{Table: "state_keys", Columns: "skid, type, state_key", Suffix: "ON CONFLICT (type, state_key) DO NOTHING"}

// StateKeyID returns the id of k, or ErrNotFound when no room ever had it.
func (s *Store) StateKeyID(ctx context.Context, k StateKey) (int64, error) {
	s.stateKeys.mu.RLock()
	id, ok := s.stateKeys.ids[k]
	s.stateKeys.mu.RUnlock()
	if ok {
		return id, nil
	}
	id, err := queryOne(ctx, s, scanInt64, selectStateKeyID, []byte(k.Type), []byte(k.Key))
	if err == nil {
		s.stateKeys.put(id, k)
	}
	return id, err
}

// InternStateKey returns the id of k, making one when there is none. It may
// wait for a commit: do not call it inside Write.Apply.
func (s *Store) InternStateKey(ctx context.Context, k StateKey) (int64, error) {
	ids, err := s.InternStateKeys(ctx, []StateKey{k})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// InternStateKeys is InternStateKey for many keys with one commit at most.
func (s *Store) InternStateKeys(ctx context.Context, keys []StateKey) ([]int64, error) {
	ids := make([]int64, len(keys))
	var missing []int
	for i, k := range keys {
		id, err := s.StateKeyID(ctx, k)
		if errors.Is(err, ErrNotFound) {
			missing = append(missing, i)
			continue
		}
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	if len(missing) == 0 {
		return ids, nil
	}
	first, err := s.NewIDs(ctx, "state_key", int64(len(missing)))
	if err != nil {
		return nil, err
	}
	err = s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for n, i := range missing {
			tx.Insert(insertStateKey, stateKeyID(first+int64(n), keys[i]), []byte(keys[i].Type), []byte(keys[i].Key))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range missing {
		// Somebody else may have been faster.
		if ids[i], err = s.StateKeyID(ctx, keys[i]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// stateKeyID makes the id of k of a fresh number: see IsMemberKey.
func stateKeyID(number int64, k StateKey) int64 {
	if k.Type == memberType {
		return 2*number + 1
	}
	return 2 * number
}

const memberType = "m.room.member"

// IsMemberKey reports whether id is that of an m.room.member key, so that the
// state of a room with many members can be read without looking up them all.
func IsMemberKey(id int64) bool { return id&1 == 1 }

const selectStateKeys = `SELECT skid, type, state_key FROM state_keys WHERE skid IN `

// StateKeys returns the pairs of ids.
func (s *Store) StateKeys(ctx context.Context, ids []int64) (map[int64]StateKey, error) {
	found := make(map[int64]StateKey, len(ids))
	var missing []int64
	s.stateKeys.mu.RLock()
	for _, id := range ids {
		if k, ok := s.stateKeys.keys[id]; ok {
			found[id] = k
		} else {
			missing = append(missing, id)
		}
	}
	s.stateKeys.mu.RUnlock()
	scan := func(row scanner) (int64, error) {
		var id int64
		var typ, key []byte
		if err := row.Scan(&id, &typ, &key); err != nil {
			return 0, err
		}
		k := StateKey{string(typ), string(key)}
		found[id] = k
		s.stateKeys.put(id, k)
		return id, nil
	}
	for len(missing) > 0 {
		n := min(len(missing), maxList)
		if _, err := queryAll(ctx, s, scan, selectStateKeys+list(1, n), listArgs(nil, missing[:n])...); err != nil {
			return nil, err
		}
		missing = missing[n:]
	}
	return found, nil
}

// maxList is how many values go into one list of placeholders.
const maxList = 512
