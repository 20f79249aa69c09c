// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// synapseVersion is what the comparison of docs/performance.md is about.
const synapseVersion = "1.163.2"

// installSynapse puts Synapse from PyPI into a folder of its own, once, and
// returns its Python.
func installSynapse(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "foyer-bench", "synapse-"+synapseVersion)
	python := filepath.Join(dir, "bin", "python")
	if exec.CommandContext(ctx, python, "-c", "import synapse, psycopg2").Run() == nil { //nolint:gosec // our own folder
		return python, nil
	}
	for _, command := range [][]string{
		{"python3", "-m", "venv", dir},
		{python, "-m", "pip", "install", "--quiet", "matrix-synapse==" + synapseVersion, "psycopg2-binary"},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil { //nolint:gosec // as above
			return "", fmt.Errorf("install Synapse: %s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return python, nil
}

// synapse launches Synapse as one process, without rate limits and presence,
// with cheap passwords, and without its cache of whole /sync answers: the
// measure is the work, not a repetition of the same answer.
func synapse(python string) launch {
	return launch{name: "Synapse " + synapseVersion, ready: "/health", command: func(ctx context.Context, p place) (*exec.Cmd, error) {
		config, err := synapseConfig(p)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(p.data, "homeserver.yaml")
		if err := os.WriteFile(file, config, 0o600); err != nil {
			return nil, err
		}
		keys := exec.CommandContext(ctx, python, "-m", "synapse.app.homeserver", "--config-path", file, "--generate-keys") //nolint:gosec // the server under test
		if out, err := keys.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make Synapse's keys: %w: %s", err, out)
		}
		return exec.CommandContext(ctx, python, "-m", "synapse.app.homeserver", "--config-path", file), nil //nolint:gosec // as above
	}}
}

func synapseConfig(p place) ([]byte, error) {
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	logs := filepath.Join(p.data, "log.yaml")
	if err := os.WriteFile(logs, []byte(`{"version": 1, "root": {"level": "ERROR"}}`), 0o600); err != nil {
		return nil, err
	}
	database := map[string]any{"name": "sqlite3", "args": map[string]any{"database": filepath.Join(p.data, sqliteFile)}}
	if p.database != "" {
		u, err := url.Parse(p.database)
		if err != nil {
			return nil, err
		}
		database = map[string]any{"name": "psycopg2", "args": map[string]any{
			"user": u.User.Username(), "dbname": strings.TrimPrefix(u.Path, "/"), "host": u.Query().Get("host"), "cp_min": 5, "cp_max": 10,
		}}
	}
	config := map[string]any{
		"server_name": "bench.example", "report_stats": false, "database": database,
		"listeners": []any{map[string]any{
			"port": number, "type": "http", "bind_addresses": []string{"127.0.0.1"},
			"resources": []any{map[string]any{"names": []string{"client"}}},
		}},
		"media_store_path": filepath.Join(p.data, "media"), "signing_key_path": filepath.Join(p.data, "signing.key"), "log_config": logs,
		"macaroon_secret_key": "bench", "form_secret": "bench", "trusted_key_servers": []any{}, "suppress_key_server_warning": true,
		"enable_registration": true, "enable_registration_without_verification": true, "bcrypt_rounds": 4,
		"presence": map[string]any{"enabled": false}, "caches": map[string]any{"sync_response_cache_duration": "0s"},
	}
	unlimited := map[string]any{"per_second": 1e6, "burst_count": 1e6}
	for _, kind := range []string{"rc_message", "rc_registration", "rc_room_creation", "rc_key_requests", "rc_admin_redaction", "rc_reports", "rc_presence"} {
		config[kind] = unlimited
	}
	config["rc_presence"] = map[string]any{"per_user": unlimited}
	config["rc_login"] = map[string]any{"address": unlimited, "account": unlimited, "failed_attempts": unlimited}
	config["rc_joins"] = map[string]any{"local": unlimited, "remote": unlimited}
	config["rc_joins_per_room"] = unlimited
	config["rc_invites"] = map[string]any{"per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited}
	config["rc_media_create"] = unlimited
	return json.Marshal(config)
}
