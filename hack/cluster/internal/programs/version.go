// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// version is the version of module that the go.mod file in folder requires.
func version(folder, module string) (string, error) {
	path := filepath.Join(folder, "go.mod")
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read versions: %w", err)
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		return "", fmt.Errorf("parse versions: %w", err)
	}
	for _, require := range file.Require {
		if require.Mod.Path == module {
			return require.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", path, module)
}

// linkerFlags strips the binary and sets its version variables.
func linkerFlags(variables []VersionVariable, version string) string {
	flags := []string{"-s", "-w"}
	major, minor, _ := strings.Cut(strings.TrimPrefix(semver.MajorMinor(version), "v"), ".")
	parts := map[string]string{"version": version, "major": major, "minor": minor}
	for _, v := range variables {
		flags = append(flags, "-X", v.Name+"="+parts[v.Part])
	}
	return strings.Join(flags, " ")
}
