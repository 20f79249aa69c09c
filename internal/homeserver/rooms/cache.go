// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"container/list"
	"context"
	"sync"
)

// cache keeps values up to a number of bytes and forgets those used least
// recently. What is read from the database while an invalidation arrives is
// handed out but not kept, so that an old value never outlives the change
// that replaced it.
type cache[K comparable, V any] struct {
	mu      sync.Mutex
	budget  int64
	used    int64
	changes uint64               // counts set and remove
	changed [rememberedChanges]K // the keys of the last of them, by their count
	entries map[K]*list.Element
	recent  *list.List // of *cached[K, V], most recent first
	loading map[K]*loading[V]
}

// rememberedChanges is how many changes may happen during a read of something else.
const rememberedChanges = 256

type cached[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

// loading is a read that others may wait for.
type loading[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// entryOverhead is about what an entry costs beside its value.
const entryOverhead = 160

func newCache[K comparable, V any](budget int64) *cache[K, V] {
	return &cache[K, V]{
		budget: budget, entries: map[K]*list.Element{}, recent: list.New(), loading: map[K]*loading[V]{},
	}
}

// get returns the value of key and how many changes there were, for fill.
func (c *cache[K, V]) get(key K) (value V, ok bool, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok = c.lookup(key)
	return value, ok, c.changes
}

func (c *cache[K, V]) lookup(key K) (value V, ok bool) {
	e := c.entries[key]
	if e == nil {
		return value, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// set puts a value that is newer than any that is being read.
func (c *cache[K, V]) set(key K, value V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(key)
	c.put(key, value, size)
}

// note counts a change of key; reads that began before are not kept.
func (c *cache[K, V]) note(key K) {
	c.changed[c.changes%rememberedChanges] = key
	c.changes++
	delete(c.loading, key)
}

// mark returns how many changes there were, for fill.
func (c *cache[K, V]) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// fill puts a value that was read after changes were counted, unless it may be old by now.
func (c *cache[K, V]) fill(key K, value V, size int64, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes-changes > rememberedChanges {
		return
	}
	for n := changes; n < c.changes; n++ {
		if c.changed[n%rememberedChanges] == key {
			return
		}
	}
	c.put(key, value, size)
}

func (c *cache[K, V]) put(key K, value V, size int64) {
	if e := c.entries[key]; e != nil {
		c.drop(e)
	}
	entry := &cached[K, V]{key, value, size + entryOverhead}
	c.entries[key] = c.recent.PushFront(entry)
	c.used += entry.size
	for c.used > c.budget && c.recent.Len() > 1 {
		c.drop(c.recent.Back())
	}
}

// resize notes that a value grew or shrank.
func (c *cache[K, V]) resize(key K, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.put(key, e.Value.(*cached[K, V]).value, size)
	}
}

func (c *cache[K, V]) drop(e *list.Element) {
	entry := c.recent.Remove(e).(*cached[K, V])
	delete(c.entries, entry.key)
	c.used -= entry.size
}

// remove forgets key; reads that began before are not kept and not joined any more.
func (c *cache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(key)
	if e := c.entries[key]; e != nil {
		c.drop(e)
	}
}

// load returns the value of key; many callers at once share one read.
func (c *cache[K, V]) load(ctx context.Context, key K, read func(ctx context.Context) (V, int64, error)) (V, error) {
	c.mu.Lock()
	if value, ok := c.lookup(key); ok {
		c.mu.Unlock()
		return value, nil
	}
	if l := c.loading[key]; l != nil {
		c.mu.Unlock()
		return l.wait(ctx)
	}
	l := &loading[V]{done: make(chan struct{})}
	c.loading[key] = l
	c.mu.Unlock()

	// Others wait for this read, so it does not end with the one that began it.
	value, size, err := read(context.WithoutCancel(ctx))
	l.value, l.err = value, err
	close(l.done)

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loading[key] == l { // not invalidated meanwhile
		delete(c.loading, key)
		if err == nil {
			c.put(key, value, size)
		}
	}
	return value, err
}

func (l *loading[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-l.done:
		return l.value, l.err
	case <-ctx.Done():
		var zero V
		return zero, ctx.Err()
	}
}
