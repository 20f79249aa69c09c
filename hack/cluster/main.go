// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a real one-node Kubernetes on this machine, made of
// nothing but Go modules and Debian packages. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// command is one subcommand.
type command struct {
	name, arguments, summary string
	run                      func(ctx context.Context, arguments []string) error
}

func commands() []command {
	return []command{
		{"up", "[--install-packages] [--fresh]", "build what is missing, then start the cluster", up},
		{"down", "[--purge]", "stop the cluster and clear the machine of it", down},
		{"status", "[-o json]", "show each component and how it is", status},
		{"load", "IMAGE.tar …", "import image archives", load},
		{"kubeconfig", "[--path]", "print the administrator's kubeconfig, or where it is", kubeconfig},
		{"env", "", "print shell assignments: KUBECONFIG, KUBEBUILDER_ASSETS, …", env},
		{"build", "", "build every program without starting anything", build},
		{"assets", "", "build kube-apiserver, etcd and kubectl for envtest, and print their folder", assets},
		{"image", "--binary FILE --name NAME:TAG --out FILE.tar", "make an image of a static program", image},
		{"relay", "LISTEN TARGET", "pass connections on (used by the cluster itself)", relay},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "cluster:", err)
		}
		stop()
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 {
		for _, c := range commands() {
			if c.name == arguments[0] {
				return c.run(ctx, arguments[1:])
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: cluster COMMAND")
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "  %-10s %-46s %s\n", c.name, c.arguments, c.summary)
	}
	if len(arguments) == 0 || arguments[0] == "help" || arguments[0] == "-h" || arguments[0] == "--help" {
		return flag.ErrHelp
	}
	return fmt.Errorf("unknown command %q", arguments[0])
}

// newFlags makes the flags of a subcommand.
func newFlags(name string) *flag.FlagSet {
	return flag.NewFlagSet("cluster "+name, flag.ContinueOnError)
}

// noArguments refuses what a subcommand would ignore.
func noArguments(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}
