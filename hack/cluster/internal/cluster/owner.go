// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

// ownerFile names the state folder whose cluster uses the machine's network
// namespace and control groups: there can be one at a time.
const ownerFile = "/run/foyer-cluster.owner"

// owner is the state folder that has the machine, empty when none has.
func owner() (layout.Dirs, error) {
	content, err := os.ReadFile(ownerFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("see whose cluster this machine runs: %w", err)
	}
	return layout.Dirs(strings.TrimSpace(string(content))), nil
}

// claim takes the machine for this state folder, or says who has it. What a
// dead cluster of another folder left is cleared.
func (c *Cluster) claim(ctx context.Context) error {
	holder, err := owner()
	if err != nil {
		return err
	}
	if holder != "" && holder != c.Dirs {
		other := &Cluster{Dirs: holder, Log: c.Log}
		running, _, err := other.alive()
		if err != nil {
			return err
		}
		if len(running) > 0 {
			return fmt.Errorf("this machine already runs the cluster of %s: stop it first (%s=%s cluster down)",
				holder, layout.DirVariable, holder)
		}
		c.Log.Say("clearing what the cluster of %s left behind", holder)
		if err := other.clear(ctx); err != nil {
			return err
		}
	}
	return os.WriteFile(ownerFile, []byte(string(c.Dirs)+"\n"), 0o644)
}

// release gives the machine free.
func (c *Cluster) release() error {
	if err := os.Remove(ownerFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give the machine free: %w", err)
	}
	return nil
}
