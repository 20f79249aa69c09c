// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
)

// reloadDelay lets the several events of one change come together.
const reloadDelay = 200 * time.Millisecond

// watchConfig reloads when the configuration file changes or SIGHUP arrives.
// The file's directory is watched, because that is where a mounted Secret
// changes: a symbolic link beside the file is swapped.
func (s *Server) watchConfig(ctx context.Context) error {
	if s.options.ConfigFile == "" {
		return nil
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.WarnContext(ctx, "cannot watch the configuration; SIGHUP reloads it", "error", err)
		watcher = &fsnotify.Watcher{}
	} else {
		defer func() { _ = watcher.Close() }()
		if err := watcher.Add(filepath.Dir(s.options.ConfigFile)); err != nil {
			s.log.WarnContext(ctx, "cannot watch the configuration; SIGHUP reloads it", "error", err)
		}
	}
	// The file may have changed after it was read and before it was watched.
	soon := time.After(reloadDelay)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			soon = time.After(reloadDelay)
		case err := <-watcher.Errors:
			s.log.WarnContext(ctx, "watching the configuration", "error", err)
		case <-hup:
			s.reload(ctx)
		case <-soon:
			soon = nil
			s.reload(ctx)
		}
	}
}

// reload applies the parts of the configuration that can change. A file that
// is not valid changes nothing.
func (s *Server) reload(ctx context.Context) {
	c, err := config.Load(s.options.ConfigFile)
	if err == nil {
		c.DataDir, c.ServerName = s.config.DataDir, s.config.ServerName
		c.Complete()
		err = c.Validate()
	}
	if err != nil {
		s.log.ErrorContext(ctx, "configuration is not valid; the old one stays", "error", err)
		return
	}
	s.setLevel(&c)
	if !reflect.DeepEqual(c.RateLimits, s.config.RateLimits) {
		s.config.RateLimits = c.RateLimits
		s.limiter.Configure(c.RateLimits)
		s.log.InfoContext(ctx, "rate limits changed")
	}
}

func (s *Server) setLevel(c *config.Config) {
	level, err := c.Level()
	if err == nil && s.options.Level != nil {
		s.options.Level.Set(level)
	}
}
