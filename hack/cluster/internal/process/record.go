// SPDX-License-Identifier: Apache-2.0

// Package process starts daemons that outlive the command that starts them, and
// later finds and stops exactly those, never a stranger with the same number.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bootIDFile changes with each start of the machine.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Record identifies a process for good: numbers are used again, but not
// together with the same start time since the same boot.
type Record struct {
	PID int `json:"pid"`
	// StartTicks is the process's start, in clock ticks since boot.
	StartTicks uint64 `json:"startTicks"`
	BootID     string `json:"bootID"`
	// Command is for the reader of the file.
	Command []string `json:"command"`
}

// identify makes the record of a running process.
func identify(pid int, command []string) (Record, error) {
	ticks, err := startTicks(pid)
	if err != nil {
		return Record{}, err
	}
	boot, err := bootID()
	return Record{PID: pid, StartTicks: ticks, BootID: boot, Command: command}, err
}

// Alive tells whether the recorded process still runs; a zombie does not.
func (r Record) Alive() bool {
	if boot, err := bootID(); err != nil || boot != r.BootID || r.PID <= 0 {
		return false
	}
	ticks, err := startTicks(r.PID)
	return err == nil && ticks == r.StartTicks
}

// Load reads a record; ok is false when there is none.
func Load(path string) (record Record, ok bool, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read process record: %w", err)
	}
	if err := json.Unmarshal(content, &record); err != nil {
		return Record{}, false, fmt.Errorf("parse process record %s: %w", path, err)
	}
	return record, true, nil
}

func (r Record) save(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode process record: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of process records: %w", err)
	}
	return os.WriteFile(path, content, 0o644)
}

func bootID() (string, error) {
	content, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

func startTicks(pid int) (uint64, error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parseStartTicks(string(content))
}

// errZombie: the process has ended, and its parent has not noticed yet.
var errZombie = errors.New("process has ended")

// parseStartTicks reads field 22 of /proc/PID/stat. The second field is the
// program's name in brackets and may contain anything, so it counts from the
// last bracket.
func parseStartTicks(stat string) (uint64, error) {
	_, rest, found := cutLast(stat, ")")
	fields := strings.Fields(rest)
	const state, start = 0, 19 // fields 3 and 22
	if !found || len(fields) <= start {
		return 0, fmt.Errorf("unexpected process state %q", stat)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return 0, errZombie
	}
	return strconv.ParseUint(fields[start], 10, 64)
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
