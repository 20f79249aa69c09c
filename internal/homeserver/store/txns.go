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
	// As many as do not hold up the writer.
	deleteTxns = `DELETE FROM txns WHERE created_ts < $1 AND created_ts <=
	(SELECT MAX(created_ts) FROM (SELECT created_ts FROM txns ORDER BY created_ts LIMIT 10000) oldest)`
	selectEventByTxn = `SELECT event_id, stream_pos FROM events WHERE txn = $1`
)

// ClaimTxn notes that the request key is carried out by this transaction;
// false if it was before. now is in milliseconds since 1970. It is for
// requests that send no event; those are known by the event (TxnEvent).
func (tx *Tx) ClaimTxn(ctx context.Context, key TxnKey, now int64) (fresh bool, err error) {
	n, err := tx.Exec(ctx, claimTxn, key.UserID, []byte(key.DeviceID), []byte(key.Request), now)
	return n > 0, err
}

// txnLife is for how long a request is known that was carried out, and
// forgetInterval how often those that are older are looked for, in milliseconds.
const (
	txnLife        = 24 * 60 * 60 * 1000
	forgetInterval = 60 * 1000
)

// forgetTxns forgets, now and then, requests that nobody repeats any more: as
// part of a transaction that claims another, so that an idle server stays idle.
func (s *Store) forgetTxns(tx *Tx, now int64) {
	last := s.forgotTxns.Load()
	if now-last >= forgetInterval && s.forgotTxns.CompareAndSwap(last, now) {
		tx.Later(deleteTxns, now-txnLife)
	}
}

// TxnEvent returns the id and the position of the event that the request sent, or ErrNotFound.
func (s *Store) TxnEvent(ctx context.Context, key TxnKey) (id string, pos int64, err error) {
	scan := func(row scanner) (int64, error) { return pos, row.Scan(&id, &pos) }
	_, err = queryOne(ctx, s, scan, selectEventByTxn, key.hash())
	return id, pos, err
}
