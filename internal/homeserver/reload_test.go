// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func TestAReloadChangesOnlyWhatIsValid(t *testing.T) {
	for _, test := range []struct {
		name, file string
		limited    bool
		level      slog.Level
		logged     string
	}{
		{"a valid file", "logLevel: debug\nrateLimits: {disabled: true}", false, slog.LevelDebug, "rate limits changed"},
		{"an unknown key", "logLevel: debug\nrateLimits: {disabld: true}", true, slog.LevelInfo, "disabld"},
		{"an unknown level", "logLevel: loud\nrateLimits: {disabled: true}", true, slog.LevelInfo, "loud"},
		{"no YAML", "{", true, slog.LevelInfo, "the old one stays"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Default()
			c.ServerName, c.DataDir = "test.example", t.TempDir()
			c.RateLimits.Login = config.RateLimit{PerSecond: 0.001, Burst: 1}
			path := filepath.Join(c.DataDir, "config.yaml")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := &Server{
				config: c, log: slog.New(slog.NewTextHandler(&log, nil)), limiter: httpapi.NewLimiter(c.RateLimits, time.Now),
				options: Options{ConfigFile: path, Level: &slog.LevelVar{}},
			}
			s.reload(context.Background())
			s.limiter.Take(httpapi.LimitLogin, "a")
			if limited := s.limiter.Take(httpapi.LimitLogin, "a") > 0; limited != test.limited {
				t.Errorf("limited %v, want %v", limited, test.limited)
			}
			if got := s.options.Level.Level(); got != test.level {
				t.Errorf("level %v, want %v", got, test.level)
			}
			if !strings.Contains(log.String(), test.logged) {
				t.Errorf("log %q lacks %q", log.String(), test.logged)
			}
		})
	}
}
