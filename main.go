// SPDX-License-Identifier: Apache-2.0

// Foyer runs Matrix: as a Kubernetes operator, and as a homeserver.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/foyer-matrix/foyer/internal/command"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:]))
}

// run executes a subcommand and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:   "foyer",
		Short: "Matrix for a campus, on Kubernetes or on one small machine",
		// run prints errors, once.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		command.Operator(),
		command.Homeserver(),
		command.Render(),
	)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "foyer:", err)
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}
