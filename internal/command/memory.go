// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
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

// dropStartPages gives back the pages of the program itself that only its
// start needed: the packages of all subcommands initialise, and the kernel
// maps what lies around each page they touch, which comes to most of the
// program. What is still needed is mapped again from the page cache, without
// reading the disk. On a failure nothing is lost but memory.
func dropStartPages() {
	info, ok := debug.ReadBuildInfo()
	if !ok || !isPlainExecutable(info.Settings) {
		return // a relocated program has read-only pages that differ from its file
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != exe || fields[1] != "r-xp" && fields[1] != "r--p" {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= start {
			continue
		}
		_ = unix.Madvise(mapping(uintptr(start), int(end-start)), unix.MADV_DONTNEED) // only memory is at stake
	}
}

// isPlainExecutable reports whether the program lies where its file says.
func isPlainExecutable(settings []debug.BuildSetting) bool {
	for _, s := range settings {
		if s.Key == "-buildmode" {
			return s.Value == "exe"
		}
	}
	return false
}

// mapping is the memory at start, which the kernel has just told of.
func mapping(start uintptr, size int) []byte {
	pointer := *(*unsafe.Pointer)(unsafe.Pointer(&start)) //nolint:gosec // not memory of the collector
	return unsafe.Slice((*byte)(pointer), size)           //nolint:gosec // the same
}
