// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/cluster"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/machine"
)

func down(ctx context.Context, arguments []string) error {
	flags := newFlags("down")
	purge := flags.Bool("purge", false, "also delete objects, images, volumes, certificates and logs; built programs stay")
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
	return c.Down(ctx, *purge)
}
