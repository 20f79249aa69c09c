// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"log/slog"
)

// publishOwn makes this replica's own committed changes visible, after those
// that came before them: of other replicas, or of a COMMIT of our own whose
// outcome was not known.
func (s *Store) publishOwn(ctx context.Context, changes []Change) {
	if len(changes) == 0 {
		return
	}
	if s.notify != nil {
		signal(s.notify.hint)
	}
	s.tailMu.Lock()
	if s.log.Head()+1 == changes[0].Pos {
		s.log.publish(changes)
		s.tailMu.Unlock()
		return
	}
	s.tailMu.Unlock()
	s.tryCatchUp(ctx)
}

// tryCatchUp is catchUp where nobody could do anything about a failure: the
// next commit, or on Postgres the next tick, tries again.
func (s *Store) tryCatchUp(ctx context.Context) {
	if err := s.catchUp(ctx); err != nil {
		slog.WarnContext(ctx, "cannot read the change log; readers lag until it can be read", "error", err)
	}
}

// tailPage is how many changes are read at once.
const tailPage = 1000

// catchUp publishes what the database has beyond the log's head.
func (s *Store) catchUp(ctx context.Context) error {
	s.tailMu.Lock()
	defer s.tailMu.Unlock()
	for {
		from := s.log.Head()
		page, err := s.ChangesBetween(ctx, from, 1<<62, tailPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		if page[0].Pos != from+1 || page[len(page)-1].Pos != from+int64(len(page)) {
			return fmt.Errorf("change log has a gap after position %d", from)
		}
		s.log.publish(page)
	}
}
