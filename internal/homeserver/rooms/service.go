// SPDX-License-Identifier: Apache-2.0

// Package rooms keeps rooms: it creates them, builds, authorises and stores
// events, and knows their state, their members and who may see what.
//
// Everything that reads events for a user asks Service.Visible. Writes are
// checked by a per-room counter in the database, so that a stale cache costs a
// retry and nothing else; docs/architecture.md explains how sends share commits.
package rooms

import (
	"context"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Profiles knows what a user is called.
type Profiles interface {
	// Profile returns the display name and avatar; empty where not set.
	Profile(ctx context.Context, user event.UserID) (displayName, avatarURL string, err error)
}

// Options configure a Service.
type Options struct {
	Store    *store.Store
	Signer   event.Signer
	Profiles Profiles
	// DefaultVersion is the version of new rooms; "12" if empty.
	DefaultVersion event.RoomVersion
	// CacheBytes is how much memory the caches may take, in bytes; 32 MiB if 0.
	CacheBytes int64
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the rooms of one replica. It is safe for concurrent use.
type Service struct {
	store *store.Store
	opts  Options
}

// New returns a Service that follows the store's change log. Call it before store.Run.
func New(o Options) *Service {
	return &Service{store: o.Store, opts: o}
}
