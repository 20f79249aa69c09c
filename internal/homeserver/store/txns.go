// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
)

// TxnKey identifies a request that must be carried out once: the sender, its
// device, and method and path with the transaction id.
// https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
type TxnKey struct{ UserID, DeviceID, Request string }

// hash is what the events table keeps of k: 16 bytes that nobody can make
// collide with those of another user.
func (k TxnKey) hash() []byte {
	h := sha256.New()
	for _, part := range []string{k.UserID, k.DeviceID, k.Request} {
		var length [8]byte
		for i, n := 0, len(part); i < len(length); i, n = i+1, n>>8 {
			length[i] = byte(n)
		}
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:16]
}

const (
	claimTxn = `INSERT INTO txns (user_id, device_id, request, created_ts) VALUES ($1, $2, $3, $4)
	ON CONFLICT (user_id, device_id, request) DO NOTHING`
	deleteTxns       = `DELETE FROM txns WHERE created_ts < $1`
	selectEventByTxn = `SELECT event_id, stream_pos FROM events WHERE txn = $1`
)

// ClaimTxn notes that the request key is carried out by this transaction;
// false if it was before. now is in milliseconds since 1970. It is for
// requests that send no event; those are known by the event (TxnEvent).
func (tx *Tx) ClaimTxn(ctx context.Context, key TxnKey, now int64) (fresh bool, err error) {
	n, err := tx.Exec(ctx, claimTxn, key.UserID, []byte(key.DeviceID), []byte(key.Request), now)
	return n > 0, err
}

// DeleteTxnsBefore forgets requests that were claimed before a time, in
// milliseconds since 1970.
func (s *Store) DeleteTxnsBefore(ctx context.Context, before int64) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(deleteTxns, before)
		return nil
	})
}

// TxnEvent returns the id and the position of the event that the request sent, or ErrNotFound.
func (s *Store) TxnEvent(ctx context.Context, key TxnKey) (id string, pos int64, err error) {
	scan := func(row scanner) (int64, error) { return pos, row.Scan(&id, &pos) }
	_, err = queryOne(ctx, s, scan, selectEventByTxn, key.hash())
	return id, pos, err
}
