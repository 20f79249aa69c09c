// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is a foyer process under test.
type server struct {
	cmd        *exec.Cmd
	url        string
	client     *http.Client
	readyAfter time.Duration
}

// startServer starts the binary on its own address and waits until it is ready.
func startServer(ctx context.Context, o options, data string) (*server, error) {
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
	config, err := json.Marshal(map[string]any{
		"serverName": "bench.example", "dataDir": data, "logLevel": "error",
		"listen":       map[string]any{"client": address},
		"database":     map[string]any{"url": o.database},
		"registration": map[string]any{"mode": "Open"},
		"rateLimits":   map[string]any{"disabled": true},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "config.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, o.binary, "homeserver", "--config", file) //nolint:gosec // the binary under test
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	s := &server{cmd: cmd, url: "http://" + address, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: time.Minute,
	}}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.readyAfter = time.Since(start)
	return s, nil
}

func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", nil)
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

// user is a signed-in account with a room of its own.
type user struct {
	id, token, room string
}

func (s *server) registerUsers(ctx context.Context, n int) ([]user, error) {
	users := make([]user, n)
	for i := range users {
		var account struct {
			UserID      string `json:"user_id"`
			AccessToken string `json:"access_token"`
		}
		err := s.call(ctx, "", http.MethodPost, "/register", map[string]any{
			"username": fmt.Sprintf("user%d", i), "password": "correct horse battery staple",
			"auth": map[string]any{"type": "m.login.dummy"},
		}, &account)
		if err != nil {
			return nil, err
		}
		users[i] = user{id: account.UserID, token: account.AccessToken}
		if users[i].room, err = s.createRoom(ctx, users[i]); err != nil {
			return nil, err
		}
	}
	return users, nil
}

func (s *server) createRoom(ctx context.Context, u user) (string, error) {
	var room struct {
		RoomID string `json:"room_id"`
	}
	err := s.call(ctx, u.token, http.MethodPost, "/createRoom", map[string]any{"preset": "public_chat"}, &room)
	return room.RoomID, err
}

// call makes one request of the client-server API.
func (s *server) call(ctx context.Context, token, method, path string, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		encoded = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/_matrix/client/v3"+path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
