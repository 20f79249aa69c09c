// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

// MaxTimeout is the longest that a sync waits.
const MaxTimeout = 5 * time.Minute

// Request is a GET /sync.
type Request struct {
	User   event.UserID
	Device string
	// Since is nil for an initial sync.
	Since *Token
	// Filter is nil where everything is wanted.
	Filter        *filter.Filter
	FullState     bool
	UseStateAfter bool
	// Presence is what this sync says of its user; empty is PresenceOffline: nothing.
	Presence PresenceState
	// Timeout is how long to wait for something to tell; more than MaxTimeout is MaxTimeout.
	Timeout time.Duration
	// Check, if not nil, is asked when an answer to a token is ready: whoever
	// waited may have been signed out by what the answer tells. Its error is
	// what Sync returns then.
	Check func(context.Context) error
	// Write takes pieces of a large answer before all of it is built. It may
	// be nil: then Sync returns the whole answer.
	Write func([]byte) error
}

// Sync returns the JSON body of the answer (or what Write has not had of it),
// once there is something to tell or the timeout is over. It never skips and
// never repeats an event for a client that goes on with each answer's token.
func (s *Service) Sync(ctx context.Context, r Request) ([]byte, error) {
	if r.Filter == nil {
		r.Filter = &filter.Filter{}
	}
	if r.Presence != "" {
		defer s.presence.syncing(r.User, r.Device, r.Presence)()
	}
	w, err := s.notifier.watch(ctx, r.User)
	if err != nil {
		return nil, fmt.Errorf("find rooms: %w", err)
	}
	defer s.notifier.release(w)
	// What happened before the user was indexed has to be in the log before
	// it is read, or it would be in neither.
	if err := s.log.Wait(ctx, s.notifier.accounted(w)-1); err != nil {
		return nil, err
	}
	device := s.devices.get(r.User, r.Device)
	if err := s.confirm(ctx, &r, device); err != nil {
		return nil, fmt.Errorf("delete delivered messages: %w", err)
	}
	if r.Since == nil || r.FullState {
		r.Timeout = 0
	} else if err := s.reach(ctx, &r); err != nil {
		return nil, err
	}
	return s.poll(ctx, &poll{request: &r, watched: w, device: device})
}

// reach makes sure that the log is at a token. Another replica may have given
// one that this replica has not heard of yet; then it will in a moment. A
// token that nobody can have given, as from before the database was restored
// from a backup, becomes the present and is answered at once: its client
// would wait for ever otherwise.
func (s *Service) reach(ctx context.Context, r *Request) error {
	head := s.log.Head()
	if r.Since.Pos <= head {
		return nil
	}
	known, err := s.store.ChangesBetween(ctx, r.Since.Pos-1, r.Since.Pos, 1)
	if err != nil {
		return fmt.Errorf("look token up: %w", err)
	}
	if len(known) > 0 {
		return s.log.Wait(ctx, r.Since.Pos-1)
	}
	*r.Since = Token{Pos: head, Typing: r.Since.Typing, ToDevice: head}
	r.Timeout = 0
	return nil
}

// poll is a sync in progress.
type poll struct {
	request *Request
	watched *watched
	device  *device
}

// poll builds answers until one says something or it is time to answer anyway.
func (s *Service) poll(ctx context.Context, p *poll) ([]byte, error) {
	r := p.request
	timer := time.NewTimer(min(r.Timeout, MaxTimeout))
	defer timer.Stop()
	for {
		if s.due(p) {
			b, err := s.answer(ctx, p)
			if err == nil && r.Since != nil {
				err = r.check(ctx)
			}
			if err != nil || b.said || r.Timeout <= 0 {
				return b.bytes(), err
			}
			*r.Since = b.next
		}
		if wake := s.notifier.waiting(p.watched, r.Since.Pos, r.Since.Typing); wake != nil {
			select {
			case <-wake:
			case <-timer.C:
				return s.nothing(ctx, p)
			case <-s.drain:
				return s.nothing(ctx, p)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := s.log.Wait(ctx, s.notifier.latest(p.watched)-1); err != nil {
			return nil, err
		}
	}
}

func (r *Request) check(ctx context.Context) error {
	if r.Check == nil {
		return nil
	}
	return r.Check(ctx)
}

// due reports whether there may be something to tell.
func (s *Service) due(p *poll) bool {
	r := p.request
	return r.Since == nil || r.FullState || s.presence != nil && r.Since.Typing < s.count.first || r.Since.ToDevice < r.Since.Pos ||
		r.Since.Pos < s.notifier.accounted(p.watched) || s.notifier.behind() ||
		s.notifier.waiting(p.watched, r.Since.Pos, r.Since.Typing) == nil
}

// nothing is the answer when there is nothing to tell. Its token is as new as
// can be, so that the client does not fall behind the log in memory.
func (s *Service) nothing(ctx context.Context, p *poll) ([]byte, error) {
	b := &builder{s: s, r: p.request, device: p.device, next: *p.request.Since}
	pos := max(b.next.Pos, min(s.notifier.quiet(p.watched, b.next.Pos), s.log.Head()))
	if b.next.ToDevice == b.next.Pos {
		b.next.ToDevice = pos
	}
	b.next.Pos = pos
	if err := b.skeleton(ctx); err != nil {
		return nil, err
	}
	b.out = append(b.out, '}')
	return b.out, nil
}
