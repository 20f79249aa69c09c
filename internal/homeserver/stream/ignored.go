// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const typeIgnored = "m.ignored_user_list"

// maxIgnoredUsers bounds the cache of ignore lists.
const maxIgnoredUsers = 20_000

// ignoredUsers caches whom each user ignores.
type ignoredUsers struct {
	mu     sync.Mutex
	byUser map[event.UserID]map[event.UserID]struct{}
	seen   int64 // how many changes of account data were followed
}

func newIgnoredUsers() *ignoredUsers {
	return &ignoredUsers{byUser: map[event.UserID]map[event.UserID]struct{}{}}
}

// follow drops the lists that may have changed.
func (c *ignoredUsers) follow(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		if change.Kind == store.ChangeAccountData && change.RoomNID == 0 {
			delete(c.byUser, event.UserID(change.UserID))
			c.seen++
		}
	}
}

// remember keeps a list that was read when seen changes had been followed,
// unless there were more since.
func (c *ignoredUsers) remember(user event.UserID, list map[event.UserID]struct{}, seen int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen != seen {
		return
	}
	if len(c.byUser) >= maxIgnoredUsers {
		clear(c.byUser)
	}
	c.byUser[user] = list
}

func (c *ignoredUsers) get(user event.UserID) (list map[event.UserID]struct{}, seen int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, ok = c.byUser[user]
	return list, c.seen, ok
}

// ignoredBy returns whom a user ignores, never the user. Read only.
func (s *Service) ignoredBy(ctx context.Context, user event.UserID) (map[event.UserID]struct{}, error) {
	list, seen, ok := s.ignored.get(user)
	if ok {
		return list, nil
	}
	d, err := s.store.AccountData(ctx, string(user), 0, typeIgnored)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read ignored users: %w", err)
	}
	content, _ := event.ParseObject(d.Content)
	users, _ := content.Object("ignored_users")
	users.Each(func(id string, _ []byte) bool {
		if list == nil {
			list = map[event.UserID]struct{}{}
		}
		list[event.UserID(id)] = struct{}{}
		return true
	})
	delete(list, user)
	s.ignored.remember(user, list, seen)
	return list, nil
}
