// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/outbound"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Options configure a Service.
type Options struct {
	Store *store.Store
	Rooms *rooms.Service
	// Outbound reaches push gateways.
	Outbound *outbound.Client
	// Log is slog.Default() if nil.
	Log *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the push rules and notifications of one replica. It is safe for
// concurrent use.
//
// Counts are not stored: they follow from the events after what a user has
// read, from the user's rules and receipts. They are worked out once for each
// user and room that is asked for and kept right by the change log.
//
// Locks, in the order in which they may be taken: tracked.mu, then Service.mu,
// then courier.mu; the change log's follower takes only the latter two.
type Service struct {
	store    *store.Store
	rooms    *rooms.Service
	outbound *outbound.Client
	log      *slog.Logger
	now      func() time.Time
	general  *general
	courier  *courier

	mu sync.Mutex
	// pos is the newest position that was looked at.
	pos      int64
	tails    map[int64]*tail
	users    map[event.UserID]*userRules
	outcomes map[int64]generalOutcome
	// size counts what the tails hold.
	size int
}

// New returns a Service that follows the store's change log. Call it after
// rooms.New, whose caches have to be told of changes first, and before store.Run.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		store: o.Store, rooms: o.Rooms, outbound: o.Outbound, log: o.Log, now: o.Now, general: newGeneral(), pos: o.Store.Log().Head(),
		tails: map[int64]*tail{}, users: map[event.UserID]*userRules{}, outcomes: map[int64]generalOutcome{},
	}
	s.courier = newCourier(s)
	o.Store.Log().Follow(s.follow)
	return s
}

// Run tells push gateways what there is to tell until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.courier.run(ctx) }

// follow notes what may change counts.
func (s *Service) follow(changes []store.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.pos = c.Pos
		s.courier.note(c)
		switch c.Kind {
		case store.ChangeEvent:
			s.tails[c.RoomNID].add(c)
		case store.ChangeRedaction:
			delete(s.outcomes, c.Ref)
			s.tails[c.RoomNID].add(c)
		case store.ChangeReceipt:
			s.tails[c.RoomNID].read(event.UserID(c.UserID))
		case store.ChangeAccountData:
			if u := s.users[event.UserID(c.UserID)]; u != nil && c.RoomNID == 0 {
				u.stale = true
			}
		default: // of no concern to push
		}
	}
}

// local reports whether a user is one of this server.
func (s *Service) local(user string) bool {
	return strings.HasSuffix(user, ":"+string(s.rooms.ServerName()))
}

// maxOutcomes is how many events' general outcomes are remembered.
const maxOutcomes = 1 << 14

// generalOutcome returns what the predefined rules say of an event, to all
// users who have changed none.
func (s *Service) generalOutcome(ctx context.Context, ev *rooms.StoredEvent) (generalOutcome, error) {
	s.mu.Lock()
	o, ok := s.outcomes[ev.NID]
	s.mu.Unlock()
	if ok {
		return o, nil
	}
	o, err := s.general.evaluate(ctx, newSubject(ev.Event, &eventRoom{s.rooms, ev}), s.local)
	if err != nil {
		return o, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outcomes) >= maxOutcomes {
		clear(s.outcomes)
	}
	s.outcomes[ev.NID] = o
	return o, nil
}
