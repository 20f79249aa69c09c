// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// Media is an uploaded file; its content lies elsewhere.
type Media struct {
	ID, UserID string
	SHA256     []byte
	Size       int64 // bytes
	// ContentType and FileName are as the uploader said.
	ContentType, FileName string
	CreatedTS             int64 // unix milliseconds
}

var insertMedia = &Insert{
	Table: "media", Columns: "media_id, user_id, sha256, size, content_type, file_name, created_ts",
}

const selectMedia = `SELECT media_id, user_id, sha256, size, content_type, file_name, created_ts FROM media WHERE media_id = $1`

// AddMedia records an upload.
func (s *Store) AddMedia(ctx context.Context, m Media) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Insert(insertMedia, m.ID, m.UserID, m.SHA256, m.Size, []byte(m.ContentType), []byte(m.FileName), m.CreatedTS)
		return nil
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
