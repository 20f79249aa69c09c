// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
)

// keyLength is how much of the hash names a folder of the store.
const keyLength = 12

// key is the hash of all that a build's result depends on: the toolchain, the
// command line, and every file of the program's folder, go.sum included.
func key(folder fs.FS, toolchain string, arguments []string) (string, error) {
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%s\n%s\n", toolchain, strings.Join(arguments, "\x00"))
	var files []string
	err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && isSource(path) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("list sources: %w", err)
	}
	sort.Strings(files)
	for _, file := range files {
		content, err := fs.ReadFile(folder, file)
		if err != nil {
			return "", fmt.Errorf("read source: %w", err)
		}
		_, _ = fmt.Fprintf(hash, "%s %x\n", file, sha256.Sum256(content))
	}
	return hex.EncodeToString(hash.Sum(nil))[:keyLength], nil
}

// isSource leaves out what a build does not read.
func isSource(path string) bool {
	name := filepath.Base(path)
	if strings.HasSuffix(name, "_test.go") {
		return false
	}
	return strings.HasSuffix(name, ".go") || name == "go.mod" || name == "go.sum"
}
