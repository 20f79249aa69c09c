// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

func sources() fstest.MapFS {
	return fstest.MapFS{
		"main.go":      {Data: []byte("package main")},
		"go.mod":       {Data: []byte("module x")},
		"main_test.go": {Data: []byte("package main")},
		"README.md":    {Data: []byte("text")},
	}
}

func mustKey(t *testing.T, files fstest.MapFS, toolchain string, arguments ...string) string {
	t.Helper()
	hash, err := key(files, toolchain, arguments)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestTheKeyChangesWithWhatABuildReads(t *testing.T) {
	base := mustKey(t, sources(), "go1.26", "build")
	if again := mustKey(t, sources(), "go1.26", "build"); again != base {
		t.Error("the key is not the same twice")
	}
	edited := sources()
	edited["main.go"] = &fstest.MapFile{Data: []byte("package main // edited")}
	upgraded := sources()
	upgraded["go.mod"] = &fstest.MapFile{Data: []byte("module x // v2")}
	for what, other := range map[string]string{
		"source":    mustKey(t, edited, "go1.26", "build"),
		"versions":  mustKey(t, upgraded, "go1.26", "build"),
		"toolchain": mustKey(t, sources(), "go1.27", "build"),
		"arguments": mustKey(t, sources(), "go1.26", "build", "-race"),
	} {
		if other == base {
			t.Errorf("the key does not change with the %s", what)
		}
	}
	documented := sources()
	documented["README.md"] = &fstest.MapFile{Data: []byte("other text")}
	documented["main_test.go"] = &fstest.MapFile{Data: []byte("package main // more tests")}
	if mustKey(t, documented, "go1.26", "build") != base {
		t.Error("the key changes with what a build does not read")
	}
}

func TestLinkerFlagsSplitTheVersion(t *testing.T) {
	got := linkerFlags([]VersionVariable{{"a.v", "version"}, {"a.major", "major"}, {"a.minor", "minor"}}, "v1.34.3")
	if want := "-s -w -X a.v=v1.34.3 -X a.major=1 -X a.minor=34"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryProgramHasItsFolderAndVersion(t *testing.T) {
	names := map[string]bool{}
	for _, p := range All {
		folder := filepath.Join("..", "..", "programs", p.Folder)
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Module != "" {
			if _, err := version(folder, p.Module); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		for _, name := range append([]string{p.Name}, p.Links...) {
			if names[name] {
				t.Errorf("two programs are called %s", name)
			}
			names[name] = true
		}
	}
}

func TestAssetsPointAtTheBuiltBinary(t *testing.T) {
	dirs := layout.Dirs(t.TempDir())
	b := Builder{Dirs: dirs}
	target := filepath.Join(dirs.Store(), "kubernetes-000000000000")
	if err := b.link(Kubernetes, target); err != nil {
		t.Fatal(err)
	}
	if err := LinkAssets(dirs); err != nil {
		t.Fatal(err)
	}
	for _, name := range AssetLinks {
		got, err := os.Readlink(filepath.Join(dirs.Assets(), name))
		if want := filepath.Join(target, "kubernetes"); err != nil || got != want {
			t.Errorf("%s leads to %q, %v", name, got, err)
		}
	}
}

func TestALinkIsReplacedInPlace(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	for _, target := range []string{"a", "b", "b"} {
		if err := Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.Readlink(link); got != target {
			t.Errorf("leads to %q, want %q", got, target)
		}
	}
}
