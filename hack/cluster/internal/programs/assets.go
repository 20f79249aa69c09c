// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

// LinkAssets fills the folder that envtest looks into.
func LinkAssets(dirs layout.Dirs) error {
	if err := os.MkdirAll(dirs.Assets(), 0o755); err != nil {
		return fmt.Errorf("make the assets folder: %w", err)
	}
	for _, name := range AssetLinks {
		target, err := os.Readlink(dirs.Program(name))
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if err := Symlink(target, filepath.Join(dirs.Assets(), name)); err != nil {
			return err
		}
	}
	return nil
}

// LauncherKey is the hash of the launcher's own source: what it writes into
// configuration files changes with it.
func LauncherKey(module fs.FS) (string, error) {
	return key(withoutPrograms{module}, "", nil)
}

// withoutPrograms hides the programs' folders, which have keys of their own.
type withoutPrograms struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (f withoutPrograms) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	if name != "." {
		return entries, err
	}
	var kept []fs.DirEntry
	for _, entry := range entries {
		if entry.Name() != "programs" {
			kept = append(kept, entry)
		}
	}
	return kept, err
}
