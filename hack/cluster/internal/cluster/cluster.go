// SPDX-License-Identifier: Apache-2.0

// Package cluster starts, stops and describes the one-node Kubernetes cluster.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/progress"
)

// Cluster is the cluster of one state folder.
type Cluster struct {
	Dirs layout.Dirs
	Log  *progress.Log
}

// Options are the choices of "up" that a running cluster keeps.
type Options struct {
	// HTTPS and HTTP are where the ingress answers on the machine.
	HTTPS string `json:"https"`
	HTTP  string `json:"http"`
	// Fingerprint stands for the programs and the launcher's source.
	Fingerprint string `json:"fingerprint"`
}

// daemonPath is where daemons look for programs, whatever the caller's is.
const daemonPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// optionsFile has the options of the running cluster.
func (c *Cluster) optionsFile() string { return c.Dirs.Run("cluster.json") }

// settingsFile has the kernel's settings from before the kubelet's start.
func (c *Cluster) settingsFile() string { return c.Dirs.Run("settings.json") }

// loadOptions returns the options that the cluster was started with.
func (c *Cluster) loadOptions() (Options, error) {
	options := Options{HTTPS: layout.DefaultHTTPS, HTTP: layout.DefaultHTTP}
	content, err := os.ReadFile(c.optionsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return options, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &options)
	}
	if err != nil {
		return options, fmt.Errorf("read the options of the running cluster: %w", err)
	}
	return options, nil
}

func (c *Cluster) saveOptions(options Options) error {
	content, err := json.MarshalIndent(options, "", "  ")
	if err != nil {
		return fmt.Errorf("encode options: %w", err)
	}
	return os.WriteFile(c.optionsFile(), content, 0o644)
}

// alive tells which recorded daemons run, and which have died.
func (c *Cluster) alive() (running, dead []string, err error) {
	files, err := filepath.Glob(c.Dirs.Record("*"))
	if err != nil {
		return nil, nil, fmt.Errorf("list process records: %w", err)
	}
	for _, file := range files {
		record, _, err := process.Load(file)
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if record.Alive() {
			running = append(running, name)
		} else {
			dead = append(dead, name)
		}
	}
	return running, dead, nil
}

// ctr runs containerd's own client.
func (c *Cluster) ctr(ctx context.Context, arguments ...string) (string, error) {
	arguments = append([]string{"--address", c.Dirs.ContainerdSocket(), "--namespace", "k8s.io"}, arguments...)
	return output(exec.CommandContext(ctx, "ctr", arguments...))
}

// kubectl runs kubectl as the administrator, with something to read.
func (c *Cluster) kubectl(ctx context.Context, stdin string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, c.Dirs.Program("kubectl"), append([]string{"--kubeconfig", c.Dirs.Kubeconfig()}, arguments...)...)
	command.Stdin = strings.NewReader(stdin)
	command.Env = []string{"PATH=" + daemonPath, "HOME=" + string(c.Dirs)}
	return output(command)
}

// output runs a command and returns what it prints, or fails with what it says.
func output(command *exec.Cmd) (string, error) {
	var stderr strings.Builder
	command.Stderr = &stderr
	content, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(command.Path), err, strings.TrimSpace(stderr.String()))
	}
	return string(content), nil
}
