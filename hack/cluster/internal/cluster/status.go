// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

// The states of a component.
const (
	Running = "running"
	Unwell  = "unwell"
	Dead    = "dead"
	Stopped = "stopped"
)

// Status is what "cluster status" tells.
type Status struct {
	// Healthy is true when every component runs and is well.
	Healthy bool `json:"healthy"`
	// Kubeconfig is the administrator's file.
	Kubeconfig string `json:"kubeconfig"`
	// CAFile has the root certificate of what the issuer foyer-ca signs.
	CAFile string `json:"caFile"`
	// Assets is the value for KUBEBUILDER_ASSETS.
	Assets string `json:"assets"`
	// Bin has helm, kubectl and the daemons.
	Bin string `json:"bin"`
	// IngressAddress and IngressHTTPAddress are to be dialled from this machine
	// for any host of the ingress, with the ports that URLs have by default.
	IngressAddress     string `json:"ingressAddress"`
	IngressHTTPAddress string `json:"ingressHTTPAddress"`
	// LocalHTTPS and LocalHTTP are the same on the loopback address.
	LocalHTTPS string `json:"localHTTPS"`
	LocalHTTP  string `json:"localHTTP"`
	// IngressDomain has the host names that lead to the ingress, in the cluster too.
	IngressDomain string `json:"ingressDomain"`
	// Components are in the order of their start.
	Components []ComponentStatus `json:"components"`
}

// ComponentStatus is the state of one daemon.
type ComponentStatus struct {
	Name  string `json:"name"`
	State string `json:"state"`
	PID   int    `json:"pid,omitempty"`
	// Reason says why it is not well.
	Reason string `json:"reason,omitempty"`
	Log    string `json:"log"`
}

// Status asks every daemon how it is.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	options, err := c.loadOptions()
	if err != nil {
		return Status{}, err
	}
	status := c.describe(options)
	var all []component
	for _, stage := range c.stages(options) {
		all = append(all, stage...)
	}
	status.Components = make([]ComponentStatus, len(all))
	var wg sync.WaitGroup
	for i, each := range all {
		wg.Go(func() { status.Components[i] = c.check(ctx, each) })
	}
	wg.Wait()
	status.Healthy = true
	for _, each := range status.Components {
		status.Healthy = status.Healthy && each.State == Running
	}
	return status, nil
}

// describe fills in what is known without asking.
func (c *Cluster) describe(options Options) Status {
	return Status{
		Kubeconfig: c.Dirs.Kubeconfig(), CAFile: c.Dirs.CA(), Assets: c.Dirs.Assets(), Bin: c.Dirs.Bin(),
		IngressAddress:     layout.NodePort(layout.IngressHTTPSPort),
		IngressHTTPAddress: layout.NodePort(layout.IngressHTTPPort),
		LocalHTTPS:         options.HTTPS, LocalHTTP: options.HTTP,
		IngressDomain: layout.IngressDomain,
	}
}

func (c *Cluster) check(ctx context.Context, each component) ComponentStatus {
	status := ComponentStatus{Name: each.name, State: Stopped, Log: c.logOf(each)}
	record, recorded, err := process.Load(c.Dirs.Record(each.name))
	switch {
	case err != nil:
		status.State, status.Reason = Unwell, err.Error()
	case !recorded:
	case !record.Alive():
		status.State, status.Reason = Dead, "the end of its log:\n"+process.Tail(status.Log)
	default:
		status.State, status.PID = Running, record.PID
		if each.healthy == nil {
			break
		}
		if err := each.healthy(ctx); err != nil {
			status.State, status.Reason = Unwell, err.Error()
		}
	}
	return status
}

// Env is the environment of the cluster's users, as shell assignments.
func (c *Cluster) Env() (string, error) {
	options, err := c.loadOptions()
	if err != nil {
		return "", err
	}
	status := c.describe(options)
	var out strings.Builder
	for _, variable := range [][2]string{
		{"KUBECONFIG", status.Kubeconfig},
		{"KUBEBUILDER_ASSETS", status.Assets},
		{"FOYER_CLUSTER_BIN", status.Bin},
		{"FOYER_CLUSTER_CA", status.CAFile},
		{"FOYER_CLUSTER_DOMAIN", status.IngressDomain},
		{"FOYER_CLUSTER_INGRESS", status.IngressAddress},
		{"FOYER_CLUSTER_LOCAL_HTTPS", status.LocalHTTPS},
	} {
		_, _ = fmt.Fprintf(&out, "export %s='%s'\n", variable[0], strings.ReplaceAll(variable[1], "'", `'\''`))
	}
	return out.String(), nil
}

func (c *Cluster) writeEnv(options Options) error {
	if err := c.saveOptions(options); err != nil {
		return err
	}
	content, err := c.Env()
	if err != nil {
		return err
	}
	return os.WriteFile(c.Dirs.Env(), []byte(content), 0o644)
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "?"
	}
	return port
}
