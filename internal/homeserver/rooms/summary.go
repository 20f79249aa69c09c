// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// summaryParts says what each state event adds to a summary.
var summaryParts = map[string]func(r *Summary, content event.Object){
	typeName:           func(r *Summary, c event.Object) { r.Name, _ = c.String("name") },
	typeTopic:          func(r *Summary, c event.Object) { r.Topic = plainTopic(c) },
	typeAvatar:         func(r *Summary, c event.Object) { r.AvatarURL, _ = c.String("url") },
	typeCanonicalAlias: func(r *Summary, c event.Object) { r.CanonicalAlias, _ = c.String("alias") },
	typeEncryption:     func(r *Summary, c event.Object) { r.Encryption, _ = c.String("algorithm") },
	typeCreate:         func(r *Summary, c event.Object) { r.Type, _ = c.String("type") },
	typeJoinRules:      func(r *Summary, c event.Object) { r.JoinRule, r.AllowedRooms = joinRule(c) },
	typeHistoryVisibility: func(r *Summary, c event.Object) {
		v, _ := c.String("history_visibility")
		r.WorldReadable = v == worldReadable
	},
	typeGuestAccess: func(r *Summary, c event.Object) {
		v, _ := c.String("guest_access")
		r.GuestCanJoin = v == "can_join"
	},
}

// plainTopic returns the plain text of m.room.topic's content: m.topic's if
// there is one.
// https://spec.matrix.org/v1.19/client-server-api/#mroomtopic
func plainTopic(content event.Object) string {
	topic, _ := content.String("topic")
	block, _ := content.Object("m.topic")
	texts, _ := block.Get("m.text")
	event.EachElement(texts, func(value []byte) bool {
		text, _ := event.ParseObject(value)
		body, ok := text.String("body")
		kind, typed := text.String("mimetype")
		if ok && (!typed || kind == "text/plain") {
			topic = body
			return false
		}
		return true
	})
	return topic
}

// joinRule reads the content of m.room.join_rules.
func joinRule(content event.Object) (rule string, allowed []event.RoomID) {
	rule, ok := content.String("join_rule")
	if !ok {
		rule = Invite
	}
	if rule != joinRestricted && rule != joinKnockRestricted {
		return rule, nil
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

// The join rules beside invite, knock and private.
const (
	joinPublic          = "public"
	joinRestricted      = "restricted"
	joinKnockRestricted = "knock_restricted"
)

// summarySize is about what a summary takes beside its texts.
const summarySize = 320

func (r *Summary) size() int64 {
	n := summarySize + len(r.Name) + len(r.Topic) + len(r.AvatarURL) + len(r.CanonicalAlias)
	for _, id := range r.AllowedRooms {
		n += len(id) + 16
	}
	return int64(n)
}

// detach copies the texts, which lie within events that would stay in memory with them.
func (r *Summary) detach() {
	for _, text := range []*string{
		&r.Name, &r.Topic, &r.AvatarURL, &r.CanonicalAlias, &r.JoinRule, &r.Type, &r.Encryption,
	} {
		*text = strings.Clone(*text)
	}
	for i, id := range r.AllowedRooms {
		r.AllowedRooms[i] = event.RoomID(strings.Clone(string(id)))
	}
}

// describe returns the summaries of rooms, in order and without Joined: from
// memory, or with one query for their state and one for the events.
func (s *Service) describe(ctx context.Context, infos []*Info) ([]*Summary, error) {
	all := make([]*Summary, len(infos))
	var missing []int
	var changes uint64
	for i, info := range infos {
		r, ok, counted := s.summaries.get(info.NID)
		if i == 0 {
			changes = counted
		}
		if all[i] = r; !ok {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	nids := make([]int64, len(missing))
	for n, i := range missing {
		nids[n] = infos[i].NID
	}
	events, err := s.summaryEvents(ctx, nids)
	if err != nil {
		return nil, err
	}
	for _, i := range missing {
		r := &Summary{Info: infos[i], JoinRule: Invite}
		for _, ev := range events[infos[i].NID] {
			if content, ok := event.ParseObject(ev.Content()); ok {
				summaryParts[ev.Type()](r, content)
			}
		}
		r.detach()
		all[i] = r
		s.summaries.fill(r.NID, r, r.size(), changes)
	}
	return all, nil
}

// summaryEvents returns the state events that summaries are made of, by room.
func (s *Service) summaryEvents(ctx context.Context, roomNIDs []int64) (map[int64][]*StoredEvent, error) {
	var wanted []event.StateKey
	for typ := range summaryParts {
		wanted = append(wanted, event.StateKey{Type: typ})
	}
	keys, err := s.internedKeys(ctx, wanted...)
	if err != nil {
		return nil, err
	}
	state, err := s.store.CurrentStateOf(ctx, roomNIDs, keys)
	if err != nil {
		return nil, fmt.Errorf("read current state: %w", err)
	}
	var nids []int64
	for _, of := range state {
		for _, nid := range of {
			nids = append(nids, nid)
		}
	}
	events, err := s.plainEvents(ctx, nids)
	if err != nil {
		return nil, err
	}
	byRoom := make(map[int64][]*StoredEvent, len(state))
	for _, ev := range events {
		byRoom[ev.RoomNID] = append(byRoom[ev.RoomNID], ev)
	}
	return byRoom, nil
}

// fullSummary is describe for one room, with Joined.
func (s *Service) fullSummary(ctx context.Context, info *Info) (*Summary, error) {
	described, err := s.describe(ctx, []*Info{info})
	if err != nil {
		return nil, err
	}
	full := *described[0]
	full.Joined, _, err = s.Counts(ctx, info.NID)
	return &full, err
}

// RoomSummary returns what user may know of a room without being in it, and
// what they are to it.
//
// Errors that clients see: M_NOT_FOUND, the same whether there is no such room
// or it is none of the user's business.
func (s *Service) RoomSummary(ctx context.Context, user event.UserID, room event.RoomID) (*Summary, string, error) {
	info, err := s.RoomByID(ctx, room)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", errRoomNotFound()
	}
	if err != nil {
		return nil, "", err
	}
	r, err := s.fullSummary(ctx, info)
	if err != nil {
		return nil, "", err
	}
	v := &onlooker{service: s, user: user}
	membership, may, err := v.mayKnow(ctx, r)
	if err == nil && !may {
		err = errRoomNotFound()
	}
	if err != nil {
		return nil, "", err
	}
	return r, membership, nil
}

func errRoomNotFound() error { return matrixerr.NotFound("room not found") }

// onlooker is a user who looks at rooms from outside.
type onlooker struct {
	service *Service
	user    event.UserID
	// joined are the rooms that the user is in; read once it matters.
	joined map[event.RoomID]bool
}

// mayKnow reports whether the user may know of a room: its members, who is
// invited, who may join or knock, and everybody if it is world-readable.
//
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (v *onlooker) mayKnow(ctx context.Context, r *Summary) (membership string, may bool, err error) {
	m, ok, err := v.service.MembershipIn(ctx, v.user, r.NID)
	if err != nil {
		return "", false, err
	}
	membership = Leave
	if ok {
		membership = m.Membership
	}
	switch {
	case membership == Join, membership == Invite, r.WorldReadable:
		return membership, true, nil
	case membership == Ban:
		return membership, false, nil
	}
	rules := r.Rules
	switch {
	case r.JoinRule == joinPublic,
		r.JoinRule == Knock && rules.Knock,
		r.JoinRule == joinKnockRestricted && rules.KnockRestricted:
		return membership, true, nil
	case r.JoinRule == joinRestricted && rules.Restricted:
		may, err = v.isInOne(ctx, r.AllowedRooms)
	}
	return membership, may, err
}

// isInOne reports whether the user is in one of the rooms.
func (v *onlooker) isInOne(ctx context.Context, rooms []event.RoomID) (bool, error) {
	if v.joined == nil {
		ids, err := v.service.JoinedRooms(ctx, v.user)
		if err != nil {
			return false, err
		}
		v.joined = make(map[event.RoomID]bool, len(ids))
		for _, id := range ids {
			v.joined[id] = true
		}
	}
	for _, id := range rooms {
		if v.joined[id] {
			return true, nil
		}
	}
	return false, nil
}
