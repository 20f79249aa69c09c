// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/config"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/images"
)

// importOwnImages makes and imports the images that every pod and volume needs.
func (c *Cluster) importOwnImages(ctx context.Context) error {
	busybox, err := images.Busybox(ctx, config.BusyboxImage, runtime.GOARCH)
	if err != nil {
		return err
	}
	own := map[string]images.Image{
		"pause.tar":   images.Pause(config.PauseImage, runtime.GOARCH, c.Dirs.Program("pause")),
		"busybox.tar": busybox,
	}
	for file, image := range own {
		path := filepath.Join(c.Dirs.Images(), file)
		if err := images.Write(image, path); err != nil {
			return err
		}
		if _, err := c.importImage(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// Load imports image archives and says what they hold.
func (c *Cluster) Load(ctx context.Context, archives []string) error {
	running, _, err := c.alive()
	if err != nil {
		return err
	}
	if len(running) == 0 {
		return fmt.Errorf("the cluster is not running: start it with \"cluster up\"")
	}
	for _, archive := range archives {
		path, err := filepath.Abs(archive)
		if err != nil {
			return fmt.Errorf("find image archive: %w", err)
		}
		names, err := c.importImage(ctx, path)
		if err != nil {
			return err
		}
		c.Log.Say("loaded %s from %s", strings.Join(names, " "), archive)
	}
	return nil
}

// importImage imports one archive and returns the names of its images.
func (c *Cluster) importImage(ctx context.Context, path string) ([]string, error) {
	said, err := c.ctr(ctx, "images", "import", path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	return importedNames(said), nil
}

// importedNames reads lines such as "unpacking NAME (sha256:…)...done".
func importedNames(said string) []string {
	var names []string
	for line := range strings.Lines(said) {
		if rest, ok := strings.CutPrefix(line, "unpacking "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}
