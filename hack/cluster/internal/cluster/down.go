// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/machine"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

// stopGrace is how long a daemon has between being asked to end and being killed.
const stopGrace = 10 * time.Second

// Down stops the cluster and clears the machine of it. Objects, images and
// volumes stay for the next "up" unless purge is set; programs always stay.
func (c *Cluster) Down(ctx context.Context, purge bool) error {
	holder, err := owner()
	if err != nil {
		return err
	}
	if holder != "" && holder != c.Dirs {
		// The network and the control groups are another cluster's.
		c.Log.Say("this machine's cluster is that of %s; there is none of %s to stop", holder, c.Dirs)
	} else {
		if err := c.Log.Step("stop the cluster", func() error { return c.clear(ctx) }); err != nil {
			return err
		}
		if err := c.release(); err != nil {
			return err
		}
	}
	if !purge {
		return nil
	}
	return c.Log.Step("delete the cluster's data", c.purge)
}

// clear undoes what start did, from any state: also after a crash, or a restart
// of the machine, when nothing runs and only files are left.
func (c *Cluster) clear(ctx context.Context) error {
	options, err := c.loadOptions()
	if err != nil {
		return err
	}
	stages := c.stages(options)
	slices.Reverse(stages)
	sockets := machine.ShimSockets(c.Dirs)
	// The kubelet first, or it would start again the containers that end.
	failures := []error{
		process.Stop(ctx, c.Dirs.Record("kubelet"), stopGrace),
		machine.StopContainers(ctx, c.Dirs),
	}
	for _, stage := range stages {
		failures = append(failures, c.stopStage(ctx, stage))
	}
	failures = append(failures, c.stopUnknown(ctx),
		machine.RemoveStrays(c.Dirs, sockets),
		machine.Unmount(string(c.Dirs)),
		machine.RemoveNetwork(ctx),
		machine.RemoveCgroups(),
		machine.RestoreSettings(c.settingsFile()),
	)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return removeAll(c.Dirs.Run())
}

// stopStage stops daemons together.
func (c *Cluster) stopStage(ctx context.Context, stage []component) error {
	results := make(chan error, len(stage))
	for _, each := range stage {
		go func() { results <- process.Stop(ctx, c.Dirs.Record(each.name), stopGrace) }()
	}
	var failures []error
	for range stage {
		failures = append(failures, <-results)
	}
	return errors.Join(failures...)
}

// stopUnknown stops daemons that an older launcher recorded by other names.
func (c *Cluster) stopUnknown(ctx context.Context) error {
	files, _ := filepath.Glob(c.Dirs.Record("*"))
	var failures []error
	for _, file := range files {
		failures = append(failures, process.Stop(ctx, file, stopGrace))
	}
	return errors.Join(failures...)
}

// purge deletes all but the programs.
func (c *Cluster) purge() error {
	mounts, err := machine.Mounts(string(c.Dirs))
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("something is still mounted at %s", mounts[0])
	}
	return errors.Join(
		removeAll(c.Dirs.Data()), removeAll(c.Dirs.PKI()), removeAll(c.Dirs.Config()), removeAll(c.Dirs.Log()),
		removeAll(c.Dirs.Kubeconfig()), removeAll(c.Dirs.CA()), removeAll(c.Dirs.Env()),
	)
}

func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}
