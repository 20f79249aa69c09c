// SPDX-License-Identifier: Apache-2.0

package process

import (
	"io"
	"os"
	"strings"
)

const (
	tailBytes = 64 << 10
	tailLines = 15
	// tailWidth cuts what some daemons print on one line.
	tailWidth = 400
)

// Tail is the end of a log, indented for an error message.
func Tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = file.Seek(-tailBytes, io.SeekEnd)
	}
	content, err := io.ReadAll(io.LimitReader(file, tailBytes))
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	return lastLines(string(content))
}

func lastLines(content string) string {
	lines := strings.Split(strings.TrimRight(content, "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		if len(line) > tailWidth {
			line = line[:tailWidth] + " …"
		}
		lines[i] = "    " + line
	}
	return strings.Join(lines, "\n")
}
