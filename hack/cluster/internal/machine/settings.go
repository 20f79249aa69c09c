// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// kubeletSettings are the kernel's settings that a kubelet changes for the whole
// machine.
var kubeletSettings = []string{
	"/proc/sys/vm/overcommit_memory",
	"/proc/sys/vm/panic_on_oom",
	"/proc/sys/kernel/panic",
	"/proc/sys/kernel/panic_on_oops",
	"/proc/sys/kernel/keys/root_maxkeys",
	"/proc/sys/kernel/keys/root_maxbytes",
}

// SaveSettings remembers the kernel's settings before a kubelet changes them.
func SaveSettings(path string) error {
	values := map[string]string{}
	for _, setting := range kubeletSettings {
		if value, err := os.ReadFile(setting); err == nil {
			values[setting] = strings.TrimSpace(string(value))
		}
	}
	content, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		return fmt.Errorf("encode kernel settings: %w", err)
	}
	return os.WriteFile(path, content, 0o644)
}

// RestoreSettings sets the kernel's settings as they were saved, if they were.
func RestoreSettings(path string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err == nil {
		err = json.Unmarshal(content, &values)
	}
	if err != nil {
		return fmt.Errorf("read saved kernel settings: %w", err)
	}
	var left []error
	for setting, value := range values {
		if err := os.WriteFile(setting, []byte(value), 0o644); err != nil {
			left = append(left, fmt.Errorf("restore kernel setting: %w", err))
		}
	}
	return errors.Join(left...)
}
