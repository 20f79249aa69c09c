// SPDX-License-Identifier: Apache-2.0

// Package config renders the daemons' configuration files. Each is a value
// built in Go and marshalled once; nothing is put together from pieces of text
// but CoreDNS's own format.
package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

// Object is a JSON object; every JSON document is a YAML document too.
type Object = map[string]any

// Options are the choices that change configuration files.
type Options struct {
	// RestrictOOMScore keeps containerd from lowering the OOM score of
	// sandboxes, which without CAP_SYS_RESOURCE makes their start fail.
	RestrictOOMScore bool
}

// Write writes every configuration file.
func Write(dirs layout.Dirs, options Options) error {
	containerd, err := toml.Marshal(Containerd(dirs, options))
	if err != nil {
		return fmt.Errorf("encode containerd configuration: %w", err)
	}
	files := map[string][]byte{
		"containerd.toml": containerd,
		"Corefile":        []byte(Corefile(dirs)),
		// Pods see only the cluster's own DNS: no search domain of the machine.
		"resolv.conf": []byte("nameserver " + layout.NodeAddress.String() + "\n"),
	}
	documents := map[string]Object{
		filepath.Join("cni", "10-pods.conflist"): CNI(dirs),
		"kubelet.json":                           Kubelet(dirs),
		"kube-proxy.json":                        KubeProxy(dirs),
		"local-path.json":                        LocalPath(dirs),
		"helper-pod.json":                        HelperPod(),
	}
	for _, user := range pki.Users {
		documents[user.File+".kubeconfig"] = Kubeconfig(dirs, user)
	}
	for name, document := range documents {
		if files[name], err = json.MarshalIndent(document, "", "  "); err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
	}
	for name, content := range files {
		path := dirs.Config(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the configuration folder: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

// WriteAdmin writes the administrator's kubeconfig. It holds the certificates
// themselves, so that it can be copied.
func WriteAdmin(dirs layout.Dirs) error {
	content := map[string][]byte{}
	for _, file := range []string{pki.ClusterCA + ".crt", "admin.crt", "admin.key"} {
		var err error
		if content[file], err = os.ReadFile(dirs.PKI(file)); err != nil {
			return fmt.Errorf("read certificate: %w", err)
		}
	}
	const name = "foyer-cluster"
	encoded, err := yaml.Marshal(Object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []Object{{"name": name, "cluster": Object{
			"server": Server, "certificate-authority-data": content[pki.ClusterCA+".crt"],
		}}},
		"users": []Object{{"name": "admin", "user": Object{
			"client-certificate-data": content["admin.crt"], "client-key-data": content["admin.key"],
		}}},
		"contexts":        []Object{{"name": name, "context": Object{"cluster": name, "user": "admin"}}},
		"current-context": name,
	})
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	return os.WriteFile(dirs.Kubeconfig(), encoded, 0o600)
}
