// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// networkFileSystems are those on which SQLite's locks cannot be relied on.
// https://www.sqlite.org/lockingv3.html#how_to_corrupt
var networkFileSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.AFS_SUPER_MAGIC:  "AFS",
	unix.CEPH_SUPER_MAGIC: "CephFS",
	unix.V9FS_MAGIC:       "9p",
}

// checkFileSystem refuses network file systems.
func checkFileSystem(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("stat file system of %s: %w", dir, err)
	}
	//nolint:unconvert // Type is int32 on some architectures
	if name, bad := networkFileSystems[int64(st.Type)]; bad {
		return fmt.Errorf("%w: %s is on %s, where SQLite loses data; use a block volume or Postgres",
			ErrStorageUnsupported, dir, name)
	}
	return nil
}

// lockDir makes this process the only one to use dir. The kernel releases the
// lock when the process ends, however it ends.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%w: %s (%w)%s", ErrLocked, dir, err, closing(f.Close()))
	}
	return f.Close, nil
}
