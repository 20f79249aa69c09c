// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

// NetworkNamespaceFile is what a daemon's process.Spec names.
func NetworkNamespaceFile() string {
	return filepath.Join("/run/netns", layout.NetworkNamespace)
}

// MakeNetwork makes the node's network namespace and joins it to the machine.
// There is no way from it to the outside, so nothing in the cluster, and none
// of its tests, can reach another machine.
func MakeNetwork(ctx context.Context) error {
	if err := checkRanges(); err != nil {
		return err
	}
	node, host := layout.NodeAddress.String(), layout.HostAddress.String()
	bits := "/" + strconv.Itoa(layout.NodeRange.Bits())
	inside := []string{"ip", "-n", layout.NetworkNamespace}
	commands := [][]string{
		{"ip", "netns", "add", layout.NetworkNamespace},
		{"ip", "link", "add", layout.HostLink, "type", "veth", "peer", "name", layout.NodeLink, "netns", layout.NetworkNamespace},
		{"ip", "addr", "add", host + bits, "dev", layout.HostLink},
		{"ip", "link", "set", layout.HostLink, "up"},
		append(inside, "link", "set", "lo", "up"),
		append(inside, "addr", "add", node+bits, "dev", layout.NodeLink),
		append(inside, "link", "set", layout.NodeLink, "up"),
		// A Service's address must have a route before kube-proxy's rules see the packet.
		append(inside, "route", "add", layout.ServiceRange.String(), "dev", layout.NodeLink, "src", node),
		append(inside, "route", "add", "unreachable", "default"),
		{"ip", "route", "add", layout.ServiceRange.String(), "via", node, "dev", layout.HostLink, "src", host},
		{"ip", "route", "add", layout.PodRange.String(), "via", node, "dev", layout.HostLink, "src", host},
	}
	for _, command := range commands {
		if err := run(ctx, command...); err != nil {
			return err
		}
	}
	err := process.Within(NetworkNamespaceFile(), func() error { return prepareInside(ctx) })
	if err != nil {
		return err
	}
	return checkLocal(ctx)
}

// prepareInside runs in the node's network namespace.
func prepareInside(ctx context.Context) error {
	settings := map[string]string{
		"/proc/sys/net/ipv4/ip_forward":                 "1",
		"/proc/sys/net/bridge/bridge-nf-call-iptables":  "1",
		"/proc/sys/net/bridge/bridge-nf-call-ip6tables": "1",
	}
	for path, value := range settings {
		// The bridge settings are missing where bridged packets are not filtered at all.
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("set %s: %w", path, err)
		}
	}
	// Matrix servers without delegation are looked for on this port. REDIRECT
	// would not do: it sends pods to the bridge's address.
	return run(ctx, "iptables", "-w", "-t", "nat", "-A", "PREROUTING", "-d", layout.NodeAddress.String(),
		"-p", "tcp", "--dport", strconv.Itoa(layout.FederationPort),
		"-j", "DNAT", "--to-destination", layout.NodePort(layout.IngressHTTPSPort))
}

// checkRanges refuses to shadow a network that the machine already has.
func checkRanges() error {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, address := range interfaces {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		for _, ours := range []netip.Prefix{layout.NodeRange, layout.ServiceRange, layout.PodRange} {
			if prefix.Overlaps(ours) {
				return fmt.Errorf("this machine already has the address %s, inside the cluster's range %s", prefix, ours)
			}
		}
	}
	return nil
}

// checkLocal makes sure that the cluster's addresses lead to it: without their
// routes packets would leave by the default route, and a stranger would answer.
func checkLocal(ctx context.Context) error {
	for _, address := range []netip.Addr{layout.NodeAddress, layout.APIAddress, layout.PodRange.Addr().Next()} {
		output, err := exec.CommandContext(ctx, "ip", "-o", "route", "get", address.String()).CombinedOutput()
		if err != nil {
			return fmt.Errorf("look up the route to %s: %w: %s", address, err, output)
		}
		if !strings.Contains(string(output), " dev "+layout.HostLink+" ") {
			return fmt.Errorf("%s is not routed to the cluster: %s", address, strings.TrimSpace(string(output)))
		}
	}
	return nil
}

// RemoveNetwork deletes the namespace, and with it the links, bridges, routes
// and packet filter rules of the cluster.
func RemoveNetwork(ctx context.Context) error {
	if _, err := net.InterfaceByName(layout.HostLink); err == nil {
		if err := run(ctx, "ip", "link", "del", layout.HostLink); err != nil {
			return err
		}
	}
	if _, err := os.Stat(NetworkNamespaceFile()); err != nil {
		return nil //nolint:nilerr // there is none
	}
	return run(ctx, "ip", "netns", "del", layout.NetworkNamespace)
}

// run runs a command and returns what it said if it failed.
func run(ctx context.Context, command ...string) error {
	output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
