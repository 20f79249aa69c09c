// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// unifiedMarker exists only in a version 2 hierarchy.
	unifiedMarker = "cgroup.controllers"
)

// hierarchies are the roots of the machine's control groups: one for version 2,
// one for each controller for version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, unifiedMarker)); err == nil {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list control groups: %w", err)
	}
	var roots []string
	for _, entry := range entries {
		root := filepath.Join(cgroupRoot, entry.Name())
		// Links are names for hierarchies with several controllers.
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil && entry.IsDir() {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

// MakeCgroups makes the parent of all pods' groups, which the kubelet expects.
func MakeCgroups() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		group := filepath.Join(root, layout.Cgroup)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make control group: %w", err)
		}
		if err := prepareGroup(root, group); err != nil {
			return err
		}
	}
	return nil
}

// prepareGroup gives a new group what it does not inherit.
func prepareGroup(root, group string) error {
	if controllers, err := os.ReadFile(filepath.Join(root, unifiedMarker)); err == nil {
		for _, controller := range strings.Fields(string(controllers)) {
			for _, parent := range []string{root, group} {
				// A controller that cannot be delegated is reported by the kubelet if it needs it.
				_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			}
		}
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue // not the hierarchy of cpuset
		}
		if err := os.WriteFile(filepath.Join(group, file), value, 0o644); err != nil {
			return fmt.Errorf("set %s of control group: %w", file, err)
		}
	}
	return nil
}

// CgroupProcesses are the processes in the cluster's groups: its containers.
func CgroupProcesses() ([]int, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	var pids []int
	for _, root := range roots {
		_ = filepath.WalkDir(filepath.Join(root, layout.Cgroup), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil //nolint:nilerr // a group may vanish meanwhile
			}
			content, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids, nil
}

// RemoveCgroups deletes the cluster's groups, the deepest first.
func RemoveCgroups() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var left []error
	for _, root := range roots {
		var groups []string
		_ = filepath.WalkDir(filepath.Join(root, layout.Cgroup), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		slices.Reverse(groups)
		for _, group := range groups {
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left = append(left, fmt.Errorf("remove control group: %w", err))
			}
		}
	}
	return errors.Join(left...)
}
