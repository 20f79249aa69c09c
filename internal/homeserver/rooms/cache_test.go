// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestACacheKeepsToItsBudget(t *testing.T) {
	c := newCache[int, string](10 * (entryOverhead + 100))
	for i := range 50 {
		c.set(i, "x", 100)
		c.get(0) // used all the time
	}
	if _, ok, _ := c.get(0); !ok {
		t.Error("what is used was dropped")
	}
	if _, ok, _ := c.get(30); ok {
		t.Error("what is old was kept")
	}
	if len(c.entries) != 10 || c.used > c.budget {
		t.Errorf("%d entries, %d bytes of %d", len(c.entries), c.used, c.budget)
	}
	c.resize(0, 5*100+4*entryOverhead)
	if _, ok, _ := c.get(0); !ok || len(c.entries) >= 10 {
		t.Errorf("%d entries after one grew", len(c.entries))
	}
}

func TestAnOldReadIsNotKeptAfterAChange(t *testing.T) {
	c := newCache[int, string](1 << 20)
	_, _, changes := c.get(1)
	c.remove(1) // while somebody reads
	c.fill(1, "old", 0, changes)
	if v, ok, _ := c.get(1); ok {
		t.Errorf("kept %q", v)
	}
	// What happens to others does not matter, as far as it is remembered.
	changes = c.mark()
	for i := range rememberedChanges {
		c.set(100+i, "other", 0)
	}
	c.fill(1, "right", 0, changes)
	if v, ok, _ := c.get(1); !ok {
		t.Errorf("a value that did not change is not kept: %q", v)
	}
	c.remove(1)
	c.fill(1, "too late to know", 0, changes)
	if v, ok, _ := c.get(1); ok {
		t.Errorf("kept %q", v)
	}
	// The same for a read that others share: it ends, but later callers read anew.
	reading, changed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		v, err := c.load(t.Context(), 2, func(context.Context) (string, int64, error) {
			close(reading)
			<-changed
			return "old", 0, nil
		})
		if v != "old" || err != nil {
			t.Errorf("first reader got %q, %v", v, err)
		}
	})
	<-reading
	c.remove(2)
	v, err := c.load(t.Context(), 2, func(context.Context) (string, int64, error) { return "new", 0, nil })
	if v != "new" || err != nil {
		t.Errorf("second reader got %q, %v", v, err)
	}
	close(changed)
	wg.Wait()
	if v, _, _ := c.get(2); v != "new" {
		t.Errorf("kept %q", v)
	}
}

func TestManyReadersShareOneRead(t *testing.T) {
	c := newCache[int, int](1 << 20)
	release := make(chan struct{})
	reads := 0
	var wg, started sync.WaitGroup
	for range 8 {
		started.Add(1)
		wg.Go(func() {
			started.Done()
			v, err := c.load(t.Context(), 1, func(context.Context) (int, int64, error) {
				<-release
				reads++
				return 7, 0, nil
			})
			if v != 7 || err != nil {
				t.Errorf("got %d, %v", v, err)
			}
		})
	}
	started.Wait()
	close(release)
	wg.Wait()
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
}

func TestAFailedReadIsNotKept(t *testing.T) {
	c := newCache[int, int](1 << 20)
	broken := errors.New("broken")
	if _, err := c.load(t.Context(), 1, func(context.Context) (int, int64, error) { return 0, 0, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	v, err := c.load(t.Context(), 1, func(context.Context) (int, int64, error) { return 5, 0, nil })
	if v != 5 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
}
