// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Summary is what a room shows of itself to those who are not in it.
type Summary struct {
	*Info
	Name, Topic, AvatarURL string
	CanonicalAlias         string
	JoinRule               string
	// Type is the type in the create event, "m.space" for spaces.
	Type          string
	Encryption    string
	WorldReadable bool
	GuestCanJoin  bool
	Joined        int
	// AllowedRooms are the rooms whose members may join a restricted room.
	AllowedRooms []event.RoomID
}

// directoryLife is how long the order of the room directory is kept: the
// numbers of members in it may be that old.
const directoryLife = 5 * time.Second

// directory is the room directory in memory, so that its cost does not grow
// with the number of requests.
type directory struct {
	mu        sync.Mutex
	rooms     []store.PublicRoom // the largest first
	until     time.Time
	summaries map[int64]*Summary // of rooms in the directory, without Joined
	listed    uint64             // counts how often rooms was invalidated
	version   uint64             // counts what summaries were dropped
}

// invalidate makes the next reader ask the database.
func (d *directory) invalidate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = time.Time{}
	d.listed++
}

// changed drops what is remembered of a room.
func (d *directory) changed(roomNID int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.summaries, roomNID)
	d.version++
}

// publicRooms returns the room directory, the largest rooms first. Read only.
func (s *Service) publicRooms(ctx context.Context) ([]store.PublicRoom, error) {
	d := &s.directory
	d.mu.Lock()
	rooms, fresh, version := d.rooms, s.now().Before(d.until), d.listed
	d.mu.Unlock()
	if fresh {
		return rooms, nil
	}
	rooms, err := s.store.PublicRooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("read room directory: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rooms = rooms
	if d.listed == version {
		d.until = s.now().Add(directoryLife)
	}
	return rooms, nil
}

// DirectoryQuery asks for a page of the room directory.
type DirectoryQuery struct {
	// Since is where the page begins: a token of an earlier page, or empty.
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

// Directory returns a page of the room directory, the largest rooms first.
//
// Errors that clients see: M_INVALID_PARAM for a token that is none.
func (s *Service) Directory(ctx context.Context, q DirectoryQuery) (*DirectoryPage, error) {
	all, err := s.publicRooms(ctx)
	if err != nil {
		return nil, err
	}
	start, err := directoryStart(all, q.Since)
	if err != nil {
		return nil, err
	}
	page := &DirectoryPage{Total: len(all), Rooms: []*Summary{}}
	for i := start; i < len(all); i++ {
		if len(page.Rooms) == q.Limit {
			page.Next = directoryToken(all[i])
			break
		}
		summary, err := s.publicSummary(ctx, all[i])
		if err != nil {
			return nil, err
		}
		if q.matches(summary) {
			page.Rooms = append(page.Rooms, summary)
		}
	}
	if start > 0 {
		page.Prev = directoryToken(all[max(0, start-q.Limit)])
	}
	return page, nil
}

// directoryToken names a place in the directory that stays right when rooms come and go.
func directoryToken(r store.PublicRoom) string {
	return strconv.FormatInt(r.Joined, 10) + "_" + strconv.FormatInt(r.RoomNID, 10)
}

func directoryStart(all []store.PublicRoom, since string) (int, error) {
	if since == "" {
		return 0, nil
	}
	joined, nid, _ := strings.Cut(since, "_")
	want := store.PublicRoom{}
	var err1, err2 error
	want.Joined, err1 = strconv.ParseInt(joined, 10, 64)
	want.RoomNID, err2 = strconv.ParseInt(nid, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, matrixerr.InvalidParam("since is not a token of this server")
	}
	i := slices.IndexFunc(all, func(r store.PublicRoom) bool {
		return r.Joined < want.Joined || r.Joined == want.Joined && r.RoomNID <= want.RoomNID
	})
	if i < 0 {
		return len(all), nil
	}
	return i, nil
}

func (q *DirectoryQuery) matches(r *Summary) bool {
	if q.Types != nil && !slices.Contains(q.Types, r.Type) {
		return false
	}
	term := strings.ToLower(q.Term)
	return term == "" || strings.Contains(strings.ToLower(r.Name), term) ||
		strings.Contains(strings.ToLower(r.Topic), term) || strings.Contains(strings.ToLower(r.CanonicalAlias), term)
}

// publicSummary returns the summary of a room in the directory, from memory if it is there.
func (s *Service) publicSummary(ctx context.Context, r store.PublicRoom) (*Summary, error) {
	known, version := s.directory.get(r.RoomNID)
	if known == nil {
		info, err := s.RoomByNID(ctx, r.RoomNID)
		if err != nil {
			return nil, err
		}
		if known, err = s.summary(ctx, info); err != nil {
			return nil, err
		}
		s.directory.put(r.RoomNID, known, version)
	}
	full := *known
	full.Joined = int(r.Joined)
	return &full, nil
}

// get also returns the version, to be handed to put with what was read meanwhile.
func (d *directory) get(roomNID int64) (known *Summary, version uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.summaries[roomNID], d.version
}

// put remembers a summary unless something was dropped since it was read.
func (d *directory) put(roomNID int64, summary *Summary, version uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version != version {
		return
	}
	if d.summaries == nil {
		d.summaries = map[int64]*Summary{}
	}
	d.summaries[roomNID] = summary
}

// summary reads a room's summary from its current state.
func (s *Service) summary(ctx context.Context, info *Info) (*Summary, error) {
	state, err := s.CurrentState(ctx, info.NID)
	if err != nil {
		return nil, err
	}
	r := &Summary{Info: info, JoinRule: Invite}
	for _, f := range []struct {
		typ  string
		into func(content event.Object)
	}{
		{typeName, func(c event.Object) { r.Name, _ = c.String("name") }},
		{typeTopic, func(c event.Object) { r.Topic, _ = c.String("topic") }},
		{typeAvatar, func(c event.Object) { r.AvatarURL, _ = c.String("url") }},
		{typeCanonicalAlias, func(c event.Object) { r.CanonicalAlias, _ = c.String("alias") }},
		{typeEncryption, func(c event.Object) { r.Encryption, _ = c.String("algorithm") }},
		{typeCreate, func(c event.Object) { r.Type, _ = c.String("type") }},
		{typeJoinRules, func(c event.Object) { r.JoinRule, r.AllowedRooms = joinRule(c) }},
		{typeHistoryVisibility, func(c event.Object) {
			v, _ := c.String("history_visibility")
			r.WorldReadable = v == worldReadable
		}},
		{typeGuestAccess, func(c event.Object) {
			v, _ := c.String("guest_access")
			r.GuestCanJoin = v == "can_join"
		}},
	} {
		ev, err := state.Event(ctx, event.StateKey{Type: f.typ})
		if err != nil {
			return nil, err
		}
		if ev == nil {
			continue
		}
		if content, ok := event.ParseObject(ev.Content()); ok {
			f.into(content)
		}
	}
	r.Joined, _, err = s.Counts(ctx, info.NID)
	return r, err
}

// joinRule reads the content of m.room.join_rules.
func joinRule(content event.Object) (rule string, allowed []event.RoomID) {
	rule, ok := content.String("join_rule")
	if !ok {
		rule = Invite
	}
	list, _ := content.Get("allow")
	event.EachElement(list, func(value []byte) bool {
		condition, ok := event.ParseObject(value)
		if !ok {
			return true
		}
		if typ, _ := condition.String("type"); typ == "m.room_membership" {
			if id, ok := condition.String("room_id"); ok {
				allowed = append(allowed, event.RoomID(id))
			}
		}
		return true
	})
	return rule, allowed
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
// room's canonical alias may do that.
//
// Errors that clients see: M_NOT_FOUND, M_FORBIDDEN.
func (s *Service) SetPublic(ctx context.Context, user event.UserID, room event.RoomID, public bool) error {
	info, err := s.knownRoom(ctx, room)
	if err != nil {
		return err
	}
	if err := s.mayNameRoom(ctx, user, info); err != nil {
		return err
	}
	if err := s.store.SetPublic(ctx, info.NID, public); err != nil {
		return fmt.Errorf("write room directory: %w", err)
	}
	return nil
}
