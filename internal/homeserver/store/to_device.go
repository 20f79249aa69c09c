// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
)

// ToDeviceMessage is one message for one device, as /sync shows it.
type ToDeviceMessage struct {
	UserID, DeviceID string
	Content          []byte // {"type":…,"sender":…,"content":…}
	StreamPos        int64
}

const (
	selectToDevice = `SELECT user_id, device_id, content, stream_pos FROM to_device
	WHERE user_id = $1 AND device_id = $2 AND stream_pos > $3 AND stream_pos <= $4 ORDER BY stream_pos LIMIT $5`
	deleteToDevice     = `DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND stream_pos <= $3`
	dropToDevice       = `DELETE FROM to_device WHERE user_id = $1 AND device_id = $2`
	selectTheseDevices = `SELECT user_id, device_id FROM devices WHERE (user_id, device_id) IN `
)

var insertToDevice = &Insert{Table: "to_device", Columns: "user_id, device_id, stream_pos, content"}

// SendToDevice queues messages unless txn was carried out before: then
// nothing happens. Those for devices that do not exist are passed over. now
// is in milliseconds since 1970.
func (s *Store) SendToDevice(ctx context.Context, txn TxnKey, now int64, messages []ToDeviceMessage) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		known, err := tx.existing(ctx, messages)
		if err != nil {
			return err
		}
		s.forgetTxns(tx, now)
		fresh, err := tx.ClaimTxn(ctx, txn, now)
		if err != nil || !fresh {
			return err
		}
		for _, m := range messages {
			if known[[2]string{m.UserID, m.DeviceID}] {
				pos := tx.Change(Change{Kind: ChangeToDevice, UserID: m.UserID})
				tx.Insert(insertToDevice, m.UserID, []byte(m.DeviceID), pos, m.Content)
			}
		}
		return nil
	})
}

// existing tells which devices there are, of those that messages are for. It
// is part of the transaction, so that no message is left for a device that
// was deleted meanwhile.
func (tx *Tx) existing(ctx context.Context, messages []ToDeviceMessage) (map[[2]string]bool, error) {
	known := make(map[[2]string]bool, len(messages))
	for len(messages) > 0 {
		n := min(len(messages), maxList)
		args := make([]any, 0, 2*padded(n))
		for i := range padded(n) {
			m := messages[min(i, n-1)]
			args = append(args, m.UserID, []byte(m.DeviceID))
		}
		found, err := queryAll(ctx, tx, scanDeviceName, selectTheseDevices+rowValues(1, n), args...)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			known[d] = true
		}
		messages = messages[n:]
	}
	return known, nil
}

func scanDeviceName(row scanner) ([2]string, error) {
	var user string
	var device []byte
	err := row.Scan(&user, &device)
	return [2]string{user, string(device)}, err
}

func scanToDevice(row scanner) (ToDeviceMessage, error) {
	var m ToDeviceMessage
	var device []byte
	err := row.Scan(&m.UserID, &device, &m.Content, &m.StreamPos)
	m.DeviceID = string(device)
	return m, err
}

// ToDevice returns up to limit messages for a device with after < position <= upTo, oldest first.
func (s *Store) ToDevice(ctx context.Context, user, device string, after, upTo int64, limit int) ([]ToDeviceMessage, error) {
	return queryAll(ctx, s, scanToDevice, selectToDevice, user, []byte(device), after, upTo, limit)
}

// DeleteToDevice deletes the messages for a device up to a position, which
// the device has confirmed by using the token behind it.
func (s *Store) DeleteToDevice(ctx context.Context, user, device string, upTo int64) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(deleteToDevice, user, []byte(device), upTo)
		return nil
	})
}
