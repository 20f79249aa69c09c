// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

// Some daemons write to fixed places outside any folder they can be given.
const (
	// kubeletLinks is where every kubelet links container logs, wherever they are.
	kubeletLinks = "/var/log/containers"
	// devicePlugins is where every kubelet waits for device plug-ins.
	devicePlugins = "/var/lib/kubelet/device-plugins"
	// cniResults is where containerd's CNI library remembers what it did.
	cniResults = "/var/lib/cni/results"
	// podLink is the name of a pod's link, in the pod.
	podLink = "eth0"
)

// ShimSockets are the sockets of our containers' shims. containerd forgets them
// when a shim ends, so ask before.
func ShimSockets(dirs layout.Dirs) []string {
	var sockets []string
	addresses, _ := filepath.Glob(dirs.Run("containerd", "io.containerd.runtime.v2.task", "*", "*", "address"))
	for _, file := range addresses {
		content, err := os.ReadFile(file)
		if socket, ok := strings.CutPrefix(string(content), "unix://"); err == nil && ok {
			sockets = append(sockets, socket)
		}
	}
	return sockets
}

// RemoveStrays deletes what the daemons put outside the state folder: the given
// sockets, links to container logs, and records of the network.
func RemoveStrays(dirs layout.Dirs, sockets []string) error {
	strays := append([]string{}, sockets...)
	links, _ := filepath.Glob(filepath.Join(kubeletLinks, "*.log"))
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(target, dirs.Log()+"/") {
			strays = append(strays, link)
		}
	}
	results, _ := filepath.Glob(filepath.Join(cniResults, layout.CNINetwork+"-*-"+podLink))
	for _, result := range results {
		pod := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(result), layout.CNINetwork+"-"), "-"+podLink)
		strays = append(strays, result, filepath.Join(cniResults, "cni-loopback-"+pod+"-lo"))
	}
	var left []error
	for _, path := range strays {
		left = append(left, remove(path))
	}
	left = append(left, removeDevicePlugins())
	// Only an empty folder goes.
	_ = os.Remove(cniResults)
	return errors.Join(left...)
}

// removeDevicePlugins deletes a kubelet's socket and its checkpoint, unless some
// kubelet still answers there.
func removeDevicePlugins() error {
	socket := filepath.Join(devicePlugins, "kubelet.sock")
	connection, err := net.Dial("unix", socket) //nolint:noctx // a local socket answers or refuses at once
	if err == nil {
		return connection.Close()
	}
	for _, path := range []string{socket, filepath.Join(devicePlugins, "kubelet_internal_checkpoint")} {
		if err := remove(path); err != nil {
			return err
		}
	}
	// Only empty folders go.
	_ = os.Remove(devicePlugins)
	_ = os.Remove(filepath.Dir(devicePlugins))
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stray: %w", err)
	}
	return nil
}
