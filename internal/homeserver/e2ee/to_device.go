// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxToDeviceBytes is the largest content of one message.
const maxToDeviceBytes = 64 << 10

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
// specification has no answer for them.
//
// Errors: ErrInvalid, ErrTooLarge.
func (s *Service) SendToDevice(ctx context.Context, t ToDevice) error {
	var messages []store.ToDeviceMessage
	for user, byDevice := range t.Messages {
		if user.Server() != s.server {
			continue
		}
		known, err := s.store.DeviceIDs(ctx, string(user))
		if err != nil {
			return fmt.Errorf("read devices: %w", err)
		}
		for device, content := range byDevice {
			body, err := t.body(content)
			if err != nil {
				return err
			}
			for _, id := range known {
				if device == allDevices || device == id {
					messages = append(messages, store.ToDeviceMessage{UserID: string(user), DeviceID: id, Content: body})
				}
			}
		}
	}
	txn := store.TxnKey{UserID: string(t.Sender), DeviceID: t.SenderDevice, Request: "sendToDevice/" + t.Type + "/" + t.TxnID}
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
	body, err := json.Marshal(struct {
		Content json.RawMessage `json:"content"`
		Sender  event.UserID    `json:"sender"`
		Type    string          `json:"type"`
	}{canonical, t.Sender, t.Type})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return body, nil
}

// ToDevice returns up to limit messages for a device with after < position <= upTo.
func (s *Service) ToDevice(ctx context.Context, user event.UserID, device string, after, upTo int64, limit int) ([]store.ToDeviceMessage, error) {
	return s.store.ToDevice(ctx, string(user), device, after, upTo, limit)
}

// DeleteToDevice forgets the messages up to a position that the device has confirmed.
func (s *Service) DeleteToDevice(ctx context.Context, user event.UserID, device string, upTo int64) error {
	return s.store.DeleteToDevice(ctx, string(user), device, upTo)
}
