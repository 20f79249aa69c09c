// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"sync/atomic"
	"time"
)

// counter counts the changes of what is kept in memory only. It begins at the
// time of the start, so that it never falls behind an earlier start's. Whoever
// takes a count notes what changed before letting go of the lock that readers
// need: they read the counter first.
type counter struct {
	first int64
	last  atomic.Int64
}

func newCounter() *counter {
	c := &counter{first: time.Now().UnixMilli()}
	c.last.Store(c.first)
	return c
}

// next returns the count of a change that happens now.
func (c *counter) next() int64 { return c.last.Add(1) }

// now returns the count of the last change.
func (c *counter) now() int64 { return c.last.Load() }
