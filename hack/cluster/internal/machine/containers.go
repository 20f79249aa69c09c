// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

const (
	// containerGrace is how long containers have between being asked to end and being killed.
	containerGrace = 10 * time.Second
	// killWait is how long the kernel may take to end a killed process.
	killWait = 5 * time.Second
)

// StopContainers ends all containers and their shims, whether or not containerd
// still runs: they are those whose shim was started for our containerd's
// address, and those in our control groups.
func StopContainers(ctx context.Context, dirs layout.Dirs) error {
	shims := shims(dirs)
	signal(children(shims), syscall.SIGTERM)
	if err := waitEmpty(ctx, containerGrace); err != nil {
		pids, err := CgroupProcesses()
		if err != nil {
			return err
		}
		signal(pids, syscall.SIGKILL)
	}
	signal(shims, syscall.SIGKILL)
	if err := waitEmpty(ctx, killWait); err != nil {
		return fmt.Errorf("containers do not end: %w", err)
	}
	return nil
}

func waitEmpty(ctx context.Context, limit time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return process.Until(waiting, func() bool {
		pids, err := CgroupProcesses()
		return err == nil && len(pids) == 0
	})
}

func signal(pids []int, what syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, what) // it may have ended meanwhile
	}
}

// shims are the processes that hold our containers for our containerd.
func shims(dirs layout.Dirs) []int {
	var found []int
	address := []byte(dirs.ContainerdSocket())
	eachProcess(func(pid int) {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil {
			return
		}
		arguments := bytes.Split(line, []byte{0})
		isShim := strings.HasPrefix(filepath.Base(string(arguments[0])), "containerd-shim")
		if isShim && slices.ContainsFunc(arguments, func(a []byte) bool { return bytes.Equal(a, address) }) {
			found = append(found, pid)
		}
	})
	return found
}

// children are the first processes of the shims' containers.
func children(parents []int) []int {
	var found []int
	eachProcess(func(pid int) {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			return
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			return
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil && slices.Contains(parents, parent) {
			found = append(found, pid)
		}
	})
	return found
}

func eachProcess(do func(pid int)) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			do(pid)
		}
	}
}
