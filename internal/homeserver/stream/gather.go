// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// delta says where something happened that may concern the user.
type delta struct {
	rooms map[int64]*roomDelta
	// concerned are the rooms that the user has to do with.
	concerned map[int64]struct{}
	// known: rooms list their events and members; else they have to be asked for.
	known                                         bool
	accountData, toDevice, oneTimeKeys, signature bool
	// lists are the users whose devices or keys changed, of all rooms.
	lists []event.UserID
}

// roomDelta says what happened in one room.
type roomDelta struct {
	events   []int64 // nids, oldest first
	receipts []int64 // positions
	members  []event.UserID
	any      bool // there are events; events lists them if delta.known
	read     bool // there are receipts
	own      bool // the user's own membership changed
}

// room returns what happened in a room, never nil.
func (d *delta) room(nid int64) *roomDelta {
	if d != nil {
		if r := d.rooms[nid]; r != nil {
			return r
		}
	}
	return &roomDelta{}
}

// gather finds out where something happened.
func (b *builder) gather(ctx context.Context) error {
	after := int64(0)
	if !b.initial() {
		after = b.r.Since.Typing
	}
	b.typing = b.s.typing.since(after)
	if b.initial() {
		return b.readAccountData(ctx)
	}
	b.delta = &delta{rooms: map[int64]*roomDelta{}, concerned: make(map[int64]struct{}, len(b.members))}
	for _, m := range b.members {
		b.delta.concerned[m.RoomNID] = struct{}{}
	}
	changes, ok := b.s.log.Between(b.from, b.to)
	if ok {
		b.delta.known = true
		b.sift(changes)
	} else if err := b.ask(ctx); err != nil {
		return err
	}
	if b.delta.accountData {
		return b.readAccountData(ctx)
	}
	return nil
}

func (b *builder) readAccountData(ctx context.Context) error {
	all, err := b.s.store.AccountDataBetween(ctx, string(b.r.User), b.from, b.to)
	if err != nil {
		return err
	}
	b.accountData = map[int64][]store.AccountData{}
	for _, d := range all {
		b.accountData[d.RoomNID] = append(b.accountData[d.RoomNID], d)
	}
	return nil
}

// entry returns the delta of a room that the user has to do with, else nil.
func (b *builder) entry(nid int64) *roomDelta {
	if r := b.delta.rooms[nid]; r != nil {
		return r
	}
	if _, ok := b.delta.concerned[nid]; !ok {
		return nil
	}
	r := &roomDelta{}
	b.delta.rooms[nid] = r
	return r
}

// sift takes from the change log what concerns the user.
func (b *builder) sift(changes []store.Change) {
	me := string(b.r.User)
	for _, c := range changes {
		mine := c.UserID == me
		switch c.Kind {
		case store.ChangeEvent:
			b.siftEvent(c, mine)
		case store.ChangeReceipt:
			if c.Ref == store.ReceiptPrivate && !mine {
				continue
			}
			if r := b.entry(c.RoomNID); r != nil {
				r.read = true
				r.receipts = append(r.receipts, c.Pos)
			}
		case store.ChangeDeviceList:
			b.delta.lists = append(b.delta.lists, event.UserID(c.UserID))
		default:
			if mine {
				b.siftOwn(c.Kind)
			}
		}
	}
}

func (b *builder) siftEvent(c store.Change, mine bool) {
	r := b.entry(c.RoomNID)
	if r == nil {
		return
	}
	r.any = true
	r.own = r.own || mine
	r.events = append(r.events, c.Ref)
	if c.UserID != "" {
		r.members = append(r.members, event.UserID(c.UserID))
	}
}

// siftOwn notes a change that only the user hears of.
func (b *builder) siftOwn(kind store.ChangeKind) {
	switch kind {
	case store.ChangeAccountData:
		b.delta.accountData = true
	case store.ChangeToDevice:
		b.delta.toDevice = true
	case store.ChangeOneTimeKeys:
		b.delta.oneTimeKeys = true
	case store.ChangeSignature:
		b.delta.signature = true
	default:
	}
}

// ask finds the same in the database, for a client that was away for longer
// than the log reaches back.
func (b *builder) ask(ctx context.Context) error {
	own, err := b.s.store.UserChangesBetween(ctx, string(b.r.User), b.from, b.to)
	if err != nil {
		return err
	}
	for _, c := range own {
		if c.Kind == store.ChangeEvent {
			if r := b.entry(c.RoomNID); r != nil {
				r.own, r.any = true, true
			}
			continue
		}
		b.siftOwn(c.Kind)
	}
	if err := b.askRooms(ctx); err != nil {
		return err
	}
	lists, err := b.s.store.DeviceListsChangedSince(ctx, b.from)
	for _, user := range lists {
		b.delta.lists = append(b.delta.lists, event.UserID(user))
	}
	return err
}

func (b *builder) askRooms(ctx context.Context) error {
	var joined []int64
	for _, m := range b.members {
		if m.Membership == membershipJoin {
			joined = append(joined, m.RoomNID)
		}
	}
	found, err := b.s.store.RoomChangesBetween(ctx, joined, b.from, b.to)
	if err != nil {
		return err
	}
	for _, c := range found {
		r := b.entry(c.RoomNID)
		if c.Kind == store.ChangeReceipt {
			r.read = true
			continue
		}
		r.any = true
		changes, err := b.s.rooms.StateDelta(ctx, c.RoomNID, b.from, b.to)
		if err != nil {
			return err
		}
		for _, e := range changes {
			if e.Key.Type == typeMember {
				r.members = append(r.members, event.UserID(e.Key.Key))
			}
		}
	}
	return nil
}

// past is what the user was to a room before an answer.
type past struct {
	// before is the membership at from, "" for none.
	before string
	// joined: the user was joined at some time since.
	joined bool
	// exit is the event by which the user last ceased to be joined, nil if
	// that never happened. It may be from before from.
	exit *rooms.StoredEvent
	// seen is the last such event that the client was told of. Up to it the
	// client has the room.
	seen *rooms.StoredEvent
}

// start is where the timeline of a room begins that is new to the client.
func (p past) start() int64 {
	if p.seen != nil {
		return p.seen.StreamPos
	}
	return beginning
}

// pastOf follows the user's membership back to from, and beyond to where the
// user was joined.
func (b *builder) pastOf(ctx context.Context, m rooms.Membership) (past, error) {
	var p past
	var later *rooms.StoredEvent
	for nid := m.EventNID; nid != 0; {
		found, err := b.s.rooms.EventsByNID(ctx, []int64{nid})
		if err != nil || len(found) == 0 {
			return p, err
		}
		e := found[0]
		b.note(&p, e, later)
		if e.StreamPos <= b.from && e.Membership() == membershipJoin {
			return p, nil
		}
		later, nid = e, e.ReplacesNID
	}
	return p, nil
}

// note takes in a membership event and the one after it, nil if there is none.
func (b *builder) note(p *past, e, later *rooms.StoredEvent) {
	joined := e.Membership() == membershipJoin
	if e.StreamPos > b.from {
		p.joined = p.joined || joined
	} else if p.before == "" {
		p.before = e.Membership()
	}
	if !joined || later == nil || later.Membership() == membershipJoin {
		return
	}
	if p.exit == nil {
		p.exit = later
	}
	if p.seen == nil && later.StreamPos <= b.from {
		p.seen = later
	}
}
