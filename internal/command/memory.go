// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupMemory is the memory limit of the container, by cgroup v2.
const cgroupMemory = "/sys/fs/cgroup/memory.max"

// limitMemory makes the garbage collector work harder near the container's
// limit rather than be killed, unless GOMEMLIMIT says something else.
func limitMemory(ctx context.Context, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	text, err := os.ReadFile(cgroupMemory)
	if err != nil {
		return // no cgroup v2: no limit is known
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return // "max": there is no limit
	}
	// A tenth is left for what the collector does not see.
	debug.SetMemoryLimit(limit / 10 * 9)
	log.DebugContext(ctx, "memory limit", "bytes", limit)
}
