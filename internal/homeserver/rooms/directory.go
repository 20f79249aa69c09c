// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// directory remembers how many rooms the room directory has.
type directory struct {
	mu      sync.Mutex
	known   bool
	total   int
	changes uint64 // counts how often it was invalidated
}

// invalidate makes the next reader count anew.
func (d *directory) invalidate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = false
	d.changes++
}

// publicCount returns how many rooms the directory has.
func (s *Service) publicCount(ctx context.Context) (int, error) {
	d := &s.directory
	d.mu.Lock()
	known, total, changes := d.known, d.total, d.changes
	d.mu.Unlock()
	if known {
		return total, nil
	}
	n, err := s.store.CountPublicRooms(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the rooms of the directory: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total, d.known = int(n), d.changes == changes
	return d.total, nil
}

// DirectoryQuery asks for a page of the room directory.
type DirectoryQuery struct {
	// Since is where the page begins: a token of another page, or empty.
	Since string
	Limit int
	// Term, in any case, is in the name, topic or alias of the rooms wanted; empty for all.
	Term string
	// Types are the wanted types of rooms, "" for those without; nil for all.
	Types []string
}

// DirectoryPage is a page of the room directory. The tokens are empty where
// there is nothing more.
type DirectoryPage struct {
	Rooms      []*Summary
	Next, Prev string
	// Total is how many rooms the directory has.
	Total int
}

// Directory returns a page of the room directory, the largest rooms first. It
// reads along an index, so that a page costs what it shows; a search looks at
// maxDirectoryScan rooms at most, so that a page of it may have fewer rooms
// than wanted, even none, with more behind it.
//
// Errors that clients see: M_INVALID_PARAM for a token that is none.
func (s *Service) Directory(ctx context.Context, q DirectoryQuery) (*DirectoryPage, error) {
	from, err := parseDirectoryToken(q.Since)
	if err != nil {
		return nil, err
	}
	total, err := s.publicCount(ctx)
	if err != nil {
		return nil, err
	}
	found, end, err := s.searchDirectory(ctx, &q, from)
	if err != nil {
		return nil, err
	}
	page := &DirectoryPage{Total: total, Rooms: found}
	if from.Backwards {
		slices.Reverse(found)
		page.Prev = end.token(backwards)
	} else {
		page.Next = end.token(forwards)
	}
	switch {
	case len(found) == 0:
	case from.Backwards:
		page.Next = placeOf(found[len(found)-1]).token(forwards)
	case q.Since != "":
		page.Prev = placeOf(found[0]).token(backwards)
	}
	return page, nil
}

// The two kinds of tokens: for the rooms behind and those before the one named.
const (
	forwards  = "n"
	backwards = "p"
)

// place is a place in the directory that stays right when rooms come and go.
type place struct{ joined, nid int64 }

func placeOf(r *Summary) *place { return &place{int64(r.Joined), r.NID} }

// token is empty for no place.
func (p *place) token(direction string) string {
	if p == nil {
		return ""
	}
	return direction + strconv.FormatInt(p.joined, 10) + "_" + strconv.FormatInt(p.nid, 10)
}

func parseDirectoryToken(since string) (store.PublicRoomQuery, error) {
	q := store.FirstPublicRooms(0)
	if since == "" {
		return q, nil
	}
	joined, nid, _ := strings.Cut(since[1:], "_")
	var err1, err2 error
	q.Joined, err1 = strconv.ParseInt(joined, 10, 64)
	q.RoomNID, err2 = strconv.ParseInt(nid, 10, 64)
	q.Backwards = since[:1] == backwards
	if err1 != nil || err2 != nil || since[:1] != forwards && !q.Backwards {
		return q, matrixerr.InvalidParam("since is not a token of this server")
	}
	return q, nil
}

const (
	// directoryStep is how many rooms a search looks at in one go.
	directoryStep = 256
	// maxDirectoryScan is how many it looks at for one page.
	maxDirectoryScan = 8 * directoryStep
)

// searchDirectory returns the first rooms from the place on that q wants, and
// where to go on; nil if there is nothing more.
func (s *Service) searchDirectory(ctx context.Context, q *DirectoryQuery, from store.PublicRoomQuery) (found []*Summary, end *place, err error) {
	found = []*Summary{}
	from.Limit = q.Limit + 1
	if q.Term != "" || q.Types != nil {
		from.Limit = directoryStep
	}
	for scanned := 0; ; {
		rows, err := s.store.PublicRooms(ctx, from)
		if err != nil {
			return nil, nil, fmt.Errorf("read room directory: %w", err)
		}
		all, err := s.publicSummaries(ctx, rows)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range all {
			if !q.matches(r) {
				continue
			}
			if len(found) == q.Limit {
				return found, end, nil
			}
			found, end = append(found, r), placeOf(r)
		}
		if len(rows) < from.Limit {
			return found, nil, nil
		}
		last := rows[len(rows)-1]
		from.Joined, from.RoomNID = last.Joined, last.RoomNID
		if scanned += len(rows); scanned >= maxDirectoryScan {
			return found, &place{last.Joined, last.RoomNID}, nil
		}
	}
}

func (q *DirectoryQuery) matches(r *Summary) bool {
	if q.Types != nil && !slices.Contains(q.Types, r.Type) {
		return false
	}
	term := strings.ToLower(q.Term)
	return term == "" || strings.Contains(strings.ToLower(r.Name), term) ||
		strings.Contains(strings.ToLower(r.Topic), term) || strings.Contains(strings.ToLower(r.CanonicalAlias), term)
}

// publicSummaries returns the summaries of rooms of the directory, in order.
func (s *Service) publicSummaries(ctx context.Context, rows []store.PublicRoom) ([]*Summary, error) {
	infos := make([]*Info, 0, len(rows))
	for _, r := range rows {
		info, err := newInfo(store.Room{NID: r.RoomNID, ID: r.ID, Version: r.Version})
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	described, err := s.describe(ctx, infos)
	if err != nil {
		return nil, err
	}
	all := make([]*Summary, len(rows))
	for i, r := range rows {
		full := *described[i]
		full.Joined = int(r.Joined)
		all[i] = &full
	}
	return all, nil
}

// IsPublic reports whether the room is in the room directory.
//
// Errors that clients see: M_NOT_FOUND.
func (s *Service) IsPublic(ctx context.Context, room event.RoomID) (bool, error) {
	info, err := s.knownRoom(ctx, room)
	if err != nil {
		return false, err
	}
	row, err := s.store.RoomByNID(ctx, info.NID)
	return row.Public, err
}

// SetPublic puts the room into the directory or takes it out. Who may set the
// room's canonical alias may do that, and an administrator of the server.
//
// Errors that clients see: M_NOT_FOUND, M_FORBIDDEN.
func (s *Service) SetPublic(ctx context.Context, user event.UserID, admin bool, room event.RoomID, public bool) error {
	info, err := s.knownRoom(ctx, room)
	if err != nil {
		return err
	}
	if !admin {
		if err := s.mayNameRoom(ctx, user, info); err != nil {
			return err
		}
	}
	if err := s.store.SetPublic(ctx, info.NID, public); err != nil {
		return fmt.Errorf("write room directory: %w", err)
	}
	return nil
}
