// SPDX-License-Identifier: Apache-2.0

// Command catalogue prints which lines of docs/catalogue.md have a test that
// carries their number.
package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	entry = regexp.MustCompile(`^- \*\*([HKM])(\d+)\*\* (.*)`)
	// A test is named TestH11Something, or has a subtest "H11 something".
	named = regexp.MustCompile(`(?:func Test|")([HKM])0*(\d+)(?:[^0-9]|$)`)
)

func main() {
	if err := run(os.Stdout, "."); err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, root string) error {
	tests, err := testsByNumber(root)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(root, "docs", "catalogue.md"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	done, all := 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := entry.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		number, where := m[1]+m[2], "-"
		if files := tests[number]; len(files) > 0 {
			done++
			where = files[0]
		}
		all++
		if _, err := fmt.Fprintf(w, "%-5s %-60s %s\n", number, where, m[3]); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d of %d lines have a test; the rest belong to parts that are not built yet\n", done, all)
	return err
}

// testsByNumber returns the files whose tests carry each number.
func testsByNumber(root string) (map[string][]string, error) {
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			number := m[1] + m[2]
			if files := found[number]; len(files) == 0 || files[len(files)-1] != path {
				found[number] = append(files, path)
			}
		}
		return nil
	})
	return found, err
}
