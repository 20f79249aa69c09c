// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"container/list"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// PresenceState says whether a user is there.
type PresenceState string

// The states of the specification.
const (
	PresenceOnline      PresenceState = "online"
	PresenceUnavailable PresenceState = "unavailable"
	PresenceOffline     PresenceState = "offline"
)

// Valid reports whether the specification knows the state.
func (s PresenceState) Valid() bool {
	return s == PresenceOnline || s == PresenceUnavailable || s == PresenceOffline
}

const (
	// idleAfter is how long users count as active after they last did something.
	idleAfter = 5 * time.Minute
	// offlineAfter is how long a device counts as there between two syncs.
	offlineAfter = 30 * time.Second
	// presencePass is how often changes are passed on: however many users come
	// and go in between, it wakes each of the others once.
	presencePass = 5 * time.Second
	// maxStatus is the longest status message in bytes.
	maxStatus = 1000
)

// Presence is what is known of whether a user is there.
type Presence struct {
	State  PresenceState
	Status string
	// Active is when the user last did something, zero if that is not known.
	Active time.Time
}

// presence knows who is there. It is kept in memory only: after a restart
// users are offline until they are heard of. It costs nothing for those who
// were never heard of.
type presence struct {
	clock func() time.Time
	count *counter

	mu    sync.Mutex
	users map[event.UserID]*presentUser
	// changes holds the users, the one that changed last at its end.
	changes list.List
	// passed is the count of the last change that was passed on.
	passed int64
}

type presentUser struct {
	Presence
	user    event.UserID
	devices map[string]*presentDevice
	// count is of the last change that others see.
	count int64
	place *list.Element
}

type presentDevice struct {
	state PresenceState
	// syncs go on now; when there is none, the state lasts until then.
	syncs int
	until time.Time
}

func newPresence(clock func() time.Time, c *counter) *presence {
	return &presence{clock: clock, count: c, users: map[event.UserID]*presentUser{}, passed: c.now()}
}

// device returns the entry of a user's device, which it makes if need be. One
// that has ended by now is made anew.
func (p *presence) device(user event.UserID, device string, now time.Time) (*presentUser, *presentDevice) {
	u := p.users[user]
	if u == nil {
		u = &presentUser{Presence: Presence{State: PresenceOffline}, user: user, devices: map[string]*presentDevice{}}
		p.users[user] = u
	}
	p.settle(u, now)
	d := u.devices[device]
	if d == nil {
		d = &presentDevice{state: PresenceOffline}
		u.devices[device] = d
	}
	return u, d
}

// set changes the state of a device, and its user's status message.
func (p *presence) set(user event.UserID, device string, to Presence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	u, d := p.device(user, device, now)
	d.state, d.until = to.State, now.Add(idleAfter)
	if to.State == PresenceOnline {
		u.Active = now
	}
	if u.Status != to.Status {
		u.Status = to.Status
		p.changed(u)
	}
	p.settle(u, now)
}

// syncing notes that a device syncs, until done is called. That a client goes
// on syncing does not mean that somebody uses it; that it comes back does.
func (p *presence) syncing(user event.UserID, device string, state PresenceState) (done func()) {
	if p == nil || state == PresenceOffline {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	u, d := p.device(user, device, now)
	d.syncs++
	if d.state != state {
		d.state = state
		if state == PresenceOnline {
			u.Active = now
		}
	}
	p.settle(u, now)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		d.syncs--
		if until := p.clock().Add(offlineAfter); until.After(d.until) {
			d.until = until
		}
	}
}

// active notes that a user did something.
func (p *presence) active(user event.UserID) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[user]; u != nil {
		now := p.clock()
		u.Active = now
		p.settle(u, now)
	}
}

// settle works the state out of those of the devices, the most present of which counts.
func (p *presence) settle(u *presentUser, now time.Time) {
	state := PresenceOffline
	for id, d := range u.devices {
		switch {
		case d.syncs == 0 && !now.Before(d.until):
			delete(u.devices, id)
		case d.state == PresenceOnline || state == PresenceOffline:
			state = d.state
		}
	}
	if state == PresenceOnline && now.Sub(u.Active) >= idleAfter {
		state = PresenceUnavailable
	}
	if state != u.State {
		u.State = state
		p.changed(u)
	}
}

// changed notes that others see something new of a user.
func (p *presence) changed(u *presentUser) {
	u.count = p.count.next()
	if u.place == nil {
		u.place = p.changes.PushBack(u)
		return
	}
	p.changes.MoveToBack(u.place)
}

// of returns the presence of a user.
func (p *presence) of(user event.UserID) Presence {
	if p == nil {
		return Presence{State: PresenceOffline}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if u == nil {
		return Presence{State: PresenceOffline}
	}
	p.settle(u, p.clock())
	return u.Presence
}

// presentAs is a user's presence.
type presentAs struct {
	user event.UserID
	Presence
}

// since returns the users who changed behind count, the first change first.
func (p *presence) since(count int64) []presentAs {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behind(count)
}

func (p *presence) behind(count int64) []presentAs {
	first := p.changes.Back()
	for first != nil && first.Value.(*presentUser).count > count {
		first = first.Prev()
	}
	next := p.changes.Front()
	if first != nil {
		next = first.Next()
	}
	var all []presentAs
	for ; next != nil; next = next.Next() {
		u := next.Value.(*presentUser)
		all = append(all, presentAs{u.user, u.Presence})
	}
	return all
}

// pass returns who changed since the last pass, and the count of the last change of all.
func (p *presence) pass() ([]presentAs, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for _, u := range p.users {
		if len(u.devices) > 0 {
			p.settle(u, now)
		}
	}
	all := p.behind(p.passed)
	if len(all) > 0 {
		p.passed = p.changes.Back().Value.(*presentUser).count
	}
	return all, p.passed
}

// again makes the next pass begin with a user of this one.
func (p *presence) again(user event.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = min(p.passed, p.users[user].count-1)
}

// passPresence passes on who comes and goes, until ctx ends.
func (s *Service) passPresence(ctx context.Context) error {
	if s.presence == nil {
		return nil
	}
	tick := time.NewTicker(presencePass)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		all, count := s.presence.pass()
		if err := s.notifier.present(ctx, all, count); err != nil {
			s.presence.again(all[0].user)
		}
	}
}

// SetPresence sets whether the user of a device is there, and a status
// message. It has no effect where the server does not keep presence.
//
// Errors for clients: 400 M_INVALID_PARAM for a message that is too long.
func (s *Service) SetPresence(user event.UserID, device string, to Presence) error {
	if len(to.Status) > maxStatus {
		return matrixerr.InvalidParam("status_msg may have " + strconv.Itoa(maxStatus) + " bytes")
	}
	if s.presence != nil {
		s.presence.set(user, device, to)
	}
	return nil
}

// Active notes that a user did something that shows them to be there.
func (s *Service) Active(user event.UserID) { s.presence.active(user) }

// PresenceOf returns whether a user is there.
//
// Errors for clients: forbidden unless the viewer shares a room with the user.
func (s *Service) PresenceOf(ctx context.Context, viewer, user event.UserID) (Presence, error) {
	if viewer != user {
		shared, err := s.rooms.ShareRoom(ctx, viewer, user)
		if err != nil {
			return Presence{}, err
		}
		if !shared {
			return Presence{}, matrixerr.Forbidden("you share no room with this user")
		}
	}
	return s.presence.of(user), nil
}
