// SPDX-License-Identifier: Apache-2.0

// Command catalogue prints which lines of docs/catalogue.md have a test that
// carries their number, or belong to a part that comes later. It fails if there
// is a line of neither kind.
package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	entry = regexp.MustCompile(`^- \*\*([HKM])(\d+)\*\* (.*)`)
	// A test is named TestH11Something, or has a subtest "H11 something".
	named = regexp.MustCompile(`(?:func Test|")([HKM])0*(\d+)(?:[^0-9]|$)`)
	// A row of the table of parts that come later: "| H18, H34-H36 | part |".
	later  = regexp.MustCompile(`^\| ((?:[HKM]\d+(?:-[HKM]\d+)?(?:, )?)+) \| (.*) \|$`)
	ranged = regexp.MustCompile(`([HKM])(\d+)(?:-[HKM](\d+))?`)
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
	var tested, all int
	var missing []string
	parts := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		notePart(parts, lines.Text())
		m := entry.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		number, where := m[1]+m[2], "-"
		switch files := tests[number]; {
		case len(files) > 0:
			tested++
			where = files[0]
		case parts[number] != "":
			where = "later: " + parts[number]
		default:
			missing = append(missing, number)
		}
		all++
		if _, err := fmt.Fprintf(w, "%-5s %-60s %s\n", number, where, m[3]); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test has the number of %s", strings.Join(missing, ", "))
	}
	_, err = fmt.Fprintf(w, "%d of %d lines have a test; the rest belong to parts that are not built yet\n", tested, all)
	return err
}

// notePart reads a row of the table of parts that come later into parts, by number.
func notePart(parts map[string]string, line string) {
	row := later.FindStringSubmatch(line)
	if row == nil {
		return
	}
	for _, r := range ranged.FindAllStringSubmatch(row[1], -1) {
		first, _ := strconv.Atoi(r[2]) // digits, by the pattern
		last := first
		if r[3] != "" {
			last, _ = strconv.Atoi(r[3])
		}
		for n := first; n <= last; n++ {
			parts[r[1]+strconv.Itoa(n)] = row[2]
		}
	}
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
