// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Device is a device of a local user.
type Device struct {
	UserID, DeviceID, DisplayName string
	CreatedTS                     int64 // unix milliseconds
	LastSeenTS                    int64 // unix milliseconds; some minutes late
	LastSeenIP                    string
	UserAgent                     string // of the last use
}

const (
	insertDevice = `INSERT INTO devices (user_id, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, user_agent)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, device_id) DO NOTHING`
	selectDevices = `SELECT user_id, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, user_agent FROM devices
		WHERE user_id = $1 ORDER BY device_id`
	selectDevice = `SELECT user_id, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, user_agent FROM devices
		WHERE user_id = $1 AND device_id = $2`
	renameDevice  = `UPDATE devices SET display_name = $1 WHERE user_id = $2 AND device_id = $3`
	deleteDevice  = `DELETE FROM devices WHERE user_id = $1 AND device_id = $2`
	updateVisited = `UPDATE devices SET last_seen_ts = $1, last_seen_ip = $2, user_agent = $3
		WHERE user_id = $4 AND device_id = $5 AND last_seen_ts < $1`
	selectOthers = `SELECT device_id FROM devices WHERE user_id = $1 AND device_id <> $2`
	selectOldest = `SELECT device_id FROM devices WHERE user_id = $1 AND device_id <> $2 ORDER BY last_seen_ts DESC, device_id LIMIT 100 OFFSET $3`
)

func scanDevice(row scanner) (Device, error) {
	var d Device
	var id, name, agent []byte
	err := row.Scan(&d.UserID, &id, &name, &d.CreatedTS, &d.LastSeenTS, &d.LastSeenIP, &agent)
	d.DeviceID, d.DisplayName, d.UserAgent = string(id), string(name), string(agent)
	return d, err
}

// Devices returns the devices of user, by id.
func (s *Store) Devices(ctx context.Context, user string) ([]Device, error) {
	return queryAll(ctx, s, scanDevice, selectDevices, user)
}

// Device returns one device, or ErrNotFound.
func (s *Store) Device(ctx context.Context, user, device string) (Device, error) {
	return queryOne(ctx, s, scanDevice, selectDevice, user, []byte(device))
}

// DevicesBeyond returns the devices of user other than but, without the
// latest that were seen, in the number of keep: those that were not used for
// longest, a hundred at most.
func (s *Store) DevicesBeyond(ctx context.Context, user, but string, keep int64) ([]string, error) {
	return queryAll(ctx, s, scanText, selectOldest, user, []byte(but), keep)
}

func scanText(row scanner) (string, error) {
	var text []byte
	err := row.Scan(&text)
	return string(text), err
}

// RenameDevice sets a device's display name, or returns ErrNotFound. Others
// see the name along with the device's keys, so their lists change.
func (s *Store) RenameDevice(ctx context.Context, user, device, name string) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, renameDevice, []byte(name), user, []byte(device))
		if err == nil && n == 0 {
			return ErrNotFound
		}
		tx.deviceListChanged(user)
		return err
	})
}

// DeleteDevices deletes devices of user with their access tokens, keys and
// waiting messages. Those that do not exist are skipped.
func (s *Store) DeleteDevices(ctx context.Context, user string, devices []string) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.deleteDevices(ctx, user, devices) })
}

// DeleteOtherDevices is DeleteDevices for all devices of user but keep; an
// empty keep spares none.
func (s *Store) DeleteOtherDevices(ctx context.Context, user, keep string) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.deleteOtherDevices(ctx, user, keep) })
}

func (tx *Tx) deleteOtherDevices(ctx context.Context, user, keep string) error {
	others, err := queryAll(ctx, tx, scanText, selectOthers, user, []byte(keep))
	if err != nil {
		return err
	}
	return tx.deleteDevices(ctx, user, others)
}

func (tx *Tx) deleteDevices(ctx context.Context, user string, devices []string) error {
	some := false
	for _, d := range devices {
		deleted, err := tx.deleteDevice(ctx, user, d)
		if err != nil {
			return err
		}
		some = some || deleted
	}
	if some {
		tx.deviceListChanged(user)
	}
	tx.Change(Change{Kind: ChangeSession, UserID: user})
	return nil
}

// deleteDevice reports whether there was such a device.
func (tx *Tx) deleteDevice(ctx context.Context, user, device string) (bool, error) {
	if err := tx.deleteTokens(ctx, user, []byte(device)); err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, deleteDevice, user, []byte(device))
	if err != nil || n == 0 {
		return false, err
	}
	tx.forgetDeviceKeys(user, device)
	tx.Later(deletePushersOfDevice, user, []byte(device))
	return true, nil
}

// Visit is when and from where a device was last used.
type Visit struct {
	UserID, DeviceID, IP, UserAgent string
	TS                              int64 // unix milliseconds
}

// RecordVisits updates what Device tells of when devices were last seen.
func (s *Store) RecordVisits(ctx context.Context, visits []Visit) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		for _, v := range visits {
			tx.Later(updateVisited, v.TS, v.IP, []byte(v.UserAgent), v.UserID, []byte(v.DeviceID))
		}
		return nil
	})
}

// DeviceIDs returns the ids of the devices of user.
func (s *Store) DeviceIDs(ctx context.Context, user string) ([]string, error) {
	devices, err := s.Devices(ctx, user)
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.DeviceID
	}
	return ids, err
}
