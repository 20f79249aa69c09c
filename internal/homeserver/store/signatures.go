// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
)

// CrossSigningKey is one of the three cross-signing keys of a user: a JSON
// object without signatures. PublicKey is the key in base64.
type CrossSigningKey struct {
	UserID, Usage, PublicKey string
	Keys                     []byte
}

// KeySignature is a verified signature on a key of UserID. KeyID is a device
// id or the public part of a cross-signing key.
type KeySignature struct {
	UserID, KeyID, Signer, SigningKey, Signature string
}

// CrossSigningChange replaces cross-signing keys of a user.
type CrossSigningChange struct {
	UserID string
	// Keys are the new keys. One that equals the stored one is not changed,
	// but then it has to be the stored one still.
	Keys []CrossSigningKey
	// Old are the keys as they were when the change was allowed.
	Old []CrossSigningKey
	// Drop are the usages of old keys that go without replacement.
	Drop []string
	// Signatures are verified signatures on the keys.
	Signatures []KeySignature
}

const (
	insertCrossSigning = `INSERT INTO cross_signing_keys (user_id, usage, public_key, keys) VALUES ($1, $2, $3, $4)
	ON CONFLICT (user_id, usage) DO NOTHING`
	replaceCrossSigning = `UPDATE cross_signing_keys SET public_key = $1, keys = $2 WHERE user_id = $3 AND usage = $4 AND keys = $5`
	deleteCrossSigning  = `DELETE FROM cross_signing_keys WHERE user_id = $1 AND usage = $2 AND keys = $3`
	selectCrossSigning  = `SELECT user_id, usage, public_key, keys FROM cross_signing_keys WHERE user_id IN `
	selectCrossSigner   = `SELECT 1 FROM cross_signing_keys WHERE user_id = $1 AND public_key = $2`
	upsertSignature     = `INSERT INTO key_signatures (user_id, key_id, signer, signing_key, signature) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (user_id, key_id, signer, signing_key) DO UPDATE SET signature = excluded.signature`
	selectSignatures = `SELECT user_id, key_id, signer, signing_key, signature FROM key_signatures
	WHERE (signer = user_id OR signer = $1) AND user_id IN `
	selectSignedSince = `SELECT DISTINCT user_id FROM signature_changes WHERE signer = $1 AND stream_pos > $2 AND stream_pos <= $3`
)

var insertSignatureChange = &Insert{Table: "signature_changes", Columns: "signer, stream_pos, user_id"}

// ChangeCrossSigning stores keys of one user. Signatures on and by the keys
// that they replace are dropped.
//
// Errors: ErrConflict when the stored keys are not c.Old any more.
func (s *Store) ChangeCrossSigning(ctx context.Context, c CrossSigningChange) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		old := map[string]CrossSigningKey{}
		for _, k := range c.Old {
			old[k.Usage] = k
		}
		for _, k := range c.Keys {
			if err := tx.putCrossSigning(ctx, k, old[k.Usage]); err != nil {
				return err
			}
		}
		for _, usage := range c.Drop {
			n, err := tx.Exec(ctx, deleteCrossSigning, c.UserID, usage, old[usage].Keys)
			if err != nil {
				return err
			}
			if n == 0 {
				return ErrConflict
			}
			tx.forgetSigner(old[usage])
		}
		for _, sig := range c.Signatures {
			tx.putSignature(sig)
		}
		tx.deviceListChanged(c.UserID)
		return nil
	})
}

// putCrossSigning is a compare-and-set: of two devices that set up
// cross-signing at once, one has to see the keys of the other.
func (tx *Tx) putCrossSigning(ctx context.Context, k, old CrossSigningKey) error {
	var n int64
	var err error
	if old.Keys == nil {
		n, err = tx.Exec(ctx, insertCrossSigning, k.UserID, k.Usage, []byte(k.PublicKey), k.Keys)
	} else {
		n, err = tx.Exec(ctx, replaceCrossSigning, []byte(k.PublicKey), k.Keys, k.UserID, k.Usage, old.Keys)
	}
	if err == nil && n == 0 {
		return ErrConflict
	}
	if err == nil && old.Keys != nil && old.PublicKey != k.PublicKey {
		tx.forgetSigner(old)
	}
	return err
}

// forgetSigner drops the signatures on and by a cross-signing key.
func (tx *Tx) forgetSigner(k CrossSigningKey) {
	tx.Later(deleteSignaturesOn, k.UserID, []byte(k.PublicKey))
	tx.Later(deleteSignaturesBy, k.UserID, []byte("ed25519:"+k.PublicKey))
}

func (tx *Tx) putSignature(sig KeySignature) {
	tx.Later(upsertSignature, sig.UserID, []byte(sig.KeyID), sig.Signer, []byte(sig.SigningKey), []byte(sig.Signature))
}

func scanCrossSigning(row scanner) (CrossSigningKey, error) {
	var k CrossSigningKey
	var public []byte
	err := row.Scan(&k.UserID, &k.Usage, &public, &k.Keys)
	k.PublicKey = string(public)
	return k, err
}

// CrossSigningKeysOf returns the cross-signing keys of users.
func (s *Store) CrossSigningKeysOf(ctx context.Context, users []string) ([]CrossSigningKey, error) {
	return queryUsers(ctx, s, scanCrossSigning, selectCrossSigning, users)
}

// IsCrossSigningKey reports whether name is the public part of one of user's
// cross-signing keys. Devices must not be called like that.
func (s *Store) IsCrossSigningKey(ctx context.Context, user, name string) (bool, error) {
	found, err := queryAll(ctx, s, scanInt64, selectCrossSigner, user, []byte(name))
	return len(found) > 0, err
}

func scanSignature(row scanner) (KeySignature, error) {
	var sig KeySignature
	var keyID, signingKey, signature []byte
	err := row.Scan(&sig.UserID, &keyID, &sig.Signer, &signingKey, &signature)
	sig.KeyID, sig.SigningKey, sig.Signature = string(keyID), string(signingKey), string(signature)
	return sig, err
}

// SignaturesOn returns the signatures on keys of users that viewer may see:
// those by the keys' owner and by viewer.
func (s *Store) SignaturesOn(ctx context.Context, users []string, viewer string) ([]KeySignature, error) {
	return queryUsers(ctx, s, scanSignature, selectSignatures, users, viewer)
}

// PutSignatures stores verified signatures that signer made. Those on the
// signer's own keys change the device list that everybody sees; those on
// others' keys are only the signer's business.
func (s *Store) PutSignatures(ctx context.Context, signer string, signatures []KeySignature) error {
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		own, others := false, map[string]bool{}
		for _, sig := range signatures {
			tx.putSignature(sig)
			own = own || sig.UserID == signer
			if sig.UserID != signer && !others[sig.UserID] {
				others[sig.UserID] = true
				pos := tx.Change(Change{Kind: ChangeSignature, UserID: signer})
				tx.Insert(insertSignatureChange, signer, pos, sig.UserID)
			}
		}
		if own {
			tx.deviceListChanged(signer)
		}
		return nil
	})
}

// SignedBetween returns the users whose keys signer signed with from < position <= to.
func (s *Store) SignedBetween(ctx context.Context, signer string, from, to int64) ([]string, error) {
	return queryAll(ctx, s, scanString, selectSignedSince, signer, from, to)
}
