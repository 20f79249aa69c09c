// SPDX-License-Identifier: Apache-2.0

// Package progress tells the person who waits what is being done, and for how long.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// stillEvery is how often a long step says that it is still at work.
const stillEvery = 30 * time.Second

// Log writes lines that start with the time since New.
type Log struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

// New starts the clock.
func New(w io.Writer) *Log { return &Log{w: w, start: time.Now()} }

// Say writes one line.
func (l *Log) Say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	elapsed := time.Since(l.start).Seconds()
	_, _ = fmt.Fprintf(l.w, "[%6.1fs] %s\n", elapsed, fmt.Sprintf(format, args...))
}

// Step says that name begins, now and then that it goes on, and how it ended.
func (l *Log) Step(name string, do func() error) error {
	l.Say("%s …", name)
	begin := time.Now()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(stillEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				l.Say("%s … still at it after %.0fs", name, time.Since(begin).Seconds())
			case <-done:
				return
			}
		}
	})
	err := do()
	close(done)
	wg.Wait()
	if err != nil {
		l.Say("%s: failed after %.1fs", name, time.Since(begin).Seconds())
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Say("%s: done in %.1fs", name, time.Since(begin).Seconds())
	return nil
}
