// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

const (
	// toDeviceLimit is how many to-device messages go into one answer.
	toDeviceLimit = 100
	// flushBytes is how much of an answer is gathered before it is written.
	flushBytes = 64 << 10
)

// builder makes one answer: all that happened with from < position <= to.
type builder struct {
	s      *Service
	r      *Request
	fields *filter.Fields
	device *device

	from, to int64
	next     Token
	members  []rooms.Membership
	ignored  map[event.UserID]struct{}
	// delta says where something happened; nil for an initial sync.
	delta       *delta
	accountData map[int64][]store.AccountData
	typing      map[int64][]event.UserID
	// ahead is what was read of the next rooms; nil for what is no initial sync.
	ahead *ahead

	out []byte
	// said: there is something beyond the token and the key counts.
	said bool
	// sent are membership events in this answer, for lazy loading.
	sent []int64
}

func (b *builder) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.out
}

func (b *builder) initial() bool { return b.r.Since == nil }

// answer builds the answer to a sync as of now.
func (s *Service) answer(ctx context.Context, p *poll) (*builder, error) {
	b := &builder{s: s, r: p.request, device: p.device, fields: filter.NewFields(p.request.Filter.EventFields)}
	if err := b.fix(ctx); err != nil {
		return nil, err
	}
	if err := b.gather(ctx); err != nil {
		return nil, fmt.Errorf("gather changes: %w", err)
	}
	if err := b.write(ctx); err != nil {
		return nil, err
	}
	b.device.sending(b.sent, b.to)
	return b, nil
}

// fix decides which position the answer stands for and reads the memberships
// as of that position. What is read may be ahead of the log; then the answer
// waits for the log, and everything of the user up to that position is in it.
func (b *builder) fix(ctx context.Context) error {
	b.next.Typing = b.s.count.now()
	b.to = b.s.log.Head()
	members, err := b.s.rooms.MembershipsOf(ctx, b.r.User)
	if err != nil {
		return fmt.Errorf("read memberships: %w", err)
	}
	b.members = members
	for _, m := range members {
		b.to = max(b.to, m.StreamPos)
	}
	if err := b.s.log.Wait(ctx, b.to-1); err != nil {
		return err
	}
	if !b.initial() {
		b.from = b.r.Since.Pos
		b.to = max(b.to, b.from)
	}
	b.next.Pos, b.next.ToDevice = b.to, b.to
	b.ignored, err = b.s.rooms.IgnoredBy(ctx, b.r.User)
	return err
}

// write appends the whole answer to out, or hands it to r.Write.
func (b *builder) write(ctx context.Context) error {
	messages, err := b.toDevice(ctx)
	if err != nil {
		return fmt.Errorf("read to-device messages: %w", err)
	}
	if err := b.skeleton(ctx); err != nil {
		return err
	}
	b.out = appendEvents(b.out, `,"to_device":`, messages)
	global, err := b.globalAccountData(ctx)
	if err != nil {
		return err
	}
	b.out = appendEvents(b.out, `,"account_data":`, global)
	b.said = b.said || len(messages) > 0 || len(global) > 0 || b.delta != nil && b.delta.oneTimeKeys
	present, err := b.presenceEvents(ctx)
	if err != nil {
		return fmt.Errorf("find out who is there: %w", err)
	}
	b.out = appendEvents(b.out, `,"presence":`, present)
	if err := b.writeDeviceLists(ctx); err != nil {
		return fmt.Errorf("compare device lists: %w", err)
	}
	if err := b.writeRooms(ctx); err != nil {
		return err
	}
	b.out = append(b.out, '}')
	return nil
}

// skeleton begins the answer with what every answer has.
func (b *builder) skeleton(ctx context.Context) error {
	counts, unused, err := b.s.keys.OneTimeKeyCounts(ctx, b.r.User, b.r.Device)
	if err != nil {
		return fmt.Errorf("count one-time keys: %w", err)
	}
	b.out = append(b.out, `{"next_batch":"`...)
	b.out = append(append(b.out, b.next.String()...), `","device_one_time_keys_count":{`...)
	for i, algorithm := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		b.out = append(event.AppendString(b.out, algorithm), ':')
		b.out = strconv.AppendInt(b.out, int64(counts[algorithm]), 10)
	}
	b.out = append(b.out, `},"device_unused_fallback_key_types":`...)
	b.out = appendStrings(b.out, unused)
	return nil
}

// toDevice returns the messages for the device. They stay stored until the
// device comes back with the token of this answer.
func (b *builder) toDevice(ctx context.Context) ([][]byte, error) {
	after := int64(0)
	if !b.initial() {
		after = b.r.Since.ToDevice
		if !b.delta.toDevice && after == b.from {
			return nil, nil
		}
	}
	found, err := b.s.keys.ToDevice(ctx, b.r.User, b.r.Device, after, b.to, toDeviceLimit)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	last := found[len(found)-1].StreamPos
	if len(found) == toDeviceLimit {
		b.next.ToDevice = last
	}
	b.device.delivering(last)
	messages := make([][]byte, 0, len(found))
	for _, m := range found {
		messages = append(messages, m.Content)
	}
	return messages, nil
}

const typePushRules = store.PushRulesType

// globalAccountData returns the events of account data outside rooms.
func (b *builder) globalAccountData(ctx context.Context) ([][]byte, error) {
	var events [][]byte
	want := &b.r.Filter.AccountData
	rules := b.initial()
	for _, d := range b.accountData[0] {
		if d.Type == typePushRules {
			rules = true // the row says only that they changed
		} else if want.Matches(d.Type, d.UserID) {
			events = append(events, accountDataEvent(d.Type, d.Content))
		}
	}
	if !rules || !want.Matches(typePushRules, string(b.r.User)) {
		return events, nil
	}
	content, err := b.s.pushRules(ctx, b.r.User)
	if err != nil {
		return nil, err
	}
	return slices.Insert(events, 0, accountDataEvent(typePushRules, content)), nil
}

func accountDataEvent(typ string, content []byte) []byte {
	e := append([]byte(nil), `{"content":`...)
	e = append(append(e, content...), `,"type":`...)
	return append(event.AppendString(e, typ), '}')
}

// appendEvents appends key and an {"events":[…]} object, or nothing if there are none.
func appendEvents(dst []byte, key string, events [][]byte) []byte {
	if len(events) == 0 {
		return dst
	}
	dst = append(append(dst, key...), `{"events":[`...)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, "]}"...)
}

func appendStrings[S ~string](dst []byte, all []S) []byte {
	dst = append(dst, '[')
	for i, s := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, string(s))
	}
	return append(dst, ']')
}
