// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// leaseName is the work of sending, which one replica does.
	leaseName = "push"
	// leaseTime is how long a replica has the work, leaseSpare how much of it is
	// left at least when something is sent: longer than sending takes.
	leaseTime, leaseSpare = 90 * time.Second, 45 * time.Second
	// maxSending is how many users' pushers are served at once.
	maxSending = 64
	// maxQueue is how many changes wait to be looked at; beyond it everything is read anew.
	maxQueue = 1 << 14
	// pause is how long to wait after the database has failed.
	pause = 10 * time.Second
	// idle is how long to wait when there is nothing to wait for.
	idle = time.Hour
)

// courier finds out who has to be told something by their pushers. Where a
// pusher has come to is stored with it, so nothing is forgotten by a restart.
type courier struct {
	service *Service
	owner   string
	kick    chan struct{}

	mu sync.Mutex
	// collecting: changes go into queue. lost: some did not.
	collecting, lost bool
	queue            []store.Change
	// retries are users to look after again at a time.
	retries map[event.UserID]time.Time

	// The rest is the run loop's.
	boxes  map[event.UserID]*mailbox
	byRoom map[int64]map[event.UserID]struct{}

	leaseMu sync.Mutex
	until   time.Time
	fence   int64
	// busyUntil is how long another replica has the work.
	busyUntil time.Time
}

func newCourier(s *Service) *courier {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return &courier{
		service: s, owner: hex.EncodeToString(id[:]), kick: make(chan struct{}, 1),
		retries: map[event.UserID]time.Time{}, boxes: map[event.UserID]*mailbox{}, byRoom: map[int64]map[event.UserID]struct{}{},
	}
}

func (c *courier) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// note is told of each change; it must be quick.
func (c *courier) note(change store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch change.Kind {
	case store.ChangePusher:
	case store.ChangeEvent, store.ChangeRedaction, store.ChangeReceipt, store.ChangeAccountData, store.ChangeSession:
		if !c.collecting {
			return
		}
	default:
		return
	}
	if len(c.queue) >= maxQueue {
		c.queue, c.lost = nil, true
	}
	c.queue = append(c.queue, change)
	c.wake()
}

// run sends until ctx ends.
func (c *courier) run(ctx context.Context) error {
	var sending errgroup.Group
	sending.SetLimit(maxSending)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return sending.Wait()
		case <-c.kick:
		case <-timer.C:
		}
		wait, err := c.turn(ctx, &sending)
		if err != nil && ctx.Err() == nil {
			c.service.log.Error("pushers cannot be served", "error", err)
			wait = pause
		}
		timer.Reset(wait)
	}
}

// turn looks at what happened and returns when to look again in any case.
func (c *courier) turn(ctx context.Context, sending *errgroup.Group) (time.Duration, error) {
	c.mu.Lock()
	queue, fresh := c.queue, c.lost || !c.collecting
	c.queue, c.lost, c.collecting = nil, false, true // collecting before what is there is read
	c.mu.Unlock()
	if fresh {
		return c.begin(ctx, sending)
	}
	leads, err := c.leads(ctx)
	if err != nil || !leads {
		return c.stop(), err
	}
	for _, change := range queue {
		c.sort(ctx, change, sending)
	}
	return c.due(ctx, sending), nil
}

// stop leaves the work to others and returns when it may be taken again.
func (c *courier) stop() time.Duration {
	c.mu.Lock()
	if slices.ContainsFunc(c.queue, func(change store.Change) bool { return change.Kind == store.ChangePusher }) {
		c.wake() // it may have come after pushers were looked for
	}
	c.collecting, c.queue = false, nil
	c.mu.Unlock()
	clear(c.boxes)
	clear(c.byRoom)
	c.leaseMu.Lock()
	defer c.leaseMu.Unlock()
	return max(time.Second, c.busyUntil.Sub(c.service.now()))
}

// begin takes the work over and reads who has pushers.
func (c *courier) begin(ctx context.Context, sending *errgroup.Group) (time.Duration, error) {
	users, err := c.service.store.PusherUsers(ctx)
	if err != nil {
		c.stop()
		return 0, err
	}
	if len(users) == 0 {
		c.stop()
		return idle, nil
	}
	if err := c.lease(ctx); err != nil {
		c.stop()
		return 0, err
	}
	if leads, err := c.leads(ctx); err != nil || !leads {
		return c.stop(), err
	}
	for _, user := range users {
		c.open(ctx, event.UserID(user), sending)
	}
	return c.due(ctx, sending), nil
}

// open begins to look after a user.
func (c *courier) open(ctx context.Context, user event.UserID, sending *errgroup.Group) {
	b := c.boxes[user]
	if b == nil {
		b = &mailbox{courier: c, user: user}
		c.boxes[user] = b
	}
	b.touchAll()
	members, err := c.service.rooms.MembershipsOf(ctx, user)
	if err != nil {
		c.failed(user, err)
	}
	for _, m := range members {
		c.index(user, m.RoomNID)
	}
	b.start(ctx, sending)
}

func (c *courier) index(user event.UserID, room int64) {
	if c.byRoom[room] == nil {
		c.byRoom[room] = map[event.UserID]struct{}{}
	}
	c.byRoom[room][user] = struct{}{}
}

// sort tells those of a change whom it concerns.
func (c *courier) sort(ctx context.Context, change store.Change, sending *errgroup.Group) {
	user := event.UserID(change.UserID)
	box := c.boxes[user]
	switch change.Kind {
	case store.ChangeEvent, store.ChangeRedaction:
		if box != nil && change.Kind == store.ChangeEvent {
			c.index(user, change.RoomNID)
		}
		for user := range c.byRoom[change.RoomNID] {
			if b := c.boxes[user]; b != nil {
				b.touch(change.RoomNID)
				b.start(ctx, sending)
			}
		}
		return
	case store.ChangePusher:
		if box == nil {
			c.open(ctx, user, sending)
			return
		}
	default:
	}
	if box == nil {
		return
	}
	if change.Kind == store.ChangeReceipt {
		box.touch(change.RoomNID)
	} else if change.RoomNID == 0 {
		box.touchAll()
	}
	box.start(ctx, sending)
}

// due looks after those whose time has come and returns how long the next may wait.
func (c *courier) due(ctx context.Context, sending *errgroup.Group) time.Duration {
	c.mu.Lock()
	now, wait := c.service.now(), idle
	var ready []event.UserID
	for user, at := range c.retries {
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		delete(c.retries, user)
		ready = append(ready, user)
	}
	c.mu.Unlock()
	for _, user := range ready {
		if b := c.boxes[user]; b != nil {
			b.start(ctx, sending)
		}
	}
	if c.service.store.Shared() {
		wait = min(wait, leaseTime-leaseSpare)
	}
	return wait
}

// later looks after a user again at a time.
func (c *courier) later(user event.UserID, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.retries[user]; !ok || at.Before(before) {
		c.retries[user] = at
	}
	c.wake()
}

func (c *courier) failed(user event.UserID, err error) {
	c.service.log.Error("pushers of a user cannot be served", "user", user, "error", err)
	c.later(user, c.service.now().Add(pause))
}

// lease takes the work unless another replica has it.
func (c *courier) lease(ctx context.Context) error {
	c.leaseMu.Lock()
	defer c.leaseMu.Unlock()
	_, err := c.renew(ctx)
	return err
}

// leads reports whether this replica has the work long enough to send
// something, and has had it without a break.
func (c *courier) leads(ctx context.Context) (bool, error) {
	c.leaseMu.Lock()
	defer c.leaseMu.Unlock()
	now := c.service.now()
	if c.until.Sub(now) >= leaseSpare {
		return true, nil
	}
	fence := c.fence
	has, err := c.renew(ctx)
	return has && fence == c.fence, err
}

// renew takes the lease. On a database without other replicas it is never given up.
func (c *courier) renew(ctx context.Context) (bool, error) {
	now := c.service.now()
	want := store.Lease{Name: leaseName, Owner: c.owner, Until: now.Add(leaseTime).UnixMilli()}
	free := now.UnixMilli()
	if !c.service.store.Shared() {
		free = math.MaxInt64
	}
	has, err := c.service.store.TakeLease(ctx, want, free)
	if err != nil {
		return false, fmt.Errorf("take lease: %w", err)
	}
	if has.Owner != c.owner {
		c.until, c.busyUntil = time.Time{}, time.UnixMilli(has.Until)
		return false, nil
	}
	c.until, c.fence = now.Add(leaseTime), has.Fence
	return true, nil
}
