// SPDX-License-Identifier: Apache-2.0

// Package machine prepares and restores what the cluster needs of the machine:
// packages, a network namespace, control groups; and finds what was left behind.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// need is a program or file that a Debian package brings.
type need struct {
	path string
	pkg  string
}

var needs = []need{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"/usr/lib/cni/host-local", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"/bin/busybox", "busybox-static"},
	{"/etc/ssl/certs/ca-certificates.crt", "ca-certificates"},
}

// MissingPackages are the Debian packages whose programs are not found.
func MissingPackages() []string {
	return missing(func(path string) bool {
		if strings.HasPrefix(path, "/") {
			_, err := os.Stat(path)
			return err == nil
		}
		_, err := exec.LookPath(path)
		return err == nil
	})
}

func missing(found func(path string) bool) []string {
	var packages []string
	seen := map[string]bool{}
	for _, n := range needs {
		if !found(n.path) && !seen[n.pkg] {
			seen[n.pkg] = true
			packages = append(packages, n.pkg)
		}
	}
	return packages
}

// InstallCommand is what a person types to install packages.
func InstallCommand(packages []string) string {
	return "apt-get install --no-install-recommends " + strings.Join(packages, " ")
}

// Install installs Debian packages by name. Their services are not started:
// the cluster runs a containerd of its own.
func Install(ctx context.Context, packages []string) error {
	steps := [][]string{
		{"apt-get", "update", "-q"},
		append([]string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, packages...),
	}
	for _, step := range steps {
		command := exec.CommandContext(ctx, step[0], step[1:]...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(step, " "), err, output)
		}
	}
	if left := MissingPackages(); len(left) > 0 {
		return fmt.Errorf("still missing after installing: %s", strings.Join(left, " "))
	}
	return nil
}

// ErrNotRoot is returned when the caller cannot make namespaces and mounts.
var ErrNotRoot = errors.New("starting or stopping the cluster needs root: it makes network namespaces, mounts and control groups (run it with sudo; \"assets\" and \"image\" need no root)")

// CheckRoot returns ErrNotRoot to anybody else.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	return nil
}
