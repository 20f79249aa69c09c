// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pollEvery is how often a condition is looked at again.
const pollEvery = 50 * time.Millisecond

// Stop asks a recorded process to end, and after grace makes it. The record is
// deleted once the process is gone.
func Stop(ctx context.Context, path string, grace time.Duration) error {
	record, ok, err := Load(path)
	if err != nil || !ok {
		return err
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !record.Alive() {
			break
		}
		if err := syscall.Kill(record.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", record.PID, err)
		}
		waiting, cancel := context.WithTimeout(ctx, grace)
		_ = Until(waiting, func() bool { return !record.Alive() })
		cancel()
	}
	if record.Alive() {
		return fmt.Errorf("process %d (%v) does not end", record.PID, record.Command)
	}
	return os.Remove(path)
}

// Until looks at a condition until it holds or ctx ends.
func Until(ctx context.Context, holds func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
