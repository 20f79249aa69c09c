// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Pusher is where a user's notifications are sent.
type Pusher struct {
	UserID, AppID, PushKey string
	// DeviceID is the device that set it, with which it goes.
	DeviceID string
	Kind     string
	// Names are a JSON object of how clients show it; Data is the client's, URL and all.
	Names, Data []byte
	URL         string
	ChangedTS   int64 // unix milliseconds
	PusherState
}

// PusherState is how far a pusher has come.
type PusherState struct {
	// SentPos: what is up to it was sent, or is not to be.
	SentPos int64
	// Badge is the unread count that was sent last.
	Badge int64
	// Failures is how often in a row it has failed, RetryTS when it may be tried again, in unix milliseconds.
	Failures, RetryTS int64
}

const (
	selectPushers = `SELECT user_id, app_id, pushkey, device_id, kind, names, url, data, changed_ts, sent_pos, badge, failures, retry_ts
	FROM pushers WHERE user_id = $1 ORDER BY app_id, pushkey`
	selectPusherUsers = `SELECT DISTINCT user_id FROM pushers ORDER BY user_id`
	countPushers      = `SELECT COUNT(*) FROM pushers WHERE user_id = $1 AND NOT (app_id = $2 AND pushkey = $3)`
	upsertPusher      = `INSERT INTO pushers (user_id, app_id, pushkey, device_id, kind, names, url, data, changed_ts, sent_pos, badge, failures, retry_ts)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0) ON CONFLICT (user_id, app_id, pushkey) DO UPDATE
	SET device_id = excluded.device_id, kind = excluded.kind, names = excluded.names, url = excluded.url, data = excluded.data,
	changed_ts = excluded.changed_ts, failures = 0, retry_ts = 0`
	selectRivals          = `SELECT user_id FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_id <> $3`
	deletePusher          = `DELETE FROM pushers WHERE user_id = $1 AND app_id = $2 AND pushkey = $3`
	deletePushersOfDevice = `DELETE FROM pushers WHERE user_id = $1 AND device_id = $2`
	movePusher            = `UPDATE pushers SET sent_pos = $1, badge = $2, failures = $3, retry_ts = $4
	WHERE user_id = $5 AND app_id = $6 AND pushkey = $7 AND changed_ts = $8
	AND EXISTS (SELECT 1 FROM leases WHERE name = $9 AND owner = $10)`
)

func scanPusher(row scanner) (Pusher, error) {
	var p Pusher
	var app, key, device, url []byte
	err := row.Scan(&p.UserID, &app, &key, &device, &p.Kind, &p.Names, &url, &p.Data, &p.ChangedTS,
		&p.SentPos, &p.Badge, &p.Failures, &p.RetryTS)
	p.AppID, p.PushKey, p.DeviceID, p.URL = string(app), string(key), string(device), string(url)
	return p, err
}

// Pushers returns the pushers of a user.
func (s *Store) Pushers(ctx context.Context, user string) ([]Pusher, error) {
	return queryAll(ctx, s, scanPusher, selectPushers, user)
}

// PusherUsers returns the users who have pushers.
func (s *Store) PusherUsers(ctx context.Context) ([]string, error) {
	return queryAll(ctx, s, scanString, selectPusherUsers)
}

// SetPusher makes or changes a pusher; a new one begins with what happens from
// now on. Unless others stay, the pushers of other users with the same app and
// key go: the device is somebody else's now.
//
// Errors: ErrTooMany when the user has limit others.
func (s *Store) SetPusher(ctx context.Context, p Pusher, othersStay bool, limit int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		app, key := []byte(p.AppID), []byte(p.PushKey)
		if _, err := tx.Exec(ctx, lockUser, p.UserID); err != nil {
			return err
		}
		n, err := queryOne(ctx, tx, scanInt64, countPushers, p.UserID, app, key)
		if err != nil {
			return err
		}
		if n >= limit {
			return ErrTooMany
		}
		var rivals []string
		if !othersStay {
			if rivals, err = queryAll(ctx, tx, scanString, selectRivals, app, key, p.UserID); err != nil {
				return err
			}
		}
		for _, user := range rivals {
			tx.deletePusher(user, p.AppID, p.PushKey)
		}
		pos := tx.Change(Change{Kind: ChangePusher, UserID: p.UserID})
		tx.Later(upsertPusher, p.UserID, app, key, []byte(p.DeviceID), p.Kind, p.Names, []byte(p.URL), p.Data, p.ChangedTS, pos)
		return nil
	})
}

func (tx *Tx) deletePusher(user, app, key string) {
	tx.Change(Change{Kind: ChangePusher, UserID: user})
	tx.Later(deletePusher, user, []byte(app), []byte(key))
}

// DeletePusher deletes a pusher if there is such a one.
func (s *Store) DeletePusher(ctx context.Context, user, app, key string) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.deletePusher(user, app, key)
		return nil
	})
}

// MovePusher notes how far a pusher has come, if it is still the same and the
// lease still its owner's.
func (s *Store) MovePusher(ctx context.Context, p *Pusher, lease Lease) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(movePusher, p.SentPos, p.Badge, p.Failures, p.RetryTS, p.UserID, []byte(p.AppID), []byte(p.PushKey), p.ChangedTS,
			lease.Name, lease.Owner)
		return nil
	})
}
