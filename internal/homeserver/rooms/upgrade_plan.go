// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// retiringRoom is a room that is to be replaced, as it is on disk.
type retiringRoom struct {
	service  *Service
	info     *Info
	stateNID int64
	public   bool
	// last is the newest event.
	last event.EventID
	// state are the events that matter for an upgrade, in a fixed order.
	state []*StoredEvent
	bans  []*StoredEvent
	// aliases are those of this server.
	aliases []string
	// settings are the sender's.
	settings *settings
}

const (
	typeSpaceChild  = "m.space.child"
	typeSpaceParent = "m.space.parent"
	typePolicy      = "m.room.policy"
)

// movingTypes is the state that the new room takes over, beside power levels
// and bans. The specification's list, and what makes a space.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
var movingTypes = []string{
	typeJoinRules, typeHistoryVisibility, typeGuestAccess, typeServerACL, typePolicy, typeEncryption,
	typeName, typeAvatar, typeTopic, typeCanonicalAlias, typeSpaceParent, typeSpaceChild,
}

// retiring reads what an upgrade needs of a room. Whatever changes meanwhile
// moves the room's state on, and is noticed by that.
func (s *Service) retiring(ctx context.Context, info *Info) (*retiringRoom, error) {
	room, err := s.store.RoomByNID(ctx, info.NID)
	if err != nil {
		return nil, fmt.Errorf("read room %s: %w", info.ID, err)
	}
	tips, err := decodeHeads(room.Heads)
	if err != nil {
		return nil, err
	}
	old := &retiringRoom{service: s, info: info, stateNID: room.StateNID, public: room.Public}
	if len(tips) > 0 {
		old.last = tips[0].ref.ID
	}
	if err := old.readState(ctx); err != nil {
		return nil, err
	}
	banned, err := s.Members(ctx, info.NID, Ban)
	if err != nil {
		return nil, err
	}
	nids := make([]int64, len(banned))
	for i, m := range banned {
		nids[i] = m.EventNID
	}
	if old.bans, err = s.plainEvents(ctx, nids); err != nil {
		return nil, err
	}
	if old.aliases, err = s.store.AliasesOf(ctx, info.NID); err != nil {
		return nil, fmt.Errorf("read aliases: %w", err)
	}
	return old, nil
}

func (old *retiringRoom) readState(ctx context.Context) error {
	view, err := old.service.StateAt(ctx, old.stateNID)
	if err != nil {
		return err
	}
	entries, err := view.NonMembers(ctx)
	if err != nil {
		return err
	}
	var nids []int64
	for _, e := range entries {
		switch e.Key.Type {
		case typeCreate, typePowerLevels, typeTombstone:
		default:
			if !slices.Contains(movingTypes, e.Key.Type) {
				continue
			}
		}
		nids = append(nids, e.NID)
	}
	if old.state, err = old.service.plainEvents(ctx, nids); err != nil {
		return err
	}
	slices.SortFunc(old.state, func(a, b *StoredEvent) int {
		return cmp.Or(
			cmp.Compare(slices.Index(movingTypes, a.Type()), slices.Index(movingTypes, b.Type())),
			cmp.Compare(a.Tuple().Key, b.Tuple().Key))
	})
	return nil
}

// at returns the state event of a type with an empty state key, nil if there is none.
func (old *retiringRoom) at(typ string) *StoredEvent {
	i := slices.IndexFunc(old.state, func(ev *StoredEvent) bool { return ev.IsState(event.StateKey{Type: typ}) })
	if i < 0 {
		return nil
	}
	return old.state[i]
}

// plan lists the events of the new room. The power levels come last: until
// they are there its creator may do everything, which they may not afterwards.
func (old *retiringRoom) plan(ctx context.Context, rules *event.Rules, r *UpgradeRequest) ([]*proposal, error) {
	b := &planner{service: old.service, rules: rules, r: &CreateRequest{Creator: r.Sender}}
	creators := r.creators(rules)
	if err := old.planCreate(b, creators); err != nil {
		return nil, err
	}
	if err := b.creatorJoins(ctx); err != nil {
		return nil, err
	}
	for _, ev := range old.state {
		content, err := old.moved(rules, ev)
		if err != nil {
			return nil, err
		}
		if content == nil {
			continue
		}
		if err := b.add(ev.Type(), ev.Tuple().Key, content); err != nil {
			return nil, err
		}
	}
	for _, ev := range old.bans {
		user := event.UserID(ev.Tuple().Key)
		if user == r.Sender || slices.Contains(creators, user) {
			continue // nobody can ban those who make the room
		}
		content := memberContent{Membership: Ban}
		ban, _ := event.ParseObject(ev.Content())
		content.Reason, _ = ban.String("reason")
		if err := b.add(typeMember, ev.Tuple().Key, content); err != nil {
			return nil, err
		}
	}
	levels, err := old.newLevels(rules, append([]event.UserID{r.Sender}, creators...))
	if err != nil || levels == nil {
		return b.steps, err
	}
	return b.steps, b.add(typePowerLevels, "", levels)
}

// planCreate adds the create event: what the old one says, and where the room comes from.
func (old *retiringRoom) planCreate(b *planner, creators []event.UserID) error {
	fields := map[string]json.RawMessage{}
	create := old.at(typeCreate)
	if create == nil {
		return fmt.Errorf("room %s has no create event", old.info.ID)
	}
	if err := json.Unmarshal(create.Content(), &fields); err != nil {
		return fmt.Errorf("decode the create event of %s: %w", old.info.ID, err)
	}
	delete(fields, "creator")
	delete(fields, "additional_creators")
	fields["room_version"] = event.AppendString(nil, string(b.rules.Version))
	if !b.rules.CreatorIsSender {
		fields["creator"] = event.AppendString(nil, string(b.r.Creator))
	}
	if len(creators) > 0 {
		raw, err := json.Marshal(creators)
		if err != nil {
			return fmt.Errorf("encode creators: %w", err)
		}
		fields["additional_creators"] = raw
	}
	// The tombstone names the new room, whose id may be a hash of this: the
	// event before it is the last one that can be named here.
	predecessor, err := json.Marshal(map[string]string{"room_id": string(old.info.ID), "event_id": string(old.last)})
	if err != nil {
		return fmt.Errorf("encode predecessor: %w", err)
	}
	fields["predecessor"] = predecessor
	return b.add(typeCreate, "", fields)
}

// moved returns the content that a state event has in the new room, nil if it stays behind.
func (old *retiringRoom) moved(rules *event.Rules, ev *StoredEvent) (any, error) {
	switch ev.Type() {
	case typeCreate, typePowerLevels, typeTombstone:
		return nil, nil
	case typeCanonicalAlias:
		return old.movedAlias(ev), nil
	case typeJoinRules:
		return movedJoinRule(rules, ev)
	case typeEncryption: // even a redacted one says that the room is encrypted
		return json.RawMessage(ev.Content()), nil
	}
	if string(ev.Content()) == "{}" {
		return nil, nil // withdrawn or redacted
	}
	return json.RawMessage(ev.Content()), nil
}

// aliasContent is the content of m.room.canonical_alias.
type aliasContent struct {
	Alias      string   `json:"alias,omitempty"`
	AltAliases []string `json:"alt_aliases,omitempty"`
}

// movedAlias keeps those aliases that move with the room.
func (old *retiringRoom) movedAlias(ev *StoredEvent) any {
	main, _ := event.ParseObject(ev.Content())
	var content aliasContent
	content.Alias, _ = main.String("alias")
	if !slices.Contains(old.aliases, content.Alias) {
		content.Alias = ""
	}
	raw, _ := main.Get("alt_aliases")
	event.EachElement(raw, func(value []byte) bool {
		if alias, ok := event.StringValue(value); ok && slices.Contains(old.aliases, alias) {
			content.AltAliases = append(content.AltAliases, alias)
		}
		return true
	})
	if content.Alias == "" && content.AltAliases == nil {
		return nil
	}
	return content
}

// movedJoinRule makes a join rule that the new version does not know the
// nearest one that lets in nobody else.
func movedJoinRule(rules *event.Rules, ev *StoredEvent) (any, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(ev.Content(), &fields); err != nil {
		return nil, fmt.Errorf("decode join rules: %w", err)
	}
	content, _ := event.ParseObject(ev.Content())
	rule, _ := content.String("join_rule")
	if rule == joinKnockRestricted && !rules.KnockRestricted {
		rule = joinRestricted
	}
	if rule == joinRestricted && !rules.Restricted || rule == Knock && !rules.Knock {
		rule = Invite
	}
	fields["join_rule"] = event.AppendString(nil, rule)
	return fields, nil
}

// ending lists the last events of the old room; the first is the one that counts.
func (old *retiringRoom) ending(n *newRoom) ([]*proposal, error) {
	b := &planner{service: old.service, rules: old.info.Rules, r: &CreateRequest{Creator: n.creator}}
	err := b.add(typeTombstone, "", map[string]string{
		"body": "This room has been replaced", "replacement_room": string(n.entry.info.ID),
	})
	if err != nil {
		return nil, err
	}
	if ev := old.at(typeCanonicalAlias); ev != nil && len(aliasesIn(ev.Content())) > 0 {
		if err := b.add(typeCanonicalAlias, "", struct{}{}); err != nil {
			return nil, err
		}
	}
	levels, err := old.quietLevels()
	if err != nil || levels == nil {
		return b.steps, err
	}
	return b.steps, b.add(typePowerLevels, "", levels)
}
