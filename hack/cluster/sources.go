// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// sourcesVariable overrides where this module's source is.
const sourcesVariable = "FOYER_CLUSTER_SOURCES"

// findSources finds this module's folder: the working directory or one above
// it, or hack/cluster in one of these.
func findSources() (string, error) {
	if dir := os.Getenv(sourcesVariable); dir != "" {
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the launcher's source: %w", err)
	}
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "hack", "cluster")} {
			if _, err := os.Stat(filepath.Join(candidate, "programs", "kubernetes", "go.mod")); err == nil {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find hack/cluster: run this inside the repository, or set " + sourcesVariable)
		}
		dir = parent
	}
}
