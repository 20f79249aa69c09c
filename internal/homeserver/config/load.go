// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Default returns the configuration with its documented defaults, in which
// only ServerName and DataDir are missing.
func Default() Config {
	return Config{
		Database:     Database{Synchronous: "FULL"},
		Listen:       Listen{Client: "127.0.0.1:8008"},
		Registration: Registration{Mode: RegistrationClosed},
		Rooms:        Rooms{DefaultVersion: "12"},
		Media:        Media{MaxUploadBytes: 100 << 20, MaxUserBytes: 10 << 30},
		Turn:         Turn{LifetimeSeconds: 86400},
		RateLimits:   RateLimits{}.WithDefaults(),
		LogLevel:     "info",
	}
}

// Load reads a YAML (or JSON) file over the defaults. A key that does not
// exist or occurs twice is an error that names it. Call Complete and Validate
// next, after anything else that sets fields.
func Load(path string) (Config, error) {
	c := Default()
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return c, fmt.Errorf("read configuration %s: %w", path, err)
	}
	c.RateLimits = c.RateLimits.WithDefaults()
	return c, nil
}

// PostgresURL returns the postgres:// URL, which may be in a file, or "" for SQLite.
func (d Database) PostgresURL() (string, error) {
	if d.URLFile == "" {
		return d.URL, nil
	}
	text, err := os.ReadFile(d.URLFile)
	if err != nil {
		return "", fmt.Errorf("database.urlFile: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Complete fills in what follows from other fields.
func (c *Config) Complete() {
	if c.SigningKeyFile == "" {
		c.SigningKeyFile = filepath.Join(c.DataDir, "signing.key")
	}
	if c.Media.Dir == "" {
		c.Media.Dir = filepath.Join(c.DataDir, "media")
	}
	if c.PublicBaseURL == "" {
		c.PublicBaseURL = "http://" + reachable(c.Listen.Client)
	}
}

// reachable turns the address of a listener into one to connect to.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// WithDefaults returns r with the documented default in place of each zero.
func (r RateLimits) WithDefaults() RateLimits {
	set := func(limit *RateLimit, perSecond float64, burst int) {
		if limit.PerSecond == 0 {
			limit.PerSecond = perSecond
		}
		if limit.Burst == 0 {
			limit.Burst = burst
		}
	}
	set(&r.Message, 10, 100)
	set(&r.Login, 0.5, 10)
	set(&r.Registration, 0.2, 5)
	set(&r.Join, 1, 20)
	set(&r.Invite, 1, 30)
	set(&r.Media, 5, 50)
	return r
}
