// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// userDirectory finds users.
type userDirectory interface {
	SearchUsers(ctx context.Context, q store.UserSearch) (found []store.DirectoryUser, limited bool, err error)
	IndexUsers(ctx context.Context) error
}

// SearchUsers returns up to limit users whose name or id has words that begin
// with those of term, as far as the searcher may know of them: those who share
// a room with the searcher, or are in one that everybody may join or read.
// limited says that there are more.
func (s *Service) SearchUsers(ctx context.Context, searcher event.UserID, term string, limit int) (found []store.DirectoryUser, limited bool, err error) {
	found, limited, err = s.Store.SearchUsers(ctx, store.UserSearch{Searcher: string(searcher), Term: term, Limit: limit})
	if err != nil {
		return nil, false, fmt.Errorf("search user directory: %w", err)
	}
	return found, limited, nil
}

// indexRetry is how soon an index that could not be made is tried again.
const indexRetry = time.Minute

// IndexUsers makes the index of the user directory where it is missing. It
// returns when that is done or ctx ends.
func (s *Service) IndexUsers(ctx context.Context) error {
	for {
		err := s.Store.IndexUsers(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "cannot index the user directory; trying again", "error", err)
		}
		select {
		case <-time.After(indexRetry):
		case <-ctx.Done():
			return nil
		}
	}
}
