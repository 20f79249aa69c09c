// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountInfo lists the mounts of this process's namespace.
const mountInfo = "/proc/self/mountinfo"

// Mounts are the mount points below a folder, the last mounted first.
func Mounts(folder string) ([]string, error) {
	content, err := os.ReadFile(mountInfo)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return mountsBelow(string(content), folder), nil
}

func mountsBelow(info, folder string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		const point = 4
		if len(fields) <= point {
			continue
		}
		path := unescape.Replace(fields[point])
		if strings.HasPrefix(path, strings.TrimRight(folder, "/")+"/") {
			points = append(points, path)
		}
	}
	slices.Reverse(points)
	return points
}

// Unmount unmounts all below a folder.
func Unmount(folder string) error {
	points, err := Mounts(folder)
	if err != nil {
		return err
	}
	var left []error
	for _, point := range points {
		err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) {
			left = append(left, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(left...)
}
