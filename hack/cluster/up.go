// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/cluster"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/machine"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/programs"
)

// installVariable does what --install-packages does.
const installVariable = "FOYER_CLUSTER_INSTALL_PACKAGES"

func up(ctx context.Context, arguments []string) error {
	flags := newFlags("up")
	var options cluster.Options
	install := flags.Bool("install-packages", os.Getenv(installVariable) != "",
		"install missing Debian packages (or set "+installVariable+")")
	fresh := flags.Bool("fresh", false, "start without the objects, images and volumes of earlier runs")
	flags.StringVar(&options.HTTPS, "https", layout.DefaultHTTPS, "`address` for the ingress on this machine, https")
	flags.StringVar(&options.HTTP, "http", layout.DefaultHTTP, "`address` for the ingress on this machine, http")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := noArguments(flags); err != nil {
		return err
	}
	if err := machine.CheckRoot(); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	release, err := cluster.Lock(c.Dirs.Lock(), c.Log)
	if err != nil {
		return err
	}
	defer release()
	if err := checkPackages(ctx, c, *install); err != nil {
		return err
	}
	if options.Fingerprint, err = buildPrograms(ctx, c, programs.All...); err != nil {
		return err
	}
	if err := programs.LinkAssets(c.Dirs); err != nil {
		return err
	}
	if *fresh {
		if err := c.Down(ctx, true); err != nil {
			return err
		}
	}
	return c.Up(ctx, options)
}

// checkPackages says exactly what is missing, or installs it.
func checkPackages(ctx context.Context, c *cluster.Cluster, install bool) error {
	missing := machine.MissingPackages()
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("these Debian packages are missing: %s\nrun \"%s\", or \"cluster up --install-packages\"",
			strings.Join(missing, " "), machine.InstallCommand(missing))
	}
	return c.Log.Step("install Debian packages "+strings.Join(missing, " "), func() error {
		return machine.Install(ctx, missing)
	})
}
