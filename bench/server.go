// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// server is a homeserver process under test.
type server struct {
	cmd        *exec.Cmd
	url        string
	client     *http.Client
	readyAfter time.Duration
}

// launch describes a homeserver to start: a command for an address and data
// folder, and the path that answers 200 once it serves.
type launch struct {
	name    string
	ready   string
	command func(ctx context.Context, place place) (*exec.Cmd, error)
}

// place is where a server keeps and offers things.
type place struct {
	address, data string
	// database is a postgres:// URL; empty: SQLite below data.
	database string
}

// start starts a server on a free port of its own and waits until it is ready.
func (l launch) start(ctx context.Context, data, database string) (*server, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	cmd, err := l.command(ctx, place{address: address, data: data, database: database})
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	s := &server{cmd: cmd, url: "http://" + address, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 2 * time.Minute,
	}}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx, l.ready); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.readyAfter = time.Since(start)
	return s, nil
}

func (s *server) waitReady(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
		if err != nil {
			return err
		}
		res, err := s.client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("server is not ready: %w", ctx.Err())
		}
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}
