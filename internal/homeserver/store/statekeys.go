// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
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

const (
	selectStateKeyID = `SELECT skid FROM state_keys WHERE type = $1 AND state_key = $2`
	insertStateKey   = `INSERT INTO state_keys (skid, type, state_key) VALUES ($1, $2, $3) ON CONFLICT (type, state_key) DO NOTHING`
)

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
	if id, err := s.StateKeyID(ctx, k); err != ErrNotFound {
		return id, err
	}
	id, err := s.NewIDs(ctx, "state_key", 1)
	if err != nil {
		return 0, err
	}
	err = s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.Exec(ctx, insertStateKey, id, []byte(k.Type), []byte(k.Key))
		return err
	})
	if err != nil {
		return 0, err
	}
	return s.StateKeyID(ctx, k)
}

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
