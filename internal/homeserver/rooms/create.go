// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// CreateRequest describes a new room.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
type CreateRequest struct {
	Creator event.UserID
	// Public puts the room into the room directory.
	Public bool
	// Preset is private_chat, public_chat, trusted_private_chat, or empty: by Public.
	Preset string
	// Version of the room; empty for the default.
	Version event.RoomVersion
	// AliasName is the local part of an alias; empty for none.
	AliasName string
	// Name and Topic are set if not nil.
	Name, Topic *string
	Invite      []event.UserID
	IsDirect    bool
	// CreationContent and PowerLevels are JSON objects laid over what the
	// server writes, nil for none.
	CreationContent, PowerLevels []byte
	InitialState                 []InitialState
}

// InitialState is a state event of a new room.
type InitialState struct {
	Type, StateKey string
	Content        []byte
}

// The presets.
const (
	PresetPrivate = "private_chat"
	PresetPublic  = "public_chat"
	PresetTrusted = "trusted_private_chat"
)

// Create makes a room, all of it in one write, and returns its id.
//
// Errors that clients see: M_UNSUPPORTED_ROOM_VERSION, M_ROOM_IN_USE,
// M_INVALID_ROOM_STATE, M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE, M_FORBIDDEN.
func (s *Service) Create(ctx context.Context, r CreateRequest) (event.RoomID, error) {
	if err := s.completeRequest(ctx, &r); err != nil {
		return "", err
	}
	rules, ok := event.RulesFor(r.Version)
	if !ok {
		return "", matrixerr.BadRequest(matrixerr.CodeUnsupportedRoomVersion, "this server does not know that room version")
	}
	steps, err := s.plan(ctx, rules, &r)
	if err != nil {
		return "", err
	}
	for range maxAttempts {
		id, err := s.execute(ctx, rules, &r, steps)
		if !errors.Is(err, store.ErrExists) {
			return id, err
		}
	}
	return "", matrixerr.Unavailable("too many rooms are being made at once, try again")
}

// createTime is the time of a new room's create event, a different one for
// each: in version 12 the room id is the hash of that event, and a user who
// makes two equal rooms in one millisecond must get two. If another replica
// makes the same room, the database refuses the second, which is tried again.
func (s *Service) createTime() int64 {
	for {
		last := s.lastCreate.Load()
		next := max(s.millis(), last+1)
		if s.lastCreate.CompareAndSwap(last, next) {
			return next
		}
	}
}

// completeRequest checks r and fills in what it leaves open.
func (s *Service) completeRequest(ctx context.Context, r *CreateRequest) error {
	if r.Version == "" {
		r.Version = s.version
	}
	switch r.Preset {
	case "":
		r.Preset = PresetPrivate
		if r.Public {
			r.Preset = PresetPublic
		}
	case PresetPrivate, PresetPublic, PresetTrusted:
	default:
		return matrixerr.InvalidParam("unknown preset")
	}
	slices.Sort(r.Invite)
	r.Invite = slices.Compact(r.Invite)
	for _, user := range r.Invite {
		if err := s.checkLocal(user); err != nil {
			return err
		}
		switch blocked, err := s.BlocksInvites(ctx, user); {
		case err != nil:
			return err
		case blocked:
			return errInviteBlocked()
		}
	}
	if r.AliasName == "" {
		return nil
	}
	alias, err := event.ParseRoomAlias("#" + r.AliasName + ":" + string(s.signer.Server))
	if err != nil || alias.Localpart() != r.AliasName {
		return matrixerr.InvalidParam("room_alias_name is not the local part of an alias")
	}
	switch _, err = s.AliasRoom(ctx, alias); {
	case err == nil:
		return errAliasTaken()
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return fmt.Errorf("read alias: %w", err)
	}
}

func errAliasTaken() error {
	return matrixerr.BadRequest(matrixerr.CodeRoomInUse, "the room alias is taken")
}

// alias is the full alias that r asks for, "" for none.
func (s *Service) alias(r *CreateRequest) string {
	if r.AliasName == "" {
		return ""
	}
	return "#" + r.AliasName + ":" + string(s.signer.Server)
}

// execute builds the events one on the other and writes them all at once.
func (s *Service) execute(ctx context.Context, rules *event.Rules, r *CreateRequest, steps []*proposal) (event.RoomID, error) {
	n, err := s.draft(ctx, rules, steps)
	if err != nil {
		return "", err
	}
	n.creator, n.alias, n.public = r.Creator, s.alias(r), r.Public
	return n.entry.info.ID, s.commitRoom(ctx, n)
}

// newRoom is a room that is only in memory yet.
type newRoom struct {
	*turn
	built   []*pending
	creator event.UserID
	// alias is made together with the room, if not empty.
	alias string
	// public puts the room into the room directory.
	public bool
}

// draft builds the events of a room one on the other.
func (s *Service) draft(ctx context.Context, rules *event.Rules, steps []*proposal) (*newRoom, error) {
	keys := make([]store.StateKey, len(steps))
	for i, p := range steps {
		keys[i] = store.StateKey(p.key())
	}
	if _, err := s.store.InternStateKeys(ctx, keys); err != nil {
		return nil, fmt.Errorf("intern state keys: %w", err)
	}
	nid, err := s.store.NewIDs(ctx, "room", 1)
	if err != nil {
		return nil, fmt.Errorf("take room id: %w", err)
	}
	e := &roomEntry{info: &Info{NID: nid, Version: rules.Version, Rules: rules}}
	if !rules.RoomIDIsCreateHash {
		e.info.ID = event.RoomID("!" + rand.Text() + ":" + string(s.signer.Server))
	}
	n := &newRoom{turn: &turn{service: s, entry: e, head: &head{state: map[event.StateKey]*StoredEvent{}, complete: true}}}
	for _, p := range steps {
		out, err := n.step(ctx, p)
		if err != nil {
			return nil, err
		}
		n.built = append(n.built, out)
		n.advance(out)
	}
	return n, nil
}

// step builds one event of a new room.
func (t *turn) step(ctx context.Context, p *proposal) (*pending, error) {
	if p.typ == typeCreate {
		p.ts = t.service.createTime()
	}
	if p.typ == typePowerLevels {
		if err := checkPowerLevels(ctx, t, p); err != nil && !errors.Is(err, errUnchanged) {
			return nil, clientError(err)
		}
	}
	out, err := t.build(ctx, p)
	var denied *event.AuthError
	if errors.As(err, &denied) {
		return nil, matrixerr.BadRequest(matrixerr.CodeInvalidRoomState,
			"the rules of the room do not allow its creator to send "+p.typ)
	}
	if err != nil {
		return nil, clientError(err)
	}
	if p.typ == typeCreate {
		t.entry.info.ID = out.stored.RoomID()
	}
	return out, nil
}

// apply writes the rows of a new room.
func (n *newRoom) apply(ctx context.Context, tx *store.Tx) error {
	info, h := n.entry.info, n.head
	if n.alias != "" {
		a := store.Alias{Alias: n.alias, RoomNID: info.NID, Creator: string(n.creator), CreatedTS: n.service.millis()}
		if err := tx.InsertAlias(ctx, a); err != nil {
			return err
		}
	}
	room := store.Room{
		NID: info.NID, ID: string(info.ID), Version: string(info.Version), Public: n.public,
		HeadNID: h.id, Heads: encodeHeads(h.tips), Depth: h.depth, StateNID: h.stateNID,
	}
	state := map[int64]int64{}
	for _, p := range n.built {
		state[p.row.StateKeyID] = p.row.NID
		room.Joined, room.Invited = room.Joined+p.move.Joined, room.Invited+p.move.Invited
	}
	if err := tx.InsertRoom(ctx, room); err != nil {
		return err
	}
	for _, p := range n.built {
		tx.InsertStateDelta(room.NID, p.delta, p.insert(tx))
	}
	tx.InsertCurrentState(room.NID, state)
	if room.Public {
		tx.Change(store.Change{Kind: store.ChangeDirectory, RoomNID: room.NID})
	}
	return nil
}

// warm lets the first message find the room in memory, once it is on disk.
func (n *newRoom) warm() {
	e := n.entry
	n.head.complete = false
	e.head, e.base = n.head, n.head.id
	n.service.entries.set(e.info.NID, e, entrySize)
}

// commitRoom writes a room that was built in memory.
func (s *Service) commitRoom(ctx context.Context, n *newRoom) error {
	defer s.expectAll(n.built)()
	if err := fault.Hit(ctx, "rooms.create.built"); err != nil {
		return err
	}
	_, err := s.store.Write(ctx, store.Write{Apply: n.apply})
	if errors.Is(err, store.ErrAliasTaken) {
		return errAliasTaken()
	}
	if err != nil {
		return fmt.Errorf("write room: %w", err)
	}
	n.warm()
	return fault.Hit(ctx, "rooms.create.committed")
}

// expectAll is expect for many events; the function returned forgets those that did not come.
func (s *Service) expectAll(built []*pending) (forget func()) {
	for _, p := range built {
		s.expect(p)
	}
	return func() {
		for _, p := range built {
			s.forget(p)
		}
	}
}

// plan lists the events of the new room in the specified order.
func (s *Service) plan(ctx context.Context, rules *event.Rules, r *CreateRequest) ([]*proposal, error) {
	b := &planner{service: s, rules: rules, r: r}
	for _, part := range []func(context.Context) error{
		b.create, b.creatorJoins, b.powerLevels, b.canonicalAlias, b.preset, b.initialState, b.description, b.invites,
	} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return b.steps, nil
}

// planner collects the events of a new room.
type planner struct {
	service *Service
	rules   *event.Rules
	r       *CreateRequest
	steps   []*proposal
}

// add appends a state event with a content that marshals to a JSON object.
func (b *planner) add(typ, stateKey string, content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", typ, err)
	}
	b.steps = append(b.steps, &proposal{sender: b.r.Creator, typ: typ, stateKey: &stateKey, content: raw})
	return nil
}

func (b *planner) create(context.Context) error {
	fields := map[string]json.RawMessage{}
	if b.r.CreationContent != nil {
		var err error
		if fields, err = fieldsOf(b.r.CreationContent); err != nil {
			return err
		}
	}
	fields["room_version"] = event.AppendString(nil, string(b.rules.Version))
	delete(fields, "creator")
	if !b.rules.CreatorIsSender {
		fields["creator"] = event.AppendString(nil, string(b.r.Creator))
	}
	if b.rules.PrivilegedCreators && b.r.Preset == PresetTrusted {
		if err := b.addCreators(fields); err != nil {
			return err
		}
	}
	return b.add(typeCreate, "", fields)
}

// addCreators makes those who are invited creators as well.
func (b *planner) addCreators(fields map[string]json.RawMessage) error {
	var creators []event.UserID
	if raw, ok := fields["additional_creators"]; ok && json.Unmarshal(raw, &creators) != nil {
		return matrixerr.BadRequest(matrixerr.CodeInvalidRoomState, "additional_creators must be a list of user ids")
	}
	for _, user := range b.r.Invite {
		if !slices.Contains(creators, user) && user != b.r.Creator {
			creators = append(creators, user)
		}
	}
	if len(creators) == 0 {
		return nil
	}
	raw, err := json.Marshal(creators)
	fields["additional_creators"] = raw
	return err
}

func (b *planner) creatorJoins(ctx context.Context) error {
	content := memberContent{Membership: Join}
	if err := b.service.addProfile(ctx, b.r.Creator, &content); err != nil {
		return err
	}
	return b.add(typeMember, string(b.r.Creator), content)
}

func (b *planner) canonicalAlias(context.Context) error {
	if b.r.AliasName == "" {
		return nil
	}
	return b.add(typeCanonicalAlias, "", map[string]string{"alias": b.service.alias(b.r)})
}

// preset adds the state that the preset implies and the request does not set otherwise.
func (b *planner) preset(context.Context) error {
	joinRule, guests := "invite", "can_join"
	if b.r.Preset == PresetPublic {
		joinRule, guests = "public", "forbidden"
	}
	for _, implied := range [][3]string{
		{typeJoinRules, "join_rule", joinRule},
		{typeHistoryVisibility, "history_visibility", visibilityShared},
		{typeGuestAccess, "guest_access", guests},
	} {
		if b.isInitial(implied[0]) {
			continue
		}
		if err := b.add(implied[0], "", map[string]string{implied[1]: implied[2]}); err != nil {
			return err
		}
	}
	return nil
}

// isInitial reports whether the request itself sets the state.
func (b *planner) isInitial(typ string) bool {
	return slices.ContainsFunc(b.r.InitialState, func(i InitialState) bool { return i.Type == typ && i.StateKey == "" })
}

func (b *planner) initialState(context.Context) error {
	for _, i := range b.r.InitialState {
		if i.StateKey == "" && (i.Type == typeName && b.r.Name != nil || i.Type == typeTopic && b.r.Topic != nil) {
			continue // overridden
		}
		if i.Type == typeMember {
			return matrixerr.BadRequest(matrixerr.CodeInvalidRoomState, "initial_state cannot set memberships")
		}
		if err := b.add(i.Type, i.StateKey, json.RawMessage(i.Content)); err != nil {
			return err
		}
	}
	return nil
}

// description adds what the room is called and about.
func (b *planner) description(context.Context) error {
	if b.r.Name != nil {
		if err := b.add(typeName, "", map[string]string{"name": *b.r.Name}); err != nil {
			return err
		}
	}
	if b.r.Topic == nil {
		return nil
	}
	type text struct {
		Body     string `json:"body"`
		MimeType string `json:"mimetype"`
	}
	return b.add(typeTopic, "", map[string]any{
		"topic":   *b.r.Topic,
		"m.topic": map[string]any{"m.text": []text{{*b.r.Topic, "text/plain"}}},
	})
}

func (b *planner) invites(ctx context.Context) error {
	for _, user := range b.r.Invite {
		content := memberContent{Membership: Invite, IsDirect: b.r.IsDirect}
		if err := b.service.addProfile(ctx, user, &content); err != nil {
			return err
		}
		if err := b.add(typeMember, string(user), content); err != nil {
			return err
		}
	}
	return nil
}
