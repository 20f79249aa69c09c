// SPDX-License-Identifier: Apache-2.0

package homeservertest

import (
	"os"
	"strconv"
	"testing"
)

// Number reads a number from an environment variable, by which one runs more
// of a test than usual, or again what a seed led to.
func Number(t testing.TB, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
