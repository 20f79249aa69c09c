// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
)

// foyer launches our own homeserver from a binary.
func foyer(binary string) launch {
	return launch{name: "Foyer", ready: "/readyz", command: func(ctx context.Context, p place) (*exec.Cmd, error) {
		config, err := json.Marshal(map[string]any{
			"serverName": "bench.example", "dataDir": p.data, "logLevel": "error",
			"listen":       map[string]any{"client": p.address},
			"database":     map[string]any{"url": p.database},
			"registration": map[string]any{"mode": "Open"},
			"rateLimits":   map[string]any{"disabled": true},
		})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(p.data, "config.yaml")
		if err := os.WriteFile(file, config, 0o600); err != nil {
			return nil, err
		}
		return exec.CommandContext(ctx, binary, "homeserver", "--config", file), nil //nolint:gosec // the binary under test
	}}
}
