// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// UploadSignatures stores the signatures that signer made: user → key id →
// signed object. What does not verify is not stored and comes back as a
// failure, by user and key id; the rest is stored.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (s *Service) UploadSignatures(ctx context.Context, signer event.UserID, objects map[event.UserID]map[string]json.RawMessage) (map[event.UserID]map[string]error, error) {
	users := make([]string, 0, len(objects))
	for user := range objects {
		users = append(users, string(user))
	}
	own, err := s.ownKeys(ctx, string(signer))
	if err != nil {
		return nil, err
	}
	cross, err := s.crossSigningKeysOf(ctx, users)
	if err != nil {
		return nil, err
	}
	stored, err := s.store.SignaturesOn(ctx, users, string(signer))
	if err != nil {
		return nil, fmt.Errorf("read signatures: %w", err)
	}
	own.signatures = stored
	failures := map[event.UserID]map[string]error{}
	var good []store.KeySignature
	for user, byKey := range objects {
		for _, keyID := range sortedKeys(byKey) {
			signatures, err := own.check(string(user), cross[string(user)], keyID, byKey[keyID])
			if err != nil && !isRefusal(err) {
				return nil, err
			}
			if err != nil {
				if failures[user] == nil {
					failures[user] = map[string]error{}
				}
				failures[user][keyID] = err
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

// ownKeys are the keys of a user, and signatures that are stored already.
type ownKeys struct {
	user       string
	devices    map[string][]byte
	public     keySet // the signing keys of the devices
	cross      crossSigningKeys
	signatures []store.KeySignature
}

func (s *Service) ownKeys(ctx context.Context, user string) (ownKeys, error) {
	own := ownKeys{user: user, devices: map[string][]byte{}, public: keySet{}}
	ids, err := s.store.DeviceIDs(ctx, user)
	if err != nil {
		return own, fmt.Errorf("read devices: %w", err)
	}
	for _, id := range ids {
		own.devices[id] = nil // a device without keys
	}
	devices, err := s.store.DeviceKeysOf(ctx, []string{user})
	if err != nil {
		return own, fmt.Errorf("read device keys: %w", err)
	}
	for _, k := range devices {
		object, err := parseSigned(k.Keys, "stored device keys")
		if err != nil {
			return own, err
		}
		key, err := object.deviceKey(k.DeviceID)
		if err != nil {
			return own, err
		}
		own.devices[k.DeviceID] = k.Keys
		if key != nil {
			own.public[signingAlgorithm+k.DeviceID] = key
		}
	}
	if own.cross, err = s.crossSigningKeys(ctx, user); err != nil {
		return own, err
	}
	if own.signatures, err = s.store.SignaturesOn(ctx, []string{user}, user); err != nil {
		return own, fmt.Errorf("read signatures: %w", err)
	}
	return own, nil
}

// devicesAnd returns the signing keys of the devices and some more.
func (own ownKeys) devicesAnd(more keySet) keySet {
	all := maps.Clone(own.public)
	maps.Copy(all, more)
	return all
}

// check verifies the signatures that the user made on a key of another user,
// or on one of the user's own. It returns those that are new.
func (own ownKeys) check(user string, cross crossSigningKeys, keyID string, raw json.RawMessage) ([]store.KeySignature, error) {
	object, err := parseSigned(raw, "signed key")
	if err != nil {
		return nil, err
	}
	target, allowed, err := own.target(user, cross, keyID)
	if err != nil {
		return nil, err
	}
	if !object.same(target) {
		return nil, fmt.Errorf("%w: the signed object is not the key %s that is stored", ErrSignature, keyID)
	}
	signatures, err := object.verified(own.user, allowed, user, keyID)
	if err != nil {
		return nil, err
	}
	fresh := without(signatures, own.signatures)
	// What is stored may come along; but then something else has to be new, or nothing.
	if len(fresh) == 0 && (len(signatures) == 0 || len(signatures) < len(object.signatures[own.user])) {
		return nil, fmt.Errorf("%w: none is by a key of yours that may sign this key", ErrSignature)
	}
	return fresh, nil
}

// target finds the stored key that is signed, and the keys that may sign it:
// own devices are signed by themselves and the self-signing key, the own
// master key by itself and own devices, and the master key of another user by
// the user-signing key.
func (own ownKeys) target(user string, cross crossSigningKeys, keyID string) ([]byte, keySet, error) {
	allowed := keySet{}
	if device := own.devices[keyID]; user == own.user && device != nil {
		if key, ok := own.public[signingAlgorithm+keyID]; ok {
			allowed[signingAlgorithm+keyID] = key
		}
		return device, allowed, own.cross.addTo(allowed, usageSelfSigning)
	}
	master, ok := cross[usageMaster]
	if !ok || master.PublicKey != keyID {
		return nil, nil, fmt.Errorf("%w: no key %s of %s", store.ErrNotFound, keyID, user)
	}
	if user != own.user {
		return master.Keys, allowed, own.cross.addTo(allowed, usageUserSigning)
	}
	allowed = own.devicesAnd(nil)
	return master.Keys, allowed, own.cross.addTo(allowed, usageMaster)
}
