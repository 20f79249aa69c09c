// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// maxToDeviceBytes is the largest content of one message.
	maxToDeviceBytes = 64 << 10
	// maxTxnID bounds what is kept of a request that was carried out.
	maxTxnID = 255
	// Not more messages and not much more bytes than these go into one write,
	// because everybody else waits for it.
	messagesAtOnce = 100
	bytesAtOnce    = 256 << 10
	// sharedContent is how large a content for all devices of a user may be
	// and still be written to all of them at once.
	sharedContent = 2 << 10
)

// allDevices as a device id means every device of the user.
const allDevices = "*"

// ToDevice is a PUT /sendToDevice: content by user and device.
type ToDevice struct {
	Sender       event.UserID
	SenderDevice string
	Type, TxnID  string
	Messages     map[event.UserID]map[string]json.RawMessage
}

// SendToDevice queues the messages of one request; the same request again
// does nothing. Devices that do not exist are passed over, as the
// specification has no answer for them. A device that is named gets no other
// message that is for all devices of its user.
//
// A large request is queued in parts, each once: what goes into which part
// depends on the request alone, so a repetition completes what was begun.
//
// Errors: ErrInvalid, ErrTooLarge.
func (s *Service) SendToDevice(ctx context.Context, t ToDevice) error {
	if len(t.Type) > maxTxnID || len(t.TxnID) > maxTxnID {
		return fmt.Errorf("%w: an event type and a transaction id have at most %d bytes", ErrInvalid, maxTxnID)
	}
	named, general, err := s.messages(t)
	if err != nil {
		return err
	}
	for part := 0; len(named) > 0; part++ {
		n, size := 0, 0
		for n < len(named) && n < messagesAtOnce && size < bytesAtOnce {
			size += len(named[n].Content)
			n++
		}
		if err := s.queue(ctx, t, strconv.Itoa(part), named[:n]); err != nil {
			return err
		}
		named = named[n:]
	}
	for _, m := range general {
		if err := s.sendToAll(ctx, t, m); err != nil {
			return err
		}
	}
	return nil
}

// messages checks all of a request before any of it is queued. It returns the
// messages for devices by name and those for all devices of a user, in order.
func (s *Service) messages(t ToDevice) (named, general []store.ToDeviceMessage, err error) {
	for _, user := range sortedKeys(t.Messages) {
		if user.Server() != s.server {
			continue
		}
		for _, device := range sortedKeys(t.Messages[user]) {
			body, err := t.body(t.Messages[user][device])
			if err != nil {
				return nil, nil, err
			}
			m := store.ToDeviceMessage{UserID: string(user), DeviceID: device, Content: body}
			if device == allDevices {
				general = append(general, m)
			} else {
				named = append(named, m)
			}
		}
	}
	return named, general, nil
}

// sendToAll queues a message for all devices of a user. Which part a device
// is in depends on its name, so that it does not matter to a repetition when
// devices came or went.
func (s *Service) sendToAll(ctx context.Context, t ToDevice, m store.ToDeviceMessage) error {
	devices, err := s.store.DeviceIDs(ctx, m.UserID)
	if err != nil {
		return fmt.Errorf("read devices: %w", err)
	}
	parts := make([][]store.ToDeviceMessage, 1+len(m.Content)/sharedContent)
	for _, device := range devices {
		if _, ok := t.Messages[event.UserID(m.UserID)][device]; ok {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(device)) // never fails
		i := int(h.Sum32() % uint32(len(parts)))
		m.DeviceID = device
		parts[i] = append(parts[i], m)
	}
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		if err := s.queue(ctx, t, m.UserID+"/"+strconv.Itoa(i), part); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) queue(ctx context.Context, t ToDevice, part string, messages []store.ToDeviceMessage) error {
	txn := store.TxnKey{
		UserID: string(t.Sender), DeviceID: t.SenderDevice,
		Request: "sendToDevice/" + t.Type + "/" + t.TxnID + "/" + part,
	}
	if err := s.store.SendToDevice(ctx, txn, s.now().UnixMilli(), messages); err != nil {
		return fmt.Errorf("queue messages: %w", err)
	}
	return nil
}

// body is the event as the receiving device will see it.
func (t ToDevice) body(content json.RawMessage) ([]byte, error) {
	if len(content) > maxToDeviceBytes {
		return nil, fmt.Errorf("%w: the content of a to-device message may have %d bytes", ErrTooLarge, maxToDeviceBytes)
	}
	canonical, err := event.Canonical(content, false)
	if err != nil || canonical[0] != '{' {
		return nil, fmt.Errorf("%w: the content of a to-device message must be an object", ErrInvalid)
	}
	body := append([]byte(`{"content":`), canonical...)
	body = event.AppendString(append(body, `,"sender":`...), string(t.Sender))
	return append(event.AppendString(append(body, `,"type":`...), t.Type), '}'), nil
}

// ToDevice returns up to limit messages for a device with after < position <= upTo.
func (s *Service) ToDevice(ctx context.Context, user event.UserID, device string, after, upTo int64, limit int) ([]store.ToDeviceMessage, error) {
	return s.store.ToDevice(ctx, string(user), device, after, upTo, limit)
}

// DeleteToDevice forgets the messages up to a position that the device has confirmed.
func (s *Service) DeleteToDevice(ctx context.Context, user event.UserID, device string, upTo int64) error {
	return s.store.DeleteToDevice(ctx, string(user), device, upTo)
}
