// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// HierarchyQuery asks for a page of the rooms of a space.
type HierarchyQuery struct {
	// From is the token of the page before, empty for the first.
	From string
	// Limit is how many rooms are wanted, at least 1.
	Limit int
	// MaxDepth is how far below the space to look; nil for as far as we go.
	MaxDepth      *int
	SuggestedOnly bool
}

// HierarchyPage is a page of the rooms of a space. Next is empty after the last.
type HierarchyPage struct {
	Rooms []SpaceRoom
	Next  string
}

// SpaceRoom is a room of a space.
type SpaceRoom struct {
	*Summary
	// Children are the m.space.child events of a space in stripped format, in order.
	Children [][]byte
}

const (
	// maxDepth is how deep a hierarchy is followed at most.
	maxDepth = 100
	// maxHierarchy is how many rooms of a hierarchy are looked at.
	maxHierarchy = 10_000
	// hierarchyStep is how many rooms are read in one go.
	hierarchyStep = 64
)

// Hierarchy returns a page of the rooms below a space that user may know of,
// depth first, each once. A token names the last room of its page and what
// was asked for: the walk begins anew and goes on behind that room, so that
// every replica understands it and nothing needs to be kept.
//
// Errors that clients see: M_FORBIDDEN, also if there is no such room;
// M_INVALID_PARAM for a token that is none, or was for another request.
//
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (s *Service) Hierarchy(ctx context.Context, user event.UserID, room event.RoomID, q HierarchyQuery) (*HierarchyPage, error) {
	w := &hierarchyWalk{
		service: s, onlooker: onlooker{service: s, user: user}, query: q, depth: maxDepth,
		known: map[event.RoomID]*Summary{}, visited: map[event.RoomID]bool{}, stack: []hierarchyStop{{room, 0}},
	}
	if q.MaxDepth != nil {
		w.depth = min(*q.MaxDepth, maxDepth)
	}
	behind, err := w.parseToken(q.From)
	if err != nil {
		return nil, err
	}
	page := &HierarchyPage{Rooms: []SpaceRoom{}}
	for {
		r, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case r == nil && behind != 0:
			return nil, matrixerr.InvalidParam("from is not a token of this request")
		case r == nil:
			return page, w.count(ctx, page)
		case behind != 0:
			if r.NID == behind {
				behind = 0
			}
		case len(page.Rooms) == q.Limit:
			page.Next = w.token(page.Rooms[q.Limit-1].NID)
			return page, w.count(ctx, page)
		default:
			page.Rooms = append(page.Rooms, *r)
		}
	}
}

// hierarchyStop is a room that is still to be visited.
type hierarchyStop struct {
	room  event.RoomID
	depth int
}

// hierarchyWalk goes through the rooms of a space.
type hierarchyWalk struct {
	service  *Service
	onlooker onlooker
	query    HierarchyQuery
	depth    int
	// stack are the rooms to visit, the next one last.
	stack   []hierarchyStop
	visited map[event.RoomID]bool
	// known are rooms that were read already; nil: there is none of that id.
	known map[event.RoomID]*Summary
}

// token names the room nid and what was asked for.
func (w *hierarchyWalk) token(nid int64) string {
	return "h" + strconv.FormatInt(nid, 10) + w.tokenSuffix()
}

func (w *hierarchyWalk) tokenSuffix() string {
	return fmt.Sprintf("_%d_%t", w.depth, w.query.SuggestedOnly)
}

// parseToken returns the room behind which a page begins, 0 for the first page.
func (w *hierarchyWalk) parseToken(from string) (int64, error) {
	if from == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(from, "h")
	if !ok {
		return 0, matrixerr.InvalidParam("from is not a token of this server")
	}
	if text, ok = strings.CutSuffix(text, w.tokenSuffix()); !ok {
		return 0, matrixerr.InvalidParam("from is a token of a request with other parameters")
	}
	nid, err := strconv.ParseInt(text, 10, 64)
	if err != nil || nid <= 0 {
		return 0, matrixerr.InvalidParam("from is not a token of this server")
	}
	return nid, nil
}

// next returns the next room that the user may know of, nil after the last.
func (w *hierarchyWalk) next(ctx context.Context) (*SpaceRoom, error) {
	for len(w.stack) > 0 && len(w.visited) < maxHierarchy {
		stop := w.stack[len(w.stack)-1]
		if w.visited[stop.room] {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		if err := w.read(ctx); err != nil {
			return nil, err
		}
		w.stack = w.stack[:len(w.stack)-1]
		w.visited[stop.room] = true
		summary := w.known[stop.room]
		may := summary != nil
		if may {
			var err error
			if _, may, err = w.onlooker.mayKnow(ctx, summary); err != nil {
				return nil, err
			}
		}
		switch {
		case may:
			return w.visit(ctx, summary, stop.depth)
		case stop.depth == 0:
			return nil, matrixerr.Forbidden("you are not allowed to view this room")
		}
	}
	return nil, nil
}

// visit returns a room and puts its children on the stack.
func (w *hierarchyWalk) visit(ctx context.Context, summary *Summary, depth int) (*SpaceRoom, error) {
	r := &SpaceRoom{Summary: summary}
	if summary.Type != typeSpace {
		return r, nil
	}
	children, err := w.service.childrenOf(ctx, summary.NID)
	if err != nil {
		return nil, err
	}
	first := len(w.stack)
	for _, c := range children {
		if w.query.SuggestedOnly && !c.suggested {
			continue
		}
		r.Children = append(r.Children, c.stripped)
		if depth < w.depth {
			w.stack = append(w.stack, hierarchyStop{c.room, depth + 1})
		}
	}
	slices.Reverse(w.stack[first:])
	return r, nil
}

// read makes the room on top of the stack known, and others that come soon.
func (w *hierarchyWalk) read(ctx context.Context) error {
	if _, known := w.known[w.stack[len(w.stack)-1].room]; known {
		return nil
	}
	var ids []event.RoomID
	for i := len(w.stack) - 1; i >= 0 && len(ids) < hierarchyStep; i-- {
		id := w.stack[i].room
		if _, known := w.known[id]; !known {
			w.known[id] = nil
			ids = append(ids, id)
		}
	}
	infos, err := w.service.infosOf(ctx, ids)
	if err != nil {
		return err
	}
	summaries, err := w.service.describe(ctx, infos)
	if err != nil {
		return err
	}
	for _, summary := range summaries {
		w.known[summary.ID] = summary
	}
	return nil
}

// count fills in how many users are in the rooms of a page.
func (w *hierarchyWalk) count(ctx context.Context, page *HierarchyPage) error {
	nids := make([]int64, len(page.Rooms))
	for i, r := range page.Rooms {
		nids[i] = r.NID
	}
	joined, err := w.service.store.JoinedCounts(ctx, nids)
	if err != nil {
		return fmt.Errorf("count members: %w", err)
	}
	for i := range page.Rooms {
		full := *page.Rooms[i].Summary
		full.Joined = int(joined[full.NID])
		page.Rooms[i].Summary = &full
	}
	return nil
}

// infosOf returns those of the rooms that exist: from memory, or with one query.
func (s *Service) infosOf(ctx context.Context, ids []event.RoomID) ([]*Info, error) {
	infos := make([]*Info, 0, len(ids))
	var missing []string
	for _, id := range ids {
		if info, ok, _ := s.infos.get(id); ok {
			infos = append(infos, info)
		} else {
			missing = append(missing, string(id))
		}
	}
	rows, err := s.store.RoomsByID(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("read rooms: %w", err)
	}
	for _, row := range rows {
		info, err := newInfo(row)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}
