// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// pendingStore keeps the ids of announced uploads.
type pendingStore interface {
	AddPendingMedia(ctx context.Context, p store.PendingMedia, now, atMost int64) error
	PendingMedia(ctx context.Context, id string) (store.PendingMedia, error)
	FinishMedia(ctx context.Context, m store.Media, quota int64) error
}

const (
	// pendingFor is how long an announced upload is expected.
	pendingFor = 24 * time.Hour
	// maxPending is how many uploads a user may announce ahead.
	maxPending = 100
	// retryPending is when a user who announced too many may try again: some will have come.
	retryPending = time.Minute
	// MaxWait is the longest that anybody waits for an announced upload.
	MaxWait = 30 * time.Second
)

// Announce returns an mxc:// URI whose content UploadTo brings before expires.
//
// Errors for clients: 429 M_LIMIT_EXCEEDED when too many uploads of the user
// are announced and have not come.
func (s *Service) Announce(ctx context.Context, user event.UserID) (uri string, expires time.Time, err error) {
	now := s.Now()
	p := store.PendingMedia{ID: newMediaID(), UserID: string(user), ExpiresTS: now.Add(pendingFor).UnixMilli()}
	err = s.Store.AddPendingMedia(ctx, p, now.UnixMilli(), maxPending)
	if errors.Is(err, store.ErrTooMany) {
		return "", expires, matrixerr.LimitExceeded(retryPending)
	}
	return s.uri(p.ID), time.UnixMilli(p.ExpiresTS), err
}

// UploadTo stores the content of what Announce announced.
//
// Errors for clients: 404 M_NOT_FOUND when the id was not announced or has
// expired, 403 M_FORBIDDEN when another user announced it or the quota is
// reached, 409 M_CANNOT_OVERWRITE_MEDIA when its content came already.
func (s *Service) UploadTo(ctx context.Context, server event.ServerName, id string, u Upload) error {
	if server != s.ServerName {
		return errNotAnnounced()
	}
	if err := s.expects(ctx, id, u.User); err != nil {
		return err
	}
	m, err := s.receive(ctx, u)
	if err != nil {
		return err
	}
	m.ID = id
	err = s.Store.FinishMedia(ctx, m, s.quota())
	if errors.Is(err, store.ErrNotFound) { // meanwhile it came in another request, or expired
		if err = s.expects(ctx, id, u.User); err == nil {
			err = errNotAnnounced()
		}
	}
	return overQuota(err)
}

func errNotAnnounced() error {
	return matrixerr.NotFound("no upload is expected at this id, or no longer")
}

// expects checks that user may upload to id now.
func (s *Service) expects(ctx context.Context, id string, user event.UserID) error {
	p, err := s.Store.PendingMedia(ctx, id)
	come := errors.Is(err, store.ErrNotFound)
	if come {
		var m store.Media
		m, err = s.Store.Media(ctx, id)
		p.UserID = m.UserID
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNotAnnounced()
	case err != nil:
		return err
	case p.UserID != string(user):
		return matrixerr.Forbidden("the upload of another user is expected at this id")
	case come:
		return matrixerr.New(http.StatusConflict, matrixerr.CodeCannotOverwriteMedia, "the content of this id was uploaded already")
	case p.ExpiresTS <= s.Now().UnixMilli():
		return errNotAnnounced()
	}
	return nil
}

// await returns an announced upload once it is there.
func (s *Service) await(ctx context.Context, w Wanted) (store.Media, error) {
	p, err := s.Store.PendingMedia(ctx, w.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && p.ExpiresTS <= s.Now().UnixMilli() {
		// Unless it came a moment ago.
		m, err := s.Store.Media(ctx, w.ID)
		if errors.Is(err, store.ErrNotFound) {
			err = matrixerr.NotFound("no such media")
		}
		return m, err
	}
	if err != nil {
		return store.Media{}, err
	}
	timer := time.NewTimer(min(w.Wait, MaxWait))
	defer timer.Stop()
	s.arrivals.join(p.UserID)
	defer s.arrivals.leave(p.UserID)
	for {
		next := s.arrivals.next(p.UserID)
		m, err := s.Store.Media(ctx, w.ID)
		if !errors.Is(err, store.ErrNotFound) {
			return m, err
		}
		select {
		case <-next:
			continue
		case <-timer.C:
		case <-s.drain:
		case <-ctx.Done():
			return m, ctx.Err()
		}
		return m, matrixerr.New(http.StatusGatewayTimeout, matrixerr.CodeNotYetUploaded, "the content has not been uploaded yet")
	}
}

// arrivals wakes those who wait for the announced uploads of a user.
type arrivals struct {
	mu     sync.Mutex
	byUser map[string]*arrival
}

type arrival struct {
	waiting int
	next    chan struct{} // closed at the next upload
}

func newArrivals() *arrivals { return &arrivals{byUser: map[string]*arrival{}} }

// join begins to wait for uploads of user.
func (a *arrivals) join(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser[user] == nil {
		a.byUser[user] = &arrival{next: make(chan struct{})}
	}
	a.byUser[user].waiting++
}

func (a *arrivals) leave(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.byUser[user]; w.waiting > 1 {
		w.waiting--
		return
	}
	delete(a.byUser, user)
}

// next returns what is closed at the next upload of user, whom the caller has joined.
func (a *arrivals) next(user string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byUser[user].next
}

// follow looks at new changes, of all replicas.
func (a *arrivals) follow(changes []store.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range changes {
		if w := a.byUser[c.UserID]; w != nil && c.Kind == store.ChangeMedia {
			close(w.next)
			w.next = make(chan struct{})
		}
	}
}
