// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

const (
	selectFilter     = `SELECT json FROM filters WHERE user_id = $1 AND filter_id = $2`
	selectFilterID   = `SELECT filter_id FROM filters WHERE user_id = $1 AND json = $2`
	selectLastFilter = `SELECT COALESCE(MAX(filter_id), 0) FROM filters WHERE user_id = $1`
	insertFilter     = `INSERT INTO filters (user_id, filter_id, json) VALUES ($1, $2, $3) ON CONFLICT (user_id, filter_id) DO NOTHING`
	deleteFilters    = `DELETE FROM filters WHERE user_id = $1 AND filter_id <= $2`
)

// filterAttempts is how often a number is tried that another replica may take first.
const filterAttempts = 5

// PutFilter stores a filter and returns its number; the same JSON again has
// the number that it had. Of each user the newest keep filters are kept.
func (s *Store) PutFilter(ctx context.Context, user string, json []byte, keep int64) (int64, error) {
	var id int64
	var err error
	for range filterAttempts {
		id, err = queryOne(ctx, s, scanInt64, selectFilterID, user, json)
		if !errors.Is(err, ErrNotFound) {
			return id, err
		}
		err = s.Do(ctx, func(ctx context.Context, tx *Tx) error {
			id, err = tx.putFilter(ctx, user, json)
			tx.Later(deleteFilters, user, id-keep)
			return err
		})
		if !errors.Is(err, ErrConflict) {
			return id, err
		}
	}
	return 0, err
}

func (tx *Tx) putFilter(ctx context.Context, user string, json []byte) (int64, error) {
	last, err := queryOne(ctx, tx, scanInt64, selectLastFilter, user)
	if err != nil {
		return 0, err
	}
	n, err := tx.Exec(ctx, insertFilter, user, last+1, json)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return last + 1, err
}

// Filter returns a filter's JSON, or ErrNotFound.
func (s *Store) Filter(ctx context.Context, user string, id int64) ([]byte, error) {
	return queryOne(ctx, s, scanBytes, selectFilter, user, id)
}
