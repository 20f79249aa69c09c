// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spec is a daemon to start.
type Spec struct {
	// Path is the program, Args its arguments without the name.
	Path string
	Args []string
	// Env is the whole environment.
	Env []string
	// NetworkNamespace is the file of the network namespace to run in; empty means the caller's.
	NetworkNamespace string
	// Log gets the daemon's output, Record its identity.
	Log, Record string
}

// Start starts a daemon in a session of its own, so that it outlives the
// terminal, and records it. An older log is kept as LOG.old.
func Start(spec Spec) (Record, error) {
	if err := os.MkdirAll(filepath.Dir(spec.Log), 0o755); err != nil {
		return Record{}, fmt.Errorf("make the log folder: %w", err)
	}
	_ = os.Rename(spec.Log, spec.Log+".old")
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o644)
	if err != nil {
		return Record{}, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()

	command := exec.Command(spec.Path, spec.Args...) //nolint:noctx // it must outlive every context
	command.Env = spec.Env
	command.Dir = "/"
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := Within(spec.NetworkNamespace, command.Start); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", filepath.Base(spec.Path), err)
	}
	// Reap it should it end while this command still runs, or it would look alive.
	go func() { _ = command.Wait() }()
	record, err := identify(command.Process.Pid, command.Args)
	if err != nil {
		return Record{}, fmt.Errorf("%s ended at once:\n%s", filepath.Base(spec.Path), Tail(spec.Log))
	}
	return record, record.save(spec.Record)
}

// Within runs do with its thread in a network namespace; a child started by do
// inherits it. The thread is not used again unless it could be moved back.
func Within(namespace string, do func() error) error {
	if namespace == "" {
		return do()
	}
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the runtime ends the thread together with the goroutine.
		runtime.LockOSThread()
		result <- enter(namespace, do)
	}()
	return <-result
}

func enter(namespace string, do func() error) error {
	file, err := os.Open(namespace)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return do()
}
