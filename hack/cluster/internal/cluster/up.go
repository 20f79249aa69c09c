// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/config"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/machine"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/objects"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

const (
	// stageLimit is how long the daemons of a stage may take to be well.
	stageLimit = 2 * time.Minute
	// readyLimit is how long the node and the issuers may take to be ready.
	readyLimit = "120s"
)

// Up starts the cluster, unless it runs already as it should. Whatever an
// earlier one left, after a crash or a restart of the machine, is cleared first.
func (c *Cluster) Up(ctx context.Context, options Options) error {
	asWanted, err := c.runsAs(ctx, options)
	if err != nil || asWanted {
		return err
	}
	if err := c.claim(ctx); err != nil {
		return err
	}
	if err := c.clear(ctx); err != nil {
		return fmt.Errorf("clear what an earlier cluster left: %w", err)
	}
	if err := c.start(ctx, options); err != nil {
		return fmt.Errorf("%w\nlogs are in %s; \"cluster down\" clears up, \"cluster down --purge\" also deletes the cluster's data", err, c.Dirs.Log())
	}
	c.Log.Say("cluster is up: %s", strings.Join([]string{
		"KUBECONFIG=" + c.Dirs.Kubeconfig(), "ingress https://NAME." + "foyer.localhost:" + portOf(options.HTTPS), "root certificate " + c.Dirs.CA(),
	}, ", "))
	return nil
}

// runsAs tells whether the cluster runs with these options, and says why not.
func (c *Cluster) runsAs(ctx context.Context, options Options) (bool, error) {
	running, dead, err := c.alive()
	if err != nil {
		return false, err
	}
	if len(running) == 0 {
		return false, nil
	}
	current, err := c.loadOptions()
	if err != nil {
		return false, err
	}
	var unwell []string
	for _, stage := range c.stages(current) {
		for _, each := range stage {
			switch {
			case slices.Contains(dead, each.name):
				unwell = append(unwell, each.name)
				c.Log.Say("%s has died; the end of its log:\n%s", each.name, process.Tail(c.logOf(each)))
			case !slices.Contains(running, each.name):
				unwell = append(unwell, each.name)
			case each.healthy != nil && each.healthy(ctx) != nil:
				unwell = append(unwell, each.name)
			}
		}
	}
	switch {
	case len(unwell) > 0:
		c.Log.Say("restarting, because these are not well: %s", strings.Join(unwell, " "))
	case current.Fingerprint != options.Fingerprint:
		c.Log.Say("restarting, because programs or their configuration changed")
	case current != options:
		c.Log.Say("restarting, because the ingress's addresses changed")
	default:
		c.Log.Say("cluster is running (KUBECONFIG=%s)", c.Dirs.Kubeconfig())
		return true, nil
	}
	return false, nil
}

// start brings up everything on a machine that is clear.
func (c *Cluster) start(ctx context.Context, options Options) error {
	authority, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	if err := c.saveOptions(options); err != nil {
		return err
	}
	stages := c.stages(options)
	steps := []struct {
		name string
		do   func() error
	}{
		{"start " + names(stages[0]), func() error { return c.startStage(ctx, stages[0]) }},
		{"import the cluster's own images", func() error { return c.importOwnImages(ctx) }},
		{"start " + names(stages[1]), func() error { return c.startStage(ctx, stages[1]) }},
		{"create the cluster's own objects", func() error { return c.createObjects(ctx, authority) }},
		{"start " + names(stages[2]), func() error { return c.startStage(ctx, stages[2]) }},
		{"wait for node and issuers", func() error { return c.waitReady(ctx) }},
	}
	for _, step := range steps {
		if err := c.Log.Step(step.name, step.do); err != nil {
			return err
		}
	}
	return c.writeEnv(options)
}

func names(stage []component) string {
	var all []string
	for _, each := range stage {
		all = append(all, each.name)
	}
	return strings.Join(all, ", ")
}

// prepare writes certificates and configuration, and makes network and groups.
func (c *Cluster) prepare(ctx context.Context) (*pki.AuthorityFiles, error) {
	for _, dir := range []string{
		c.Dirs.PKI(), c.Dirs.Config(), c.Dirs.Run(), c.Dirs.Log("pods"), c.Dirs.Data("etcd"),
		c.Dirs.Data("kubelet"), c.Dirs.Volumes(),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a folder: %w", err)
		}
	}
	// Pods of any user reach their volumes through these.
	for _, dir := range []string{string(c.Dirs), c.Dirs.Data(), c.Dirs.Data("kubelet"), c.Dirs.Volumes()} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, fmt.Errorf("open a folder: %w", err)
		}
	}
	authority, err := pki.Make(c.Dirs)
	if err != nil {
		return nil, err
	}
	options := config.Options{RestrictOOMScore: !machine.CanLowerOOMScore()}
	if err := config.Write(c.Dirs, options); err != nil {
		return nil, err
	}
	if err := config.WriteAdmin(c.Dirs); err != nil {
		return nil, err
	}
	if err := c.copySelf(); err != nil {
		return nil, err
	}
	if err := machine.SaveSettings(c.settingsFile()); err != nil {
		return nil, err
	}
	if err := machine.MakeCgroups(); err != nil {
		return nil, err
	}
	return authority, machine.MakeNetwork(ctx)
}

// copySelf keeps this program for the relays: "go run" deletes its own.
func (c *Cluster) copySelf() error {
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("open this program: %w", err)
	}
	defer source.Close()
	target := c.Dirs.Program("cluster")
	unfinished, err := os.OpenFile(target+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	_, err = io.Copy(unfinished, source)
	if err = errors.Join(err, unfinished.Close()); err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	return os.Rename(unfinished.Name(), target)
}

func (c *Cluster) logOf(each component) string { return c.Dirs.Log(each.name + ".log") }

// startStage starts daemons together and waits until all are well.
func (c *Cluster) startStage(ctx context.Context, stage []component) error {
	records := make([]process.Record, len(stage))
	for i, each := range stage {
		spec := process.Spec{
			Path: each.program, Args: each.args,
			Env: append([]string{"PATH=" + daemonPath, "HOME=" + c.Dirs.Data("home")}, each.env...),
			Log: c.logOf(each), Record: c.Dirs.Record(each.name),
		}
		if !filepath.IsAbs(spec.Path) {
			spec.Path = c.Dirs.Program(spec.Path)
		}
		if !each.outside {
			spec.NetworkNamespace = machine.NetworkNamespaceFile()
		}
		var err error
		if records[i], err = process.Start(spec); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	for i, each := range stage {
		if err := c.waitHealthy(ctx, each, records[i]); err != nil {
			return err
		}
	}
	return nil
}

// waitHealthy waits until a daemon is well; one that dies is an error at once.
func (c *Cluster) waitHealthy(ctx context.Context, each component, record process.Record) error {
	var last error
	err := process.Until(ctx, func() bool {
		if !record.Alive() {
			return true
		}
		last = nil
		if each.healthy != nil {
			last = each.healthy(ctx)
		}
		return last == nil
	})
	switch {
	case !record.Alive():
		return fmt.Errorf("%s died; the end of its log:\n%s", each.name, process.Tail(c.logOf(each)))
	case err != nil:
		return fmt.Errorf("%s is not well (%w): %w; the end of its log:\n%s", each.name, err, last, process.Tail(c.logOf(each)))
	}
	return nil
}

// createObjects applies what the cluster is given, and cert-manager's kinds.
func (c *Cluster) createObjects(ctx context.Context, authority *pki.AuthorityFiles) error {
	// kubectl lists a folder only by its real path.
	folder, err := filepath.EvalSymlinks(c.Dirs.Program("certmanager.files"))
	if err != nil {
		return fmt.Errorf("find cert-manager's kinds: %w", err)
	}
	crds, err := c.kubectl(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", folder)
	if err != nil {
		return fmt.Errorf("create cert-manager's kinds: %w", err)
	}
	if err := c.apply(ctx, objects.All(authority)); err != nil {
		return err
	}
	established := append([]string{"wait", "--for=condition=Established", "--timeout=" + readyLimit}, appliedNames(crds)...)
	if _, err := c.kubectl(ctx, "", established...); err != nil {
		return fmt.Errorf("wait for cert-manager's kinds: %w", err)
	}
	return c.apply(ctx, objects.Issuers())
}

// appliedNames are the objects that "kubectl apply" says it applied.
func appliedNames(said string) []string {
	var applied []string
	for line := range strings.Lines(said) {
		if name, _, ok := strings.Cut(line, " "); ok {
			applied = append(applied, name)
		}
	}
	return applied
}

func (c *Cluster) apply(ctx context.Context, all []objects.Object) error {
	content, err := yaml.Marshal(objects.Object{"apiVersion": "v1", "kind": "List", "items": all})
	if err != nil {
		return fmt.Errorf("encode objects: %w", err)
	}
	if _, err = c.kubectl(ctx, string(content), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return fmt.Errorf("create objects: %w", err)
	}
	return nil
}

// waitReady waits for what needs several daemons.
func (c *Cluster) waitReady(ctx context.Context) error {
	waits := [][]string{
		{"--for=create", "node/foyer"},
		{"--for=condition=Ready", "node/foyer"},
		{"--for=condition=Ready", "clusterissuer/" + objects.SelfSignedIssuer, "clusterissuer/" + objects.CAIssuer},
		{"--for=create", "--namespace=default", "serviceaccount/default"},
	}
	for _, wait := range waits {
		if _, err := c.kubectl(ctx, "", append([]string{"wait", "--timeout=" + readyLimit}, wait...)...); err != nil {
			return err
		}
	}
	return nil
}
