// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

type tokenHash [sha256.Size]byte

// sessionCache remembers whom tokens belong to. An entry is dropped when the
// change log tells of a change to its user's sessions.
type sessionCache struct {
	mu      sync.RWMutex
	byToken map[tokenHash]store.TokenOwner
	byUser  map[string][]tokenHash
	drops   int // how often drop was called
}

// maxSessions bounds the cache to some megabytes.
const maxSessions = 20_000

func newSessionCache() *sessionCache {
	return &sessionCache{byToken: map[tokenHash]store.TokenOwner{}, byUser: map[string][]tokenHash{}}
}

// get also returns drops, to be handed to put with what was read meanwhile.
func (c *sessionCache) get(h tokenHash) (owner store.TokenOwner, found bool, drops int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	owner, found = c.byToken[h]
	return owner, found, c.drops
}

// put remembers owner unless something was dropped since it was read: it may
// be out of date then.
func (c *sessionCache) put(h tokenHash, owner store.TokenOwner, drops int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != drops {
		return
	}
	if len(c.byToken) >= maxSessions {
		clear(c.byToken)
		clear(c.byUser)
	}
	if _, known := c.byToken[h]; !known {
		c.byUser[owner.UserID] = append(c.byUser[owner.UserID], h)
	}
	c.byToken[h] = owner
}

func (c *sessionCache) drop(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for _, h := range c.byUser[user] {
		delete(c.byToken, h)
	}
	delete(c.byUser, user)
}

// Authenticate returns whom an access token belongs to.
//
// Errors for clients: M_UNKNOWN_TOKEN for a token that is unknown or has
// expired (with soft_logout, so that keys are kept).
func (s *Service) Authenticate(ctx context.Context, token string) (httpapi.Caller, error) {
	h := tokenHash(sha256.Sum256([]byte(token)))
	owner, found, drops := s.sessions.get(h)
	if !found {
		var err error
		owner, err = s.Store.TokenOwner(ctx, h[:])
		if errors.Is(err, store.ErrNotFound) {
			return httpapi.Caller{}, matrixerr.UnknownToken(false)
		}
		if err != nil {
			return httpapi.Caller{}, err
		}
		s.sessions.put(h, owner, drops)
	}
	flags := store.User{Flags: owner.UserFlags}
	switch {
	case flags.Is(store.UserDeactivated):
		return httpapi.Caller{}, matrixerr.UnknownToken(false)
	case owner.ExpiresTS > 0 && owner.ExpiresTS <= s.nowTS():
		return httpapi.Caller{}, matrixerr.UnknownToken(true)
	case owner.Unused:
		if err := s.firstUse(ctx, h, owner); err != nil {
			return httpapi.Caller{}, err
		}
	}
	return httpapi.Caller{
		UserID: event.UserID(owner.UserID), DeviceID: owner.DeviceID, Admin: flags.Is(store.UserAdmin),
		Locked: flags.Is(store.UserLocked), Suspended: flags.Is(store.UserSuspended),
	}, nil
}
