// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

const (
	// maxDevices bounds how many devices are remembered.
	maxDevices = 50_000
	// maxSent bounds how many membership events are remembered of one device.
	maxSent = 10_000
)

// devices remembers of each device what its last answers held. All of it may
// be forgotten: then something is sent again that need not be.
type devices struct {
	mu    sync.Mutex
	byKey map[deviceKey]*device
}

type deviceKey struct {
	user   event.UserID
	device string
}

type device struct {
	mu sync.Mutex
	// sent are the membership events that lazy loading has sent, with the
	// position of the answer that held them. The device has an event for sure
	// when it comes back with that position or a later one.
	sent map[int64]int64
	// delivered is the position of the newest to-device message sent, 0 if
	// all are deleted, -1 if nothing is known.
	delivered int64
}

func newDevices() *devices { return &devices{byKey: map[deviceKey]*device{}} }

func (d *devices) get(user event.UserID, id string) *device {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := deviceKey{user, id}
	if found := d.byKey[key]; found != nil {
		return found
	}
	if len(d.byKey) >= maxDevices {
		clear(d.byKey)
	}
	d.byKey[key] = &device{delivered: -1}
	return d.byKey[key]
}

// has reports whether the device that comes back with position since has the
// membership event nid.
func (d *device) has(nid, since int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.sent[nid]
	return ok && at <= since
}

// sending notes that the answer at position to holds the membership events nids.
func (d *device) sending(nids []int64, to int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.sent)+len(nids) > maxSent {
		clear(d.sent)
	}
	if d.sent == nil && len(nids) > 0 {
		d.sent = map[int64]int64{}
	}
	for _, nid := range nids {
		if at, ok := d.sent[nid]; !ok || to < at {
			d.sent[nid] = to
		}
	}
}

// restart forgets what was sent: the device begins anew.
func (d *device) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.sent)
}

// delivering notes that to-device messages up to pos are being sent.
func (d *device) delivering(pos int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivered = max(d.delivered, pos)
}

// confirms reports whether a token with the to-device position pos confirms
// messages that are still stored.
func (d *device) confirms(pos int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delivered == -1 || d.delivered > 0 && pos >= d.delivered
}

// deleted notes that messages up to pos are deleted.
func (d *device) deleted(pos int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.delivered <= pos {
		d.delivered = 0
	}
}

// confirm deletes the to-device messages that the device, by coming back with
// the token that was sent with them, says it has.
func (s *Service) confirm(ctx context.Context, r *Request, d *device) error {
	if r.Since == nil {
		d.restart()
		return nil
	}
	upTo := min(r.Since.ToDevice, s.log.Head())
	if !d.confirms(upTo) {
		return nil
	}
	if err := s.keys.DeleteToDevice(ctx, r.User, r.Device, upTo); err != nil {
		return err
	}
	d.deleted(upTo)
	return nil
}
