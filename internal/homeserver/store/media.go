// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// Media is an uploaded file; its content lies elsewhere.
type Media struct {
	ID, UserID string
	SHA256     []byte
	Size       int64 // bytes
	// ContentType and FileName are as the uploader said.
	ContentType, FileName string
	CreatedTS             int64 // unix milliseconds
}

// MediaUnit is the least, in bytes, that a file counts: an empty one costs
// something too.
const MediaUnit = 4096

// PendingMedia is a media id whose content is still to come.
type PendingMedia struct {
	ID, UserID string
	ExpiresTS  int64 // unix milliseconds
}

var insertMedia = &Insert{
	Table: "media", Columns: "media_id, user_id, sha256, size, content_type, file_name, created_ts",
}

const (
	selectMedia = `SELECT media_id, user_id, sha256, size, content_type, file_name, created_ts FROM media WHERE media_id = $1`
	chargeMedia = `INSERT INTO media_usage (user_id, bytes) VALUES ($1, $2)
	ON CONFLICT (user_id) DO UPDATE SET bytes = media_usage.bytes + excluded.bytes WHERE media_usage.bytes + excluded.bytes <= $3`
	selectUsage         = `SELECT bytes FROM media_usage WHERE user_id = $1`
	insertPending       = `INSERT INTO pending_media (media_id, user_id, expires_ts) VALUES ($1, $2, $3)`
	selectPending       = `SELECT media_id, user_id, expires_ts FROM pending_media WHERE media_id = $1`
	countPending        = `SELECT COUNT(*) FROM pending_media WHERE user_id = $1 AND expires_ts > $2`
	deletePending       = `DELETE FROM pending_media WHERE media_id = $1 AND user_id = $2 AND expires_ts > $3`
	deleteExpiredUnused = `DELETE FROM pending_media WHERE user_id = $1 AND expires_ts <= $2`
)

// AddMedia records an upload.
//
// Errors: ErrTooMany when the user would have more than quota bytes.
func (s *Store) AddMedia(ctx context.Context, m Media, quota int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.addMedia(ctx, m, quota) })
}

func (tx *Tx) addMedia(ctx context.Context, m Media, quota int64) error {
	charge := max(m.Size, MediaUnit)
	if charge > quota {
		return ErrTooMany
	}
	n, err := tx.Exec(ctx, chargeMedia, m.UserID, charge, quota)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrTooMany
	}
	tx.Insert(insertMedia, m.ID, m.UserID, m.SHA256, m.Size, []byte(m.ContentType), []byte(m.FileName), m.CreatedTS)
	return nil
}

// FinishMedia records the upload of what AddPendingMedia announced.
//
// Errors: ErrTooMany when the user would have more than quota bytes,
// ErrNotFound when nothing is pending of that id and user at m.CreatedTS, or no longer.
func (s *Store) FinishMedia(ctx context.Context, m Media, quota int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.addMedia(ctx, m, quota); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, deletePending, m.ID, m.UserID, m.CreatedTS)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		tx.Change(Change{Kind: ChangeMedia, UserID: m.UserID})
		return err
	})
}

func scanMedia(row scanner) (Media, error) {
	var m Media
	var contentType, name []byte
	err := row.Scan(&m.ID, &m.UserID, &m.SHA256, &m.Size, &contentType, &name, &m.CreatedTS)
	m.ContentType, m.FileName = string(contentType), string(name)
	return m, err
}

// Media returns an upload, or ErrNotFound.
func (s *Store) Media(ctx context.Context, id string) (Media, error) {
	return queryOne(ctx, s, scanMedia, selectMedia, id)
}

// MediaUsage returns how many bytes a user has uploaded, every file as at least MediaUnit.
func (s *Store) MediaUsage(ctx context.Context, user string) (int64, error) {
	bytes, err := queryOne(ctx, s, scanInt64, selectUsage, user)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return bytes, err
}

// AddPendingMedia announces an upload. What the user announced earlier and
// has expired at now, in unix milliseconds, is forgotten.
//
// Errors: ErrTooMany when atMost others are pending.
func (s *Store) AddPendingMedia(ctx context.Context, p PendingMedia, now, atMost int64) error {
	// Asked before as well: what is refused here costs other writers nothing.
	if n, err := queryOne(ctx, s, scanInt64, countPending, p.UserID, now); err != nil || n >= atMost {
		return tooMany(err)
	}
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		// Other replicas that count the same user's wait here.
		if _, err := tx.Exec(ctx, lockUser, p.UserID); err != nil {
			return err
		}
		if n, err := queryOne(ctx, tx, scanInt64, countPending, p.UserID, now); err != nil || n >= atMost {
			return tooMany(err)
		}
		tx.Later(deleteExpiredUnused, p.UserID, now)
		_, err := tx.Exec(ctx, insertPending, p.ID, p.UserID, p.ExpiresTS)
		return err
	})
}

// tooMany is ErrTooMany unless something else is wrong.
func tooMany(err error) error {
	if err != nil {
		return err
	}
	return ErrTooMany
}

// PendingMedia returns an announced upload, which may have expired, or ErrNotFound.
func (s *Store) PendingMedia(ctx context.Context, id string) (PendingMedia, error) {
	return queryOne(ctx, s, func(row scanner) (PendingMedia, error) {
		var p PendingMedia
		err := row.Scan(&p.ID, &p.UserID, &p.ExpiresTS)
		return p, err
	}, selectPending, id)
}
