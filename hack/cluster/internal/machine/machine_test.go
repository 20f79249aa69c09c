// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"slices"
	"strings"
	"testing"
)

func TestMountsAreListedLastFirstAndOnlyBelow(t *testing.T) {
	const info = `22 1 8:1 / / rw - ext4 /dev/a rw
30 22 0:5 / /state/run/a rw - overlay overlay rw
31 22 0:6 / /state/data/with\040space rw shared:1 - tmpfs tmpfs rw
32 22 0:7 / /state-of-another/run rw - tmpfs tmpfs rw
33 30 0:8 / /state/run/a/b rw - tmpfs tmpfs rw
`
	want := []string{"/state/run/a/b", "/state/data/with space", "/state/run/a"}
	for _, folder := range []string{"/state", "/state/"} {
		if got := mountsBelow(info, folder); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", folder, got, want)
		}
	}
}

func TestMissingPackagesAreNamedOnce(t *testing.T) {
	absent := missing(func(string) bool { return false })
	if sorted := slices.Compact(slices.Sorted(slices.Values(absent))); len(sorted) != len(absent) {
		t.Errorf("a package is named twice: %v", absent)
	}
	for _, pkg := range []string{"containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "iproute2", "busybox-static"} {
		if !slices.Contains(absent, pkg) {
			t.Errorf("%s is not named", pkg)
		}
	}
	only := missing(func(path string) bool { return path != "runc" })
	if !slices.Equal(only, []string{"runc"}) {
		t.Errorf("got %v", only)
	}
	if command := InstallCommand(only); !strings.HasSuffix(command, " runc") {
		t.Errorf("got %q", command)
	}
}

func TestCapabilitiesAreReadFromTheEffectiveSet(t *testing.T) {
	const status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t%s\n"
	with := strings.Replace(status, "%s", "000001ffffffffff", 1)
	without := strings.Replace(status, "%s", "000001fffeffffff", 1)
	if !hasCapability(with, capSysResource) || hasCapability(without, capSysResource) || hasCapability("", capSysResource) {
		t.Error("CAP_SYS_RESOURCE is misread")
	}
}
