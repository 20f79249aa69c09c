// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/cluster"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/programs"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/progress"
)

// open finds the cluster's state folder.
func open() (*cluster.Cluster, error) {
	dirs, err := layout.Default()
	if err != nil {
		return nil, err
	}
	return &cluster.Cluster{Dirs: dirs, Log: progress.New(os.Stderr)}, nil
}

// buildPrograms builds what is missing and returns a fingerprint of programs
// and launcher.
func buildPrograms(ctx context.Context, c *cluster.Cluster, wanted ...programs.Program) (string, error) {
	sources, err := findSources()
	if err != nil {
		return "", err
	}
	release, err := cluster.Lock(c.Dirs.BuildLock(), c.Log)
	if err != nil {
		return "", err
	}
	defer release()
	builder := programs.Builder{Sources: filepath.Join(sources, "programs"), Dirs: c.Dirs, Log: c.Log}
	built, err := builder.Build(ctx, wanted...)
	if err != nil {
		return "", err
	}
	launcher, err := programs.LauncherKey(os.DirFS(sources))
	if err != nil {
		return "", err
	}
	return strings.Join([]string{built, "launcher-" + launcher}, " "), nil
}

func build(ctx context.Context, arguments []string) error {
	flags := newFlags("build")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	if _, err := buildPrograms(ctx, c, programs.All...); err != nil {
		return err
	}
	c.Log.Say("programs are in %s", c.Dirs.Bin())
	return noArguments(flags)
}

func assets(ctx context.Context, arguments []string) error {
	flags := newFlags("assets")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	if _, err := buildPrograms(ctx, c, programs.Kubernetes); err != nil {
		return err
	}
	if err := programs.LinkAssets(c.Dirs); err != nil {
		return err
	}
	_, err = fmt.Println(c.Dirs.Assets())
	return err
}
