// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// residentMiB is the resident memory of a process.
func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// clockTicks is the unit of CPU times in /proc on Linux, whatever the kernel's own.
const clockTicks = 100

// cpuTime is the processor time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("unexpected format of /proc/PID/stat")
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// rest waits until the process has used next to no CPU for a while.
func rest(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var before time.Duration
	for quiet := 0; quiet < 2; quiet++ {
		now, err := cpuTime(pid)
		if err != nil {
			return err
		}
		if now-before > 30*time.Millisecond {
			quiet = 0
		}
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d does not come to rest: %w", pid, ctx.Err())
		}
	}
	return nil
}
