// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// publicPart is a key id without its algorithm.
func publicPart(keyID string) string {
	_, public, _ := strings.Cut(keyID, ":")
	return public
}

// UploadSignatures stores the signatures that signer made: user → key id →
// signed object. What does not verify is not stored and comes back as a
// failure, by user and key id; the rest is stored.
func (s *Service) UploadSignatures(ctx context.Context, signer event.UserID, objects map[event.UserID]map[string]json.RawMessage) (map[string]map[string]error, error) {
	own, err := s.ownKeys(ctx, string(signer))
	if err != nil {
		return nil, err
	}
	failures := map[string]map[string]error{}
	var good []store.KeySignature
	for user, byKey := range objects {
		for keyID, raw := range byKey {
			signatures, err := s.checkSigned(ctx, own, user, keyID, raw)
			if err != nil && !isRefusal(err) {
				return nil, err
			}
			if err != nil {
				if failures[string(user)] == nil {
					failures[string(user)] = map[string]error{}
				}
				failures[string(user)][keyID] = err
			}
			good = append(good, signatures...)
		}
	}
	if len(good) == 0 {
		return failures, nil
	}
	if err := s.store.PutSignatures(ctx, string(signer), good); err != nil {
		return nil, fmt.Errorf("store signatures: %w", err)
	}
	return failures, nil
}

// isRefusal tells a bad upload from a failing server.
func isRefusal(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrSignature) ||
		errors.Is(err, ErrTooLarge) || errors.Is(err, store.ErrNotFound)
}

// signerKeys are the keys with which a user may sign.
type signerKeys struct {
	user    string
	devices map[string]signedObject
	cross   map[string]signedObject
}

func (s *Service) ownKeys(ctx context.Context, user string) (signerKeys, error) {
	keys := signerKeys{user: user, devices: map[string]signedObject{}}
	devices, err := s.store.DeviceKeysOf(ctx, []string{user})
	if err != nil {
		return keys, fmt.Errorf("read device keys: %w", err)
	}
	for _, k := range devices {
		if keys.devices[k.DeviceID], err = parseSigned(k.Keys, "stored device keys"); err != nil {
			return keys, err
		}
	}
	keys.cross, err = s.crossSigningKeys(ctx, user)
	return keys, err
}

// checkSigned verifies the signatures that own.user put on a key of user.
func (s *Service) checkSigned(ctx context.Context, own signerKeys, user event.UserID, keyID string, raw json.RawMessage) ([]store.KeySignature, error) {
	object, err := parseSigned(raw, "signed key")
	if err != nil {
		return nil, err
	}
	target, allowed, err := s.target(ctx, own, string(user), keyID)
	if err != nil {
		return nil, err
	}
	if !target.sameKey(object) {
		return nil, fmt.Errorf("%w: the signed object is not the key %s that is stored", ErrInvalid, keyID)
	}
	var signatures []store.KeySignature
	for _, id := range sortedKeys(object.signatures()[own.user]) {
		if target.signatures()[own.user][id] == object.signatures()[own.user][id] {
			continue // stored with the key already
		}
		key, ok := allowed[id]
		if !ok {
			return nil, fmt.Errorf("%w: %s may not sign this key", ErrSignature, id)
		}
		if err := object.verify(own.user, id, key); err != nil {
			return nil, err
		}
		signatures = append(signatures, store.KeySignature{
			UserID: string(user), KeyID: keyID, Signer: own.user, SigningKey: id, Signature: object.signatures()[own.user][id],
		})
	}
	return signatures, nil
}

// target finds the stored key that is signed, and the keys that may sign it:
// own devices are signed by the self-signing key, the own master key by own
// devices, and the master key of another user by the user-signing key.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (s *Service) target(ctx context.Context, own signerKeys, user, keyID string) (signedObject, map[string]ed25519.PublicKey, error) {
	allowed := map[string]ed25519.PublicKey{}
	if user != own.user {
		others, err := s.crossSigningKeys(ctx, user)
		if err != nil {
			return signedObject{}, nil, err
		}
		return ifMaster(others, keyID, allowed, own.allow(allowed, usageUserSigning))
	}
	if device, ok := own.devices[keyID]; ok {
		return device, allowed, own.allow(allowed, usageSelfSigning)
	}
	for id, device := range own.devices {
		key, err := device.deviceKey(id)
		if err == nil {
			allowed["ed25519:"+id] = key
		}
	}
	return ifMaster(own.cross, keyID, allowed, nil)
}

// allow adds the public key of one of the own cross-signing keys.
func (k signerKeys) allow(allowed map[string]ed25519.PublicKey, usage string) error {
	object, ok := k.cross[usage]
	if !ok {
		return fmt.Errorf("%w: you have no %s key", ErrSignature, usage)
	}
	id, key, err := object.publicKey()
	allowed[id] = key
	return err
}

// ifMaster returns the master key among keys if its public part is keyID.
func ifMaster(keys map[string]signedObject, keyID string, allowed map[string]ed25519.PublicKey, err error) (signedObject, map[string]ed25519.PublicKey, error) {
	if err != nil {
		return signedObject{}, nil, err
	}
	master, ok := keys[usageMaster]
	if !ok {
		return signedObject{}, nil, fmt.Errorf("%w: no key %s", store.ErrNotFound, keyID)
	}
	id, _, err := master.publicKey()
	if err == nil && publicPart(id) != keyID {
		err = fmt.Errorf("%w: no key %s", store.ErrNotFound, keyID)
	}
	return master, allowed, err
}
