// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// wishes are what a user wants to be notified of. They never change: other
// wishes are another value.
type wishes struct {
	user event.UserID
	rows []store.PushRule
	// rules is nil for a user who has changed none.
	rules   *compiled
	ignored map[event.UserID]struct{}
}

// userRules is where the wishes of a user are remembered.
type userRules struct {
	loading sync.Mutex // held while they are read
	// stale, of which Service.mu is the lock: they may have changed since.
	stale  bool
	wishes *wishes
}

// maxUsers is how many users' wishes are remembered.
const maxUsers = 1 << 16

// wishesOf returns what a user wants, the same value as long as it is the same.
func (s *Service) wishesOf(ctx context.Context, user event.UserID) (*wishes, error) {
	s.mu.Lock()
	u := s.users[user]
	if u == nil {
		if len(s.users) >= maxUsers {
			clear(s.users)
		}
		u = &userRules{stale: true}
		s.users[user] = u
	}
	s.mu.Unlock()
	u.loading.Lock()
	defer u.loading.Unlock()
	s.mu.Lock()
	fresh := !u.stale
	u.stale = false
	s.mu.Unlock()
	if fresh {
		return u.wishes, nil
	}
	w, err := s.readWishes(ctx, user)
	if err != nil {
		s.mu.Lock()
		u.stale = true
		s.mu.Unlock()
		return nil, err
	}
	if u.wishes == nil || !reflect.DeepEqual(w.rows, u.wishes.rows) || !maps.Equal(w.ignored, u.wishes.ignored) {
		if len(w.rows) > 0 {
			w.rules = compile(ruleset(user, w.rows))
		}
		u.wishes = w
	}
	return u.wishes, nil
}

func (s *Service) readWishes(ctx context.Context, user event.UserID) (*wishes, error) {
	w := &wishes{user: user}
	var err error
	if w.rows, err = s.store.PushRules(ctx, string(user)); err != nil {
		return nil, fmt.Errorf("read push rules: %w", err)
	}
	w.ignored, err = s.rooms.IgnoredBy(ctx, user)
	return w, err
}

// judge returns whether a user is notified of an event, and whether it is
// highlighted. The event is one that the user may see.
func (s *Service) judge(ctx context.Context, w *wishes, ev *rooms.StoredEvent) (notify, highlight bool, err error) {
	if w.unwanted(ev) {
		return false, false, nil
	}
	if w.rules != nil {
		o, err := w.rules.evaluate(ctx, newSubject(ev.Event, &eventRoom{s.rooms, ev}), w.user)
		if err != nil {
			return false, false, err
		}
		return o.notify, o.highlight, nil
	}
	o, err := s.generalOutcome(ctx, ev)
	if err != nil {
		return false, false, err
	}
	for _, user := range o.mentioned {
		if user == string(w.user) {
			return s.general.mention.notify, s.general.mention.highlight, nil
		}
	}
	return o.notify, o.highlight, nil
}

// outcome returns all that the user's rules say of an event.
func (s *Service) outcome(ctx context.Context, w *wishes, ev *rooms.StoredEvent) (*outcome, error) {
	if w.unwanted(ev) {
		return silence, nil
	}
	rules := w.rules
	if rules == nil {
		rules = compile(Defaults(w.user))
	}
	return rules.evaluate(ctx, newSubject(ev.Event, &eventRoom{s.rooms, ev}), w.user)
}

// unwanted reports whether nobody, or not this user, is to hear of an event.
func (w *wishes) unwanted(ev *rooms.StoredEvent) bool {
	if ev.RedactedByNID != 0 || ev.Sender() == w.user {
		return true
	}
	// Invitations of ignored users are ignored too.
	_, ignored := w.ignored[ev.Sender()]
	_, isState := ev.StateKey()
	return ignored && (!isState || ev.Type() == typeMember)
}
