// SPDX-License-Identifier: Apache-2.0

// Package layout says where everything of the cluster is: folders, files,
// sockets, addresses and ports. Nothing else in this module spells a path.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// DirVariable overrides the state folder.
const DirVariable = "FOYER_CLUSTER_DIR"

// maxSocketPath is the kernel's limit for the path of a Unix socket.
const maxSocketPath = 107

// Dirs is the state folder, the root of all that the cluster writes.
type Dirs string

// Default is $FOYER_CLUSTER_DIR, else foyer-cluster in the user's cache folder.
func Default() (Dirs, error) {
	dir := os.Getenv(DirVariable)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a state folder (set %s): %w", DirVariable, err)
		}
		dir = filepath.Join(cache, "foyer-cluster")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve the state folder: %w", err)
	}
	if len(Dirs(dir).ContainerdSocket()+".ttrpc") > maxSocketPath {
		return "", fmt.Errorf("state folder %s is too deep for a Unix socket: set %s to a shorter path", dir, DirVariable)
	}
	return Dirs(dir), nil
}

func (d Dirs) join(elements ...string) string {
	return filepath.Join(append([]string{string(d)}, elements...)...)
}

// What is kept until it is deleted by hand: programs, by the hash of their source.

// Bin has a link for each program, by the name it is called by.
func (d Dirs) Bin() string { return d.join("bin") }

// Program is one program in Bin.
func (d Dirs) Program(name string) string { return d.join("bin", name) }

// Store has the built programs, one folder for each hash.
func (d Dirs) Store() string { return d.join("store") }

// Assets has kube-apiserver, etcd and kubectl alone, for envtest.
func (d Dirs) Assets() string { return d.join("assets") }

// Images has the image archives that the cluster itself needs.
func (d Dirs) Images() string { return d.join("images") }

// What "down --purge" deletes: the cluster's identity and data.

// PKI has the certificate authorities, certificates and keys.
func (d Dirs) PKI(elements ...string) string { return d.join(append([]string{"pki"}, elements...)...) }

// Data has what the daemons keep: etcd, containerd, kubelet, volumes.
func (d Dirs) Data(elements ...string) string {
	return d.join(append([]string{"data"}, elements...)...)
}

// Volumes has a folder for each persistent volume.
func (d Dirs) Volumes() string { return d.join("data", "volumes") }

// CA is the root certificate that clients of the ingress trust.
func (d Dirs) CA() string { return d.join("ca.crt") }

// Kubeconfig is the administrator's.
func (d Dirs) Kubeconfig() string { return d.join("kubeconfig") }

// Env is a file of shell assignments for users of the cluster.
func (d Dirs) Env() string { return d.join("env") }

// What "up" writes anew each time.

// Config has the daemons' configuration files.
func (d Dirs) Config(elements ...string) string {
	return d.join(append([]string{"config"}, elements...)...)
}

// Log has one file for each daemon, and the pods' logs.
func (d Dirs) Log(elements ...string) string { return d.join(append([]string{"log"}, elements...)...) }

// Run has process records, sockets and the runtime's volatile state; "down" deletes it.
func (d Dirs) Run(elements ...string) string { return d.join(append([]string{"run"}, elements...)...) }

// Record is the record of one daemon's process.
func (d Dirs) Record(component string) string { return d.join("run", "process", component+".json") }

// ContainerdSocket is where containerd answers.
func (d Dirs) ContainerdSocket() string { return d.join("run", "containerd.sock") }

// Lock is held by the command that changes the cluster.
func (d Dirs) Lock() string { return d.join("lock") }

// BuildLock is held by the command that builds programs.
func (d Dirs) BuildLock() string { return d.join("build.lock") }
