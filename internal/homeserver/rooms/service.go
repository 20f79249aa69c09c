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
	"log/slog"
	"sync"
	"sync/atomic"
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
	// Log is where background work logs; slog.Default() if nil.
	Log *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the rooms of one replica. It is safe for concurrent use.
//
// Locks, in the order in which they may be taken: roomEntry.turn, then
// Service.pendingMu or a cache's; the change log's follower takes only the latter.
type Service struct {
	store    *store.Store
	signer   event.Signer
	profiles Profiles
	version  event.RoomVersion
	log      *slog.Logger
	now      func() time.Time
	// renamed wakes the task that tells rooms of new profiles.
	renamed chan struct{}

	infos   *cache[event.RoomID, *Info]
	byNID   *cache[int64, *Info]
	events  *cache[int64, *StoredEvent]
	layers  *cache[int64, *layer]
	current *cache[int64, int64] // room: its newest state
	users   *cache[event.UserID, []Membership]
	counts  *cache[int64, counts]
	entries *cache[int64, *roomEntry]
	sent    *cache[store.TxnKey, event.EventID]
	// summaries are what rooms show of themselves; Joined is not kept here.
	summaries *cache[int64, *Summary]
	// aggregates are what points at events.
	aggregates  *cache[aggregateKey, *aggregate]
	preferences *cache[event.UserID, preferences]
	// children are the rooms of spaces.
	children  *cache[int64, []spaceChild]
	directory directory

	// lastCreate is the time of the newest create event.
	lastCreate atomic.Int64

	pendingMu sync.Mutex
	// pending are the events that are on their way into the database.
	pending map[int64]*pending
	// sending lets a request wait for the same request that came before it.
	sending map[store.TxnKey]chan struct{}
}

// defaultCacheBytes is Options.CacheBytes where it is 0.
const defaultCacheBytes = 32 << 20

// New returns a Service that follows the store's change log. Call it before store.Run.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.DefaultVersion == "" {
		o.DefaultVersion = "12"
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	percent := o.CacheBytes / 100
	s := &Service{
		store: o.Store, signer: o.Signer, profiles: o.Profiles, version: o.DefaultVersion, now: o.Now,
		log: o.Log, renamed: make(chan struct{}, 1),
		infos:       newCache[event.RoomID, *Info](3 * percent),
		byNID:       newCache[int64, *Info](3 * percent),
		events:      newCache[int64, *StoredEvent](38 * percent),
		layers:      newCache[int64, *layer](12 * percent),
		current:     newCache[int64, int64](2 * percent),
		users:       newCache[event.UserID, []Membership](12 * percent),
		counts:      newCache[int64, counts](2 * percent),
		entries:     newCache[int64, *roomEntry](12 * percent),
		sent:        newCache[store.TxnKey, event.EventID](4 * percent),
		children:    newCache[int64, []spaceChild](2 * percent),
		summaries:   newCache[int64, *Summary](4 * percent),
		aggregates:  newCache[aggregateKey, *aggregate](4 * percent),
		preferences: newCache[event.UserID, preferences](2 * percent),
		pending:     map[int64]*pending{},
		sending:     map[store.TxnKey]chan struct{}{},
	}
	o.Store.Log().Follow(s.follow)
	return s
}

// ServerName is the name of this server.
func (s *Service) ServerName() event.ServerName { return s.signer.Server }

// millis is the time as events have it.
func (s *Service) millis() int64 { return s.now().UnixMilli() }
