// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxAttempts is how often a send that lost against other replicas is built anew.
const maxAttempts = 64

// errStale says that the head was old when the room's rules were asked.
var errStale = errors.New("room head is old")

// submit has p sent and returns the event, which is on disk then. If p turns
// out to change nothing it returns the event that stands, and errUnchanged.
func (s *Service) submit(ctx context.Context, e *roomEntry, p *proposal) (*StoredEvent, error) {
	if p.stateKey != nil {
		// May wait for a commit, and so comes before the turn.
		if _, err := s.store.InternStateKey(ctx, store.StateKey(p.key())); err != nil {
			return nil, fmt.Errorf("intern state key: %w", err)
		}
	}
	for range maxAttempts {
		attempt := *p // decide may change it
		ev, err := s.attempt(ctx, e, &attempt)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, errStale) {
			var same *unchanged
			if errors.As(err, &same) {
				return same.existing, errUnchanged
			}
			return ev, clientError(err)
		}
	}
	return nil, matrixerr.Unavailable("the room is changing too fast, try again")
}

// attempt builds the event on the newest head in the sender's turn, and waits
// for the commit outside of it, so that senders who come close together share a commit.
func (s *Service) attempt(ctx context.Context, e *roomEntry, p *proposal) (*StoredEvent, error) {
	out, wait, err := s.take(ctx, e, p)
	if err != nil {
		return nil, err
	}
	_, err = wait()
	if err != nil {
		// Whatever was built on it will fail as well. The mark comes before the
		// event is forgotten: isCurrent looks at both.
		e.stale.Store(true)
		s.forget(out)
		return nil, err
	}
	if err := fault.Hit(ctx, "rooms.send.committed"); err != nil {
		return nil, err
	}
	return out.stored, nil
}

// take is the sender's turn.
func (s *Service) take(ctx context.Context, e *roomEntry, p *proposal) (*pending, func() (store.Committed, error), error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	h, err := s.currentHead(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	e.shrink()
	defer s.weigh(e)
	t := &turn{service: s, entry: e, head: h}
	out, err := t.propose(ctx, p)
	if err != nil {
		return nil, nil, s.checkRefusal(ctx, e, err)
	}
	if err := fault.Hit(ctx, "rooms.send.built"); err != nil {
		return nil, nil, err
	}
	s.expect(out)
	wait := s.store.Submit(store.Write{Head: &out.move, Apply: func(ctx context.Context, tx *store.Tx) error {
		out.apply(tx)
		return out.settings.apply(ctx, tx)
	}})
	t.advance(out)
	return out, wait, nil
}

// propose lets p look at the room and builds the event.
func (t *turn) propose(ctx context.Context, p *proposal) (*pending, error) {
	if p.decide != nil {
		if err := p.decide(ctx, t, p); err != nil {
			return nil, err
		}
	}
	return t.build(ctx, p)
}

// checkRefusal makes sure that it was not an old head that refused: another
// replica may have let the sender in just now.
func (s *Service) checkRefusal(ctx context.Context, e *roomEntry, refusal error) error {
	current, err := s.isCurrent(ctx, e)
	switch {
	case err != nil:
		return err
	case !current:
		e.stale.Store(true)
		return errStale
	default:
		return refusal
	}
}

// expect notes that the event is on its way, so that the change log's follower knows it as ours.
func (s *Service) expect(out *pending) {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	s.pending[out.row.NID] = out
}

func (s *Service) forget(out *pending) {
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	delete(s.pending, out.row.NID)
}

// clientError turns what the event core says about an event into what the client is told.
func clientError(err error) error {
	var denied *event.AuthError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &denied):
		return matrixerr.Forbidden(forbiddenMessage(denied))
	case errors.Is(err, event.ErrTooLarge):
		return matrixerr.TooLarge("the event is too large")
	case errors.Is(err, event.ErrBadJSON):
		return matrixerr.BadJSON("the content is not JSON that an event may hold")
	case errors.Is(err, event.ErrInvalidID):
		return matrixerr.InvalidParam("an identifier is not valid")
	default:
		return err
	}
}

// forbiddenMessage words a refusal. The reason itself may quote ids of others.
func forbiddenMessage(*event.AuthError) string {
	return "you are not allowed to do that in this room"
}
