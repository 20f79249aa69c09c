// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/cluster"
)

// errUnhealthy makes "status" fail, so that a script can ask by it.
var errUnhealthy = errors.New("the cluster is not running as it should")

func status(ctx context.Context, arguments []string) error {
	flags := newFlags("status")
	format := flags.String("o", "text", "`format`: text or json")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	state, err := c.Status(ctx)
	if err != nil {
		return err
	}
	switch *format {
	case "json":
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(state)
	case "text":
		printStatus(state)
	default:
		err = fmt.Errorf("unknown format %q", *format)
	}
	if err == nil && !state.Healthy {
		err = errUnhealthy
	}
	return err
}

func printStatus(state cluster.Status) {
	for _, each := range state.Components {
		fmt.Printf("%-24s %-8s", each.Name, each.State)
		if each.PID != 0 {
			fmt.Printf(" process %d", each.PID)
		}
		fmt.Println()
		if each.Reason != "" {
			fmt.Println("    " + strings.TrimLeft(each.Reason, " "))
		}
	}
	fmt.Printf("kubeconfig   %s\nroot cert.   %s\nenvtest      %s\nprograms     %s\n", state.Kubeconfig, state.CAFile, state.Assets, state.Bin)
	fmt.Printf("ingress      https://NAME.%s dialled at %s, or on the loopback address at %s\n",
		state.IngressDomain, state.IngressAddress, state.LocalHTTPS)
}
