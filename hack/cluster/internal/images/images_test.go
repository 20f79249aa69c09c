// SPDX-License-Identifier: Apache-2.0

package images

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestAStaticImageIsHardenedAndAlwaysTheSame(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "program")
	if err := os.WriteFile(binary, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := Static("registry.example/foyer:dev", "amd64", binary, "/foyer")
	var digests []string
	for _, file := range []string{"a.tar", "b.tar"} {
		path := filepath.Join(dir, file)
		if err := Write(image, path); err != nil {
			t.Fatal(err)
		}
		loaded, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := loaded.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
		config, err := loaded.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/foyer" {
			t.Errorf("configuration %+v", config.Config)
		}
		checkFiles(t, mutate.Extract(loaded))
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %v", digests)
	}
}

// checkFiles wants the program, the user and the certificates.
func checkFiles(t *testing.T, archive io.ReadCloser) {
	t.Helper()
	defer archive.Close()
	wanted := map[string]int64{"foyer": 0o755, "etc/passwd": 0o644, certificates[1:]: 0o644}
	r := tar.NewReader(archive)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if mode, ok := wanted[header.Name]; ok && header.Mode == mode {
			delete(wanted, header.Name)
		}
	}
	if len(wanted) > 0 {
		t.Errorf("not in the image with their modes: %v", wanted)
	}
}

func TestAnImageNeedsAFullName(t *testing.T) {
	for _, name := range []string{"", "foyer", "ghcr.io/foyer", "UPPER:tag"} {
		if err := Write(Image{Name: name}, filepath.Join(t.TempDir(), "x.tar")); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}
