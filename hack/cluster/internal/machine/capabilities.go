// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"os"
	"strconv"
	"strings"
)

// capSysResource is the capability's number in capability(7).
const capSysResource = 24

// CanLowerOOMScore tells whether this process has CAP_SYS_RESOURCE.
func CanLowerOOMScore() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && hasCapability(string(status), capSysResource)
}

func hasCapability(status string, number uint) bool {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return err == nil && set&(1<<number) != 0
	}
	return false
}
