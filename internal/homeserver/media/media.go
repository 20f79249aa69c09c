// SPDX-License-Identifier: Apache-2.0

// Package media keeps uploaded files: their content on disk, named by its
// SHA-256 so that it is stored once and no client ever names a file, and who
// uploaded what in the database.
package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// mediaStore is where uploads are recorded; *store.Store is one.
type mediaStore interface {
	AddMedia(ctx context.Context, m store.Media, quota int64) error
	Media(ctx context.Context, id string) (store.Media, error)
	MediaUsage(ctx context.Context, user string) (int64, error)
	pendingStore
}

// Options are what a Service needs.
type Options struct {
	Store   mediaStore
	Changes *store.Log
	// Dir holds the files. Replicas share it.
	Dir        string
	ServerName event.ServerName
	// MaxUserBytes is how much one user may upload in all; 0 or less is no limit.
	MaxUserBytes int64
	Log          *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the media of one server. It is safe for concurrent use.
type Service struct {
	Options
	// decoding holds a place for each image that may be decoded at a time.
	decoding chan struct{}
	underway *underway
	arrivals *arrivals

	drain   chan struct{}
	drained sync.Once
}

// New returns a Service that follows the change log. It removes what
// interrupted uploads left behind.
func New(o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		Options: o, decoding: make(chan struct{}, 1), underway: newUnderway(), arrivals: newArrivals(),
		drain: make(chan struct{}),
	}
	if err := os.MkdirAll(s.tmp(), 0o700); err != nil {
		return nil, fmt.Errorf("create media directory: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	o.Changes.Follow(s.arrivals.follow)
	return s, nil
}

// Run removes what interrupted uploads leave behind, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(abandonedAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.sweep(); err != nil {
				s.Log.ErrorContext(ctx, "unfinished uploads stay", "error", err)
			}
		}
	}
}

// Drain answers those who wait for an upload, so that the server can stop.
func (s *Service) Drain() { s.drained.Do(func() { close(s.drain) }) }

// tmp holds uploads that are not complete.
func (s *Service) tmp() string { return filepath.Join(s.Dir, "tmp") }

// abandonedAfter is how long nothing was written to an upload that is given
// up for lost. No living one pauses for nearly as long, on any replica.
const abandonedAfter = time.Hour

// sweep removes abandoned uploads. Files have the time of the real clock.
func (s *Service) sweep() error {
	entries, err := os.ReadDir(s.tmp())
	if err != nil {
		return fmt.Errorf("list unfinished uploads: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > abandonedAfter {
			err = os.Remove(filepath.Join(s.tmp(), e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another replica, or done just now
			return fmt.Errorf("remove unfinished upload: %w", err)
		}
	}
	return nil
}

// Wanted names a file that a user asks for.
type Wanted struct {
	Server event.ServerName
	ID     string
	// Wait is how long to wait for an announced upload; more than MaxWait is MaxWait.
	Wait time.Duration
}

// Open returns an upload and its content, which the caller closes.
//
// Errors for clients: 404 M_NOT_FOUND for a file of another server and one
// that does not exist, 504 M_NOT_YET_UPLOADED for one that was announced and
// did not come in time.
func (s *Service) Open(ctx context.Context, w Wanted) (store.Media, *os.File, error) {
	if w.Server != s.ServerName {
		return store.Media{}, nil, matrixerr.NotFound("media of other servers is not available")
	}
	m, err := s.Store.Media(ctx, w.ID)
	if errors.Is(err, store.ErrNotFound) {
		m, err = s.await(ctx, w)
	}
	if err != nil {
		return m, nil, err
	}
	f, err := os.Open(s.path(m.SHA256))
	if err != nil {
		return m, nil, fmt.Errorf("open media: %w", err)
	}
	return m, f, nil
}
