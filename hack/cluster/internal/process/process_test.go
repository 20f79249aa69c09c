// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStartTicksAreReadBehindAnyProgramName(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1000 10"
	for _, name := range []string{"(sleep)", "(a b)", "(x) y)", "()"} {
		ticks, err := parseStartTicks("42 " + name + rest)
		if err != nil || ticks != 98765 {
			t.Errorf("%s: got %d, %v", name, ticks, err)
		}
	}
	if _, err := parseStartTicks("42 (sleep)" + strings.Replace(rest, " S ", " Z ", 1)); err == nil {
		t.Error("a zombie counts as running")
	}
	if _, err := parseStartTicks("42 (sleep) S 1"); err == nil {
		t.Error("a short line is accepted")
	}
}

func TestOnlyTheVeryProcessIsAlive(t *testing.T) {
	record, err := identify(os.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !record.Alive() {
		t.Error("this process is not alive")
	}
	later, elsewhere := record, record
	later.StartTicks++
	elsewhere.BootID = "another boot"
	if later.Alive() {
		t.Error("a process with the same number but another start is taken for ours")
	}
	if elsewhere.Alive() {
		t.Error("a process from before a restart of the machine is taken for ours")
	}
}

func TestADaemonIsStartedRecordedAndStopped(t *testing.T) {
	dir := t.TempDir()
	spec := Spec{
		Path: "/bin/sh", Args: []string{"-c", "echo started; exec sleep 60"},
		Log: filepath.Join(dir, "log", "x.log"), Record: filepath.Join(dir, "run", "x.json"),
	}
	started, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	loaded, ok, err := Load(spec.Record)
	if err != nil || !ok || loaded.PID != started.PID || !loaded.Alive() {
		t.Fatalf("loaded %+v, %v, %v", loaded, ok, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := Until(ctx, func() bool { return strings.Contains(Tail(spec.Log), "started") }); err != nil {
		t.Errorf("its output is not in the log: %v", err)
	}
	if err := Stop(ctx, spec.Record, time.Second); err != nil {
		t.Fatal(err)
	}
	if started.Alive() {
		t.Error("it still runs")
	}
	if _, ok, _ := Load(spec.Record); ok {
		t.Error("its record is still there")
	}
	if err := Stop(ctx, spec.Record, time.Second); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestTheTailIsShortAndIndented(t *testing.T) {
	content := strings.Repeat("line\n", 100) + strings.Repeat("x", 1000) + "\n"
	lines := strings.Split(lastLines(content), "\n")
	if len(lines) != tailLines {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "    ") || len(line) > tailWidth+10 {
			t.Errorf("line of %d bytes: %.20q", len(line), line)
		}
	}
}
