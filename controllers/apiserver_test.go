// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/foyer-matrix/foyer/config/crd"
)

// apiServer is a real kube-apiserver with etcd, which keeps a record of who
// asked to change what.
type apiServer struct {
	*envtest.Environment
	dir string
}

// auditPolicy records write requests, leases and Events excepted. They are
// recorded when they come in: the answer to a request may arrive before the
// record of its end.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources: [{group: "", resources: [events]}, {group: events.k8s.io}, {group: coordination.k8s.io}]
- level: Metadata
`

// startAPIServer starts etcd and kube-apiserver with our kinds and those in dirs.
func startAPIServer(dirs ...string) (*apiServer, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set")
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "foyer-apiserver-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the API server: %w", err)
	}
	a := &apiServer{dir: dir, Environment: &envtest.Environment{
		CRDs: definitions, CRDDirectoryPaths: dirs, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}}
	if err := os.WriteFile(a.path("policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	server := a.ControlPlane.GetAPIServer()
	if server.Path, err = a.bound("kube-apiserver"); err != nil {
		return nil, err
	}
	a.ControlPlane.Etcd = &envtest.Etcd{}
	if a.ControlPlane.Etcd.Path, err = a.bound("etcd"); err != nil {
		return nil, err
	}
	server.Configure().
		// A hundred Homeservers want more addresses than envtest's own range has.
		Set("service-cluster-ip-range", "10.96.0.0/16").
		Set("audit-policy-file", a.path("policy.yaml")).
		Set("audit-log-path", a.path("audit.log")).
		Set("audit-log-maxsize", "4096") // MiB: one file
	if _, err := a.Start(); err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	return a, nil
}

// bound returns a program that is the asset called name and that the kernel
// kills when this process ends: a test that panics, or that takes too long,
// stops nothing itself.
func (a *apiServer) bound(name string) (string, error) {
	asset := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), name)
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return asset, nil //nolint:nilerr // not Linux: there is no such thing
	}
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' --pdeathsig KILL '%s' \"$@\"\n", setpriv, asset)
	if err := os.WriteFile(a.path(name), []byte(script), 0o700); err != nil {
		return "", fmt.Errorf("write the start script of %s: %w", name, err)
	}
	return a.path(name), nil
}

func (a *apiServer) path(name string) string { return filepath.Join(a.dir, name) }

// stop stops the API server and removes its files.
func (a *apiServer) stop() error {
	return errors.Join(a.Stop(), os.RemoveAll(a.dir))
}

// writes returns the requests by which op asked the API server to change
// something, in the order in which they came in.
func (w *world) writes(op *operator) []string {
	w.t.Helper()
	text, err := os.ReadFile(w.env.path("audit.log"))
	w.must(err)
	var requests []string
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(op.agent)) {
			continue
		}
		var event auditv1.Event
		w.must(json.Unmarshal(line, &event))
		requests = append(requests, event.Verb+" "+event.RequestURI)
	}
	return requests
}
