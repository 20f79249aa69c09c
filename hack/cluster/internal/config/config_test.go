// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

const state = layout.Dirs("/state")

func TestContainerdStaysInTheStateFolder(t *testing.T) {
	encoded, err := toml.Marshal(Containerd(state, Options{RestrictOOMScore: true}))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version     int
		Root, State string
		GRPC        struct{ Address string }
		Plugins     map[string]struct {
			SandboxImage     string `toml:"sandbox_image"`
			RestrictOOMScore bool   `toml:"restrict_oom_score_adj"`
		}
	}
	if err := toml.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{got.Root, got.State, got.GRPC.Address} {
		if !strings.HasPrefix(path, "/state/") {
			t.Errorf("%q is outside", path)
		}
	}
	cri := got.Plugins["io.containerd.grpc.v1.cri"]
	if got.Version != 2 || cri.SandboxImage != PauseImage || !cri.RestrictOOMScore {
		t.Errorf("got %+v", got)
	}
}

func TestBridgeDoesNotMixHairpinAndPromiscuousMode(t *testing.T) {
	bridge := CNI(state)["plugins"].([]Object)[0]
	if _, promiscuous := bridge["promiscMode"]; promiscuous || bridge["hairpinMode"] != true {
		t.Errorf("got %v", bridge)
	}
}

func TestCorefileServesClusterIngressAndNothingElse(t *testing.T) {
	got := Corefile(state)
	for _, want := range []string{
		"cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {",
		"kubeconfig /state/config/coredns.kubeconfig",
		"foyer.localhost:53 example.com:53",
		`answer "{{ .Name }} 60 IN A 10.213.0.2"`,
		".:53 {\n\ttemplate ANY ANY {\n\t\trcode NXDOMAIN\n\t}",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "forward") {
		t.Error("questions are passed to the outside")
	}
}

func TestTheKubeletKeepsImagesAndItsOwnPlaces(t *testing.T) {
	got := Kubelet(state)
	for field, want := range map[string]any{
		"cgroupDriver": "cgroupfs", "cgroupRoot": "/foyer-cluster",
		"podLogsDir": "/state/log/pods", "imageGCHighThresholdPercent": 100,
		"containerRuntimeEndpoint": "unix:///state/run/containerd.sock",
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
}

func TestEveryFileIsWrittenAndReadable(t *testing.T) {
	dirs := layout.Dirs(t.TempDir())
	if err := Write(dirs, Options{}); err != nil {
		t.Fatal(err)
	}
	files := []string{"kubelet.json", "kube-proxy.json", "local-path.json", "helper-pod.json", filepath.Join("cni", "10-pods.conflist")}
	for _, user := range pki.Users {
		files = append(files, user.File+".kubeconfig")
	}
	for _, file := range files {
		content, err := os.ReadFile(dirs.Config(file))
		if err != nil || !json.Valid(content) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
