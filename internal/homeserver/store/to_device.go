// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// ToDeviceMessage is one message for one device, as /sync shows it.
type ToDeviceMessage struct {
	UserID, DeviceID string
	Content          []byte // {"type":…,"sender":…,"content":…}
	StreamPos        int64
}

const (
	selectToDevice = `SELECT user_id, device_id, content, stream_pos FROM to_device
	WHERE user_id = $1 AND device_id = $2 AND stream_pos > $3 AND stream_pos <= $4 ORDER BY stream_pos LIMIT $5`
	deleteToDevice = `DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND stream_pos <= $3`
)

var insertToDevice = &Insert{Table: "to_device", Columns: "user_id, device_id, stream_pos, content"}

// SendToDevice queues messages, all of one request, unless txn was carried
// out before: then nothing happens. now is in milliseconds since 1970.
func (s *Store) SendToDevice(ctx context.Context, txn TxnKey, now int64, messages []ToDeviceMessage) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		fresh, err := tx.ClaimTxn(ctx, txn, now)
		if err != nil || !fresh {
			return err
		}
		for _, m := range messages {
			pos := tx.Change(Change{Kind: ChangeToDevice, UserID: m.UserID})
			tx.Insert(insertToDevice, m.UserID, []byte(m.DeviceID), pos, m.Content)
		}
		return nil
	})
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
