// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// proposal is an event that somebody wants to be sent.
type proposal struct {
	sender   event.UserID
	typ      string
	stateKey *string
	// content is a JSON object.
	content []byte
	// target is the event that a redaction strips, and redacts its id.
	target  *StoredEvent
	redacts event.EventID
	txn     *store.TxnKey
	txnID   string
	// ts is the event's time in milliseconds since 1970; 0 is now.
	ts int64
	// decide, if not nil, looks at the room when it is the sender's turn: it may
	// complete the content, refuse, or return errUnchanged when there is nothing to do.
	decide func(ctx context.Context, t *turn, p *proposal) error
}

// key is the state key that p sets.
func (p *proposal) key() event.StateKey { return event.StateKey{Type: p.typ, Key: *p.stateKey} }

// pending is an event that was built and is on its way into the database.
type pending struct {
	entry  *roomEntry
	stored *StoredEvent
	row    store.Event
	move   store.HeadMove
	tips   []tip
	// layer is the state after a state event.
	layer *layer
	chain chain
	delta store.StateDelta
	// membership is what an m.room.member event makes of a user.
	membership *store.Membership
	// relation is how the event points at another one, nil if it does not.
	relation *store.Relation
	// settings come with a join of a room that replaces another one, nil for none.
	settings *settings
	target   *StoredEvent
}

// build makes the event that p wants on top of the head, if the room allows it.
func (t *turn) build(ctx context.Context, p *proposal) (*pending, error) {
	rules := t.entry.info.Rules
	draft := event.Draft{
		RoomID: t.entry.info.ID, Type: p.typ, StateKey: p.stateKey, Sender: p.sender, Content: p.content,
		Depth: t.head.depth + 1, OriginServerTS: t.service.millis(), Redacts: p.redacts,
	}
	if p.ts != 0 {
		draft.OriginServerTS = p.ts
	}
	if p.typ == typeCreate && rules.RoomIDIsCreateHash {
		draft.RoomID = ""
	}
	for _, tip := range t.head.tips {
		draft.PrevEvents = append(draft.PrevEvents, tip.ref)
	}
	if p.typ == typeMember {
		// What authorises a membership depends on its content.
		var err error
		if draft.Content, err = event.Canonical(p.content, true); err != nil {
			return nil, err
		}
	}
	keys := rules.AuthKeys(draft)
	if err := t.preload(ctx, append(keys, event.StateKey{Type: typeCreate})...); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if ev := t.head.state[key]; ev != nil {
			draft.AuthEvents = append(draft.AuthEvents, ev.Reference())
		}
	}
	built, err := rules.Build(draft, t.service.signer)
	if err != nil {
		return nil, err
	}
	if err := rules.Authorise(built, t.authState()); err != nil {
		return nil, err
	}
	return t.pend(ctx, p, built)
}

// authState is the head's state as far as it was preloaded, which is all that
// an event with these auth events can be checked against.
func (t *turn) authState() event.AuthState {
	return event.AuthStateFunc(func(key event.StateKey) *event.Event {
		if ev := t.head.state[key]; ev != nil {
			return ev.Event
		}
		return nil
	})
}

// pend prepares the rows of the event.
func (t *turn) pend(ctx context.Context, p *proposal, built *event.Event) (*pending, error) {
	nid, err := t.service.store.NewIDs(ctx, "event", 1)
	if err != nil {
		return nil, fmt.Errorf("take event id: %w", err)
	}
	room := t.entry.info.NID
	out := &pending{
		entry: t.entry, target: p.target,
		row: store.Event{
			NID: nid, ID: string(built.ID()), RoomNID: room, Type: p.typ, Sender: string(p.sender), Depth: built.Depth(),
			OriginTS: built.OriginServerTS(), StateNID: t.head.stateNID, Txn: p.txn, TxnID: p.txnID, JSON: built.JSON(),
		},
		move:  store.HeadMove{RoomNID: room, From: t.head.id, To: nid, Depth: built.Depth(), StateNID: t.head.stateNID},
		chain: t.head.chain,
	}
	if p.stateKey != nil {
		if err := t.pendState(ctx, p, out); err != nil {
			return nil, err
		}
	}
	out.stored = &StoredEvent{
		Event: built, NID: nid, RoomNID: room, StateNID: t.head.stateNID, ReplacesNID: out.row.ReplacesNID,
	}
	out.stored.setTxn(&out.row)
	if out.relation = out.stored.storedRelation(); out.relation != nil {
		r, _ := relationIn(built.Content())
		out.relation.Annotation = p.annotation(room, r)
	}
	out.tips = []tip{{nid, built.Reference()}}
	out.move.Heads = encodeHeads(out.tips)
	if built.Type() == typeMember && p.stateKey != nil {
		out.membership = &store.Membership{UserID: *p.stateKey, RoomNID: room, Membership: built.Membership(), EventNID: nid}
		out.move.Joined, out.move.Invited = t.countChange(built)
		if out.settings, err = t.inherited(ctx, built); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pendState derives the state after a state event.
func (t *turn) pendState(ctx context.Context, p *proposal, out *pending) error {
	before, err := t.layers(ctx)
	if err != nil {
		return err
	}
	key, err := t.service.store.StateKeyID(ctx, store.StateKey(p.key()))
	if err != nil {
		return fmt.Errorf("read state key: %w", err)
	}
	old, err := before.lookup(key)
	if err != nil {
		return err
	}
	stateNID, err := t.service.store.NewIDs(ctx, "state", 1)
	if err != nil {
		return fmt.Errorf("take state id: %w", err)
	}
	out.row.StateKeyID, out.row.ReplacesNID = key, old
	out.delta = store.StateDelta{StateKeyID: key, OldNID: old, NewNID: out.row.NID}
	if out.chain, err = before.derive(stateNID, []pair{{key, out.row.NID}}); err != nil {
		return err
	}
	out.layer, out.move.StateNID = out.chain[0], stateNID
	return nil
}

// countChange returns how many users more are joined and invited after an
// m.room.member event, whose predecessor was needed to authorise it.
func (t *turn) countChange(member *event.Event) (joined, invited int64) {
	count := func(membership string, n int64) {
		switch membership {
		case Join:
			joined += n
		case Invite:
			invited += n
		}
	}
	count(member.Membership(), 1)
	if before := t.head.state[member.Tuple()]; before != nil {
		count(before.Membership(), -1)
	}
	return joined, invited
}

// advance makes p the head that the next event is built on.
func (t *turn) advance(p *pending) {
	h := t.head
	h.id, h.depth, h.stateNID = p.move.To, p.move.Depth, p.move.StateNID
	h.tips, h.chain = p.tips, p.chain
	if _, ok := p.stored.StateKey(); ok {
		h.makeRoom(1)
		h.state[p.stored.Tuple()] = p.stored
	}
	if p.target != nil {
		// The head may remember it as it was before the redaction.
		if _, ok := p.target.StateKey(); ok {
			delete(h.state, p.target.Tuple())
		}
	}
}

// apply writes the event. The room's head was moved before.
func (p *pending) apply(tx *store.Tx) {
	pos := p.insert(tx)
	if p.layer != nil {
		tx.SetCurrentState(p.row.RoomNID, p.delta, pos)
	}
}

// insert writes what even a new room needs for each of its events.
func (p *pending) insert(tx *store.Tx) store.Pos {
	change := store.Change{Kind: store.ChangeEvent, RoomNID: p.row.RoomNID, Ref: p.row.NID}
	if p.membership != nil {
		change.UserID = p.membership.UserID
	}
	pos := tx.Change(change)
	tx.InsertEvent(&p.row, pos)
	if p.layer != nil {
		tx.InsertState(p.layer.row(p.row.RoomNID))
	}
	if p.membership != nil {
		tx.SetMembership(p.membership, pos)
	}
	if p.relation != nil {
		tx.InsertRelation(p.relation, pos)
	}
	p.setRoomFlag(tx)
	if p.target != nil {
		if r := p.target.storedRelation(); r != nil {
			tx.DeleteRelation(r)
		}
		tx.Change(store.Change{Kind: store.ChangeRedaction, RoomNID: p.row.RoomNID, Ref: p.target.NID})
		tx.RedactEvent(p.target.NID, p.row.NID, p.target.Redacted().JSON())
	}
	return pos
}

// setRoomFlag notes whether everybody may join or read the room, where the
// event says so.
func (p *pending) setRoomFlag(tx *store.Tx) {
	switch {
	case p.stored.IsState(event.StateKey{Type: typeJoinRules}):
		content, _ := event.ParseObject(p.stored.Content())
		rule, _ := content.String("join_rule")
		tx.SetRoomFlag(p.row.RoomNID, store.RoomJoinable, rule == joinPublic)
	case p.stored.IsState(event.StateKey{Type: typeHistoryVisibility}):
		tx.SetRoomFlag(p.row.RoomNID, store.RoomReadable, historyVisibility(p.stored.Event) == worldReadable)
	}
}

// errUnchanged says that the event would change nothing.
var errUnchanged = errors.New("nothing to do")

// unchanged is the state event that stands already, with errUnchanged.
type unchanged struct{ existing *StoredEvent }

func (u *unchanged) Error() string        { return errUnchanged.Error() }
func (u *unchanged) Is(target error) bool { return target == errUnchanged }

// sameState returns errUnchanged if the room's state already is what p would make it.
func (t *turn) sameState(ctx context.Context, p *proposal) error {
	existing, err := t.state(ctx, p.key())
	if err != nil || existing == nil || existing.Sender() != p.sender {
		return err
	}
	content, err := event.Canonical(p.content, true)
	if err == nil && bytes.Equal(content, existing.Content()) {
		return &unchanged{existing}
	}
	return nil
}
