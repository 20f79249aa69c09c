// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The usages of cross-signing keys.
const (
	usageMaster      = "master"
	usageSelfSigning = "self_signing"
	usageUserSigning = "user_signing"
)

// CrossSigning is a POST /keys/device_signing/upload; absent keys are nil.
type CrossSigning struct{ Master, SelfSigning, UserSigning json.RawMessage }

// crossSigningKeys returns the stored cross-signing keys of one user, by usage.
func (s *Service) crossSigningKeys(ctx context.Context, user string) (map[string]signedObject, error) {
	all, err := s.store.CrossSigningKeysOf(ctx, []string{user})
	if err != nil {
		return nil, fmt.Errorf("read cross-signing keys: %w", err)
	}
	byUsage := map[string]signedObject{}
	for _, k := range all {
		object, err := parseSigned(k.Keys, "stored "+k.Usage+" key")
		if err != nil {
			return nil, err
		}
		byUsage[k.Usage] = object
	}
	return byUsage, nil
}

// ReplacesCrossSigning tells whether the upload would replace a master key
// that exists, which needs the user to authenticate again; the first upload
// and a repeated one do not.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
func (s *Service) ReplacesCrossSigning(ctx context.Context, user event.UserID, u CrossSigning) (bool, error) {
	stored, err := s.crossSigningKeys(ctx, string(user))
	if err != nil {
		return false, err
	}
	if _, ok := stored[usageMaster]; !ok {
		return false, nil
	}
	for usage, raw := range u.byUsage() {
		key, err := parseSigned(raw, usage+" key")
		if err != nil {
			return false, err
		}
		if old, ok := stored[usage]; !ok || !old.sameKey(key) {
			return true, nil
		}
	}
	return false, nil
}

func (u CrossSigning) byUsage() map[string]json.RawMessage {
	given := map[string]json.RawMessage{}
	for usage, raw := range map[string]json.RawMessage{
		usageMaster: u.Master, usageSelfSigning: u.SelfSigning, usageUserSigning: u.UserSigning,
	} {
		if raw != nil {
			given[usage] = raw
		}
	}
	return given
}

// UploadCrossSigning stores cross-signing keys. The signing keys must be
// signed by the master key that is uploaded with them or stored already.
//
// Errors: ErrInvalid, ErrNoMasterKey, ErrSignature.
func (s *Service) UploadCrossSigning(ctx context.Context, user event.UserID, u CrossSigning) error {
	keys := map[string]signedObject{}
	for usage, raw := range u.byUsage() {
		key, err := parseCrossSigning(user, usage, raw)
		if err != nil {
			return err
		}
		keys[usage] = key
	}
	stored, err := s.crossSigningKeys(ctx, string(user))
	if err != nil {
		return err
	}
	master, ok := keys[usageMaster]
	if !ok {
		master, ok = stored[usageMaster]
	}
	if !ok {
		return fmt.Errorf("%w: upload a master key first", ErrNoMasterKey)
	}
	if err := signedByMaster(user, master, keys); err != nil {
		return err
	}
	var changed []store.CrossSigningKey
	for _, usage := range sortedKeys(keys) {
		if old, ok := stored[usage]; !ok || !old.sameKey(keys[usage]) {
			changed = append(changed, store.CrossSigningKey{UserID: string(user), Usage: usage, Keys: keys[usage].raw})
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := s.store.PutCrossSigningKeys(ctx, string(user), changed, nil); err != nil {
		return fmt.Errorf("store cross-signing keys: %w", err)
	}
	return nil
}

// parseCrossSigning checks the shape of one cross-signing key.
func parseCrossSigning(user event.UserID, usage string, raw json.RawMessage) (signedObject, error) {
	key, err := parseSigned(raw, usage+" key")
	if err != nil {
		return key, err
	}
	if got, _ := key.fields.String("user_id"); got != string(user) {
		return key, fmt.Errorf("%w: user_id of the %s key must be %s", ErrInvalid, usage, user)
	}
	found := false
	list, _ := key.fields.Get("usage")
	event.EachElement(list, func(value []byte) bool {
		got, _ := event.StringValue(value)
		found = found || got == usage
		return true
	})
	if !found {
		return key, fmt.Errorf("%w: usage of the %s key must contain %q", ErrInvalid, usage, usage)
	}
	_, _, err = key.publicKey()
	return key, err
}

func signedByMaster(user event.UserID, master signedObject, keys map[string]signedObject) error {
	id, public, err := master.publicKey()
	if err != nil {
		return err
	}
	for _, usage := range []string{usageSelfSigning, usageUserSigning} {
		if key, ok := keys[usage]; ok {
			if err := key.verify(string(user), id, public); err != nil {
				return err
			}
		}
	}
	return nil
}

// queryCrossSigning adds the cross-signing keys of the users asked for.
func (s *Service) queryCrossSigning(ctx context.Context, answer *Keys, viewer string, signatures map[keyName][]store.KeySignature) error {
	all, err := s.store.CrossSigningKeysOf(ctx, sortedKeys(answer.Devices))
	if err != nil {
		return fmt.Errorf("read cross-signing keys: %w", err)
	}
	for _, k := range all {
		key, err := parseSigned(k.Keys, "stored "+k.Usage+" key")
		if err != nil {
			return err
		}
		id, _, err := key.publicKey()
		if err != nil {
			return err
		}
		out := key.merged(signatures[keyName{k.UserID, publicPart(id)}])
		switch k.Usage {
		case usageMaster:
			answer.Master[k.UserID] = out
		case usageSelfSigning:
			answer.SelfSigning[k.UserID] = out
		case usageUserSigning:
			// Only its owner may see whom a user has verified.
			if k.UserID == viewer {
				answer.UserSigning[k.UserID] = out
			}
		}
	}
	return nil
}
