// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/cluster"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/machine"
)

func load(ctx context.Context, arguments []string) error {
	flags := newFlags("load")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("load: name at least one image archive")
	}
	if err := machine.CheckRoot(); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	// Waits for an "up" that is under way.
	release, err := cluster.Lock(c.Dirs.Lock(), c.Log)
	if err != nil {
		return err
	}
	defer release()
	return c.Load(ctx, flags.Args())
}

func kubeconfig(_ context.Context, arguments []string) error {
	flags := newFlags("kubeconfig")
	path := flags.Bool("path", false, "print the file's path instead of its content")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	if *path {
		fmt.Println(c.Dirs.Kubeconfig())
		return nil
	}
	content, err := os.ReadFile(c.Dirs.Kubeconfig())
	if err != nil {
		return fmt.Errorf("no kubeconfig; has \"cluster up\" run? %w", err)
	}
	_, err = os.Stdout.Write(content)
	return err
}

func env(_ context.Context, arguments []string) error {
	flags := newFlags("env")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	content, err := c.Env()
	if err != nil {
		return err
	}
	fmt.Print(content)
	return nil
}
