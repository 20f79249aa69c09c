// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/progress"
)

func testCluster(t *testing.T) *Cluster {
	t.Helper()
	return &Cluster{Dirs: layout.Dirs(t.TempDir()), Log: progress.New(io.Discard)}
}

func TestComponentsHaveNamesOfTheirOwn(t *testing.T) {
	var all []string
	for _, stage := range testCluster(t).stages(Options{HTTPS: layout.DefaultHTTPS, HTTP: layout.DefaultHTTP}) {
		for _, each := range stage {
			all = append(all, each.name)
			if each.program == "" {
				t.Errorf("%s has no program", each.name)
			}
		}
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(all))); len(unique) != len(all) {
		t.Errorf("a name is used twice: %v", all)
	}
}

func TestTheIngressLetsClientsWait(t *testing.T) {
	arguments := strings.Join(testCluster(t).ingress("ingress-https", true).args, " ")
	for _, want := range []string{
		"-write-timeout-server=1h", "-response-header-timeout-backend=1h", "-experimental-upgrade",
		"-proxy-preserve-host", "X-Forwarded-Proto=https", "-kubernetes-enable-tls",
	} {
		if !strings.Contains(arguments, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestAStoppedClusterSaysSo(t *testing.T) {
	status, err := testCluster(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Healthy || len(status.Components) == 0 {
		t.Errorf("got %+v", status)
	}
	for _, each := range status.Components {
		if each.State != Stopped {
			t.Errorf("%s is %s", each.Name, each.State)
		}
	}
}

func TestAComponentFromBeforeARestartIsDead(t *testing.T) {
	c := testCluster(t)
	record := c.Dirs.Record("etcd")
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte(`{"pid":1,"startTicks":1,"bootID":"before"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	running, dead, err := c.alive()
	if err != nil || len(running) != 0 || !slices.Equal(dead, []string{"etcd"}) {
		t.Errorf("running %v, dead %v, %v", running, dead, err)
	}
}

func TestTheEnvironmentIsShell(t *testing.T) {
	c := testCluster(t)
	got, err := c.Env()
	if err != nil {
		t.Fatal(err)
	}
	if want := "export KUBECONFIG='" + c.Dirs.Kubeconfig() + "'\n"; !strings.Contains(got, want) {
		t.Errorf("%q is not in:\n%s", want, got)
	}
}

func TestNamesAreReadFromWhatToolsSay(t *testing.T) {
	applied := appliedNames("customresourcedefinition.apiextensions.k8s.io/a serverside-applied\n\n")
	if !slices.Equal(applied, []string{"customresourcedefinition.apiextensions.k8s.io/a"}) {
		t.Errorf("applied %v", applied)
	}
	imported := importedNames("unpacking r.example/a:1 (sha256:0)...done\nother\n")
	if !slices.Equal(imported, []string{"r.example/a:1"}) {
		t.Errorf("imported %v", imported)
	}
}
