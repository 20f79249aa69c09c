// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	gfs2:                  "GFS2",
	lustre:                "Lustre",
	ocfs2:                 "OCFS2",
}

// What golang.org/x/sys/unix does not name.
const (
	gfs2   = 0x01161970
	lustre = 0x0bd00bd3
	ocfs2  = 0x7461636f
)

// networkFUSE are file systems in programs whose files are elsewhere. All of
// FUSE has one magic number; their names are in the table of mounts.
var networkFUSE = []string{
	"sshfs", "s3fs", "gcsfuse", "rclone", "goofys", "mount-s3", "blobfuse", "blobfuse2", "juicefs", "geesefs", "seaweedfs",
	"glusterfs", "ceph-fuse", "ceph", "davfs", "curlftpfs", "mfs", "moosefs", "lizardfs",
}

// checkFileSystem refuses network file systems.
func checkFileSystem(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("stat file system of %s: %w", dir, err)
	}
	//nolint:unconvert // Type is int32 on some architectures
	magic := int64(st.Type)
	program := ""
	if magic == unix.FUSE_SUPER_MAGIC {
		var err error
		if program, err = fuseName(dir); err != nil {
			return err
		}
	}
	if name, bad := networkFileSystem(magic, program); bad {
		return fmt.Errorf("%w: %s is on %s, where SQLite loses data; use a block volume or Postgres",
			ErrStorageUnsupported, dir, name)
	}
	return nil
}

// networkFileSystem names the file system with this magic number, and of this
// program if it is FUSE; false if it is a local one.
func networkFileSystem(magic int64, program string) (name string, bad bool) {
	if slices.Contains(networkFUSE, program) {
		return program, true
	}
	name, bad = networkFileSystems[magic]
	return name, bad
}

// fuseName finds out which program's file system dir is on; "" if it is not told.
func fuseName(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", dir, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("read mounts: %w", err)
	}
	//nolint:unconvert // Dev is of another type on some architectures
	dev := uint64(st.Dev)
	return fuseProgram(string(mounts), fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))), nil
}

// fuseProgram reads the program from the lines of mountinfo: the fields after
// "-" are the type, fuse.<program>, and the source, which some programs name
// themselves in (proc(5)).
func fuseProgram(mounts, device string) string {
	for line := range strings.Lines(mounts) {
		mount, filesystem, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(filesystem)
		if !ok || len(fields) < 3 || fields[2] != device || len(kind) < 2 {
			continue
		}
		if _, program, ok := strings.Cut(kind[0], "."); ok {
			return program
		}
		return kind[1]
	}
	return ""
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
