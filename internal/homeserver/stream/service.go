// SPDX-License-Identifier: Apache-2.0

// Package stream is /sync: what changed for a user since a position, and
// waiting for the next change. It also keeps what only /sync shows: who types,
// receipts and account data.
//
// A sync that catches up is served from the change log in memory: the log is
// intersected with the user's rooms, events come from the cache, and their
// stored bytes are spliced into the answer. A client that was away for longer
// than the log reaches is served by questions to the database instead.
//
// https://spec.matrix.org/v1.19/client-server-api/#syncing
package stream

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The memberships of the specification.
const (
	membershipJoin   = "join"
	membershipInvite = "invite"
	membershipKnock  = "knock"
	membershipLeave  = "leave"
	membershipBan    = "ban"
)

// deviceKeys is what /sync shows of end-to-end encryption.
type deviceKeys interface {
	OneTimeKeyCounts(ctx context.Context, user event.UserID, device string) (counts map[string]int, unusedFallback []string, err error)
	ToDevice(ctx context.Context, user event.UserID, device string, after, upTo int64, limit int) ([]store.ToDeviceMessage, error)
	DeleteToDevice(ctx context.Context, user event.UserID, device string, upTo int64) error
}

// notifications is what /sync shows of push.
type notifications interface {
	Rules(ctx context.Context, user event.UserID) (*push.Ruleset, error)
	Unread(ctx context.Context, user event.UserID, room int64) (*push.RoomCounts, error)
}

// Options configure a Service.
type Options struct {
	Store *store.Store
	Rooms *rooms.Service
	Keys  deviceKeys
	Push  notifications
	// Presence says whether users see of each other who is there.
	Presence bool
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service answers /sync on one replica. It is safe for concurrent use.
type Service struct {
	store    *store.Store
	log      *store.Log
	rooms    *rooms.Service
	keys     deviceKeys
	push     notifications
	now      func() time.Time
	notifier *notifier
	count    *counter
	typing   *typing
	presence *presence // nil: not kept
	devices  *devices
	receipts *recentReceipts
	filters  *filters

	drain   chan struct{}
	drained sync.Once
}

// New returns a Service that follows the store's change log. Call it after
// rooms.New and push.New, whose caches have to be told of changes first, and before store.Run.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Store.Log()
	s := &Service{
		store: o.Store, log: log, rooms: o.Rooms, keys: o.Keys, push: o.Push, now: o.Now,
		notifier: newNotifier(o.Rooms, log.Head(), o.Now),
		devices:  newDevices(), receipts: newRecentReceipts(), filters: newFilters(),
		drain: make(chan struct{}), count: newCounter(),
	}
	s.typing = newTyping(s.notifier.typed, s.count)
	if o.Presence {
		s.presence = newPresence(o.Now, s.count)
	}
	log.Follow(s.typing.follow)
	log.Follow(s.notifier.follow)
	return s
}

// Run does what goes on in the background until ctx ends; then waiting syncs
// are answered.
func (s *Service) Run(ctx context.Context) error {
	defer s.Drain()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.typing.run(ctx) })
	g.Go(func() error { return s.notifier.passOnLists(ctx) })
	g.Go(func() error { return s.passPresence(ctx) })
	return g.Wait()
}

// Drain answers every waiting sync with its token at once, and every later
// one without waiting, so that the server can stop.
func (s *Service) Drain() { s.drained.Do(func() { close(s.drain) }) }
