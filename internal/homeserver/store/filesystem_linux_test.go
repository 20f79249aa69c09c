// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhichProgramAFileSystemIsOf(t *testing.T) {
	const mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n" +
		"36 22 0:41 / /mnt/a\\040b rw,nosuid shared:2 - fuse.sshfs user@host:/srv rw,user_id=0\n" +
		"37 22 0:42 / /mnt/s3 rw - fuse mount-s3 rw\n" +
		"38 22 0:43 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw\n" +
		"broken line\n"
	for device, want := range map[string]string{
		"0:41": "sshfs", "0:42": "mount-s3", "0:43": "/dev/sdb1", "0:44": "",
	} {
		if got := fuseProgram(mounts, device); got != want {
			t.Errorf("%s is of %q, want %q", device, got, want)
		}
	}
}

func TestSQLiteIsRefusedOnANetworkFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := checkFileSystem(dir); err != nil {
		t.Fatalf("a local file system: %v", err)
	}
	for _, f := range []struct {
		magic   int64
		program string
		want    string
	}{
		{unix.NFS_SUPER_MAGIC, "", "NFS"},
		{unix.CIFS_SUPER_MAGIC, "", "CIFS"},
		{unix.SMB2_SUPER_MAGIC, "", "SMB"},
		{0x0bd00bd3, "", "Lustre"},
		{unix.FUSE_SUPER_MAGIC, "sshfs", "sshfs"},
		{unix.FUSE_SUPER_MAGIC, "mount-s3", "mount-s3"},
		{unix.FUSE_SUPER_MAGIC, "fuse-overlayfs", ""},
		{unix.FUSE_SUPER_MAGIC, "/dev/sdb1", ""},
		{unix.EXT4_SUPER_MAGIC, "", ""},
		{unix.TMPFS_MAGIC, "", ""},
	} {
		if name, bad := networkFileSystem(f.magic, f.program); name != f.want || bad != (f.want != "") {
			t.Errorf("%#x of %q is %q, refused %v; want %q", f.magic, f.program, name, bad, f.want)
		}
	}
}
