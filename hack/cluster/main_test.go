// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/process"
)

func TestUnknownCommandsAreRefused(t *testing.T) {
	if err := dispatch(t.Context(), []string{"start"}); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("got %v", err)
	}
}

func TestImagesAreMadeOnlyOfStaticPrograms(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{script, "/bin/sh", "/does/not/exist"} {
		if err := checkStatic(path); err == nil {
			t.Errorf("%s is accepted", path)
		}
	}
}

func TestSourcesAreFoundFromBelow(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{here, filepath.Join(here, "internal", "layout"), filepath.Dir(filepath.Dir(here))} {
		t.Chdir(dir)
		if got, err := findSources(); err != nil || got != here {
			t.Errorf("from %s: got %q, %v", dir, got, err)
		}
	}
}

func TestTheRelayPassesBothWays(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = echo.Close() })
	go func() {
		connection, err := echo.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		line, _ := bufio.NewReader(connection).ReadString('\n')
		_, _ = connection.Write([]byte("heard " + line))
	}()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- relay(ctx, []string{address, echo.Addr().String()}) }()
	var client net.Conn
	err = process.Until(ctx, func() bool {
		client, err = net.Dial("tcp", address)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(client).ReadString('\n'); err != nil || answer != "heard hello\n" {
		t.Errorf("got %q, %v", answer, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
