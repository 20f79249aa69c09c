// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Upload is a POST /keys/upload: raw JSON values by algorithm and key id.
type Upload struct {
	DeviceKeys   json.RawMessage
	OneTimeKeys  map[string]json.RawMessage
	FallbackKeys map[string]json.RawMessage
}

const (
	// maxOneTimeKeys is how many one-time keys a device may have; clients keep about 50.
	maxOneTimeKeys = 1000
	maxKeyName     = 255
)

// Upload stores a device's keys, all or none.
//
// Errors: ErrInvalid, ErrTooLarge, ErrKeyTaken, ErrSignature, store.ErrTooMany.
func (s *Service) Upload(ctx context.Context, user event.UserID, device string, u Upload) error {
	upload := store.KeyUpload{UserID: string(user), DeviceID: device, MaxOneTime: maxOneTimeKeys}
	var err error
	if upload.OneTime, err = oneTimeKeys(u.OneTimeKeys); err != nil {
		return err
	}
	if upload.Fallback, err = fallbackKeys(u.FallbackKeys); err != nil {
		return err
	}
	if u.DeviceKeys != nil {
		if err := s.identity(ctx, &upload, u.DeviceKeys); err != nil {
			return err
		}
	}
	if upload.Keys == nil && len(upload.Signatures)+len(upload.OneTime)+len(upload.Fallback) == 0 {
		return nil
	}
	err = s.store.UploadKeys(ctx, upload)
	if errors.Is(err, store.ErrExists) {
		return fmt.Errorf("%w: %w", ErrKeyTaken, err)
	}
	if err != nil {
		return fmt.Errorf("store keys: %w", err)
	}
	return nil
}

// oneTimeKeys parses keys named "<algorithm>:<key id>". Keys are handed out in
// the order of their uploads; within one, where the members of a JSON object
// have no order, the specification wants none, and ours is that of the names.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
func oneTimeKeys(raw map[string]json.RawMessage) ([]store.OneTimeKey, error) {
	keys := make([]store.OneTimeKey, 0, len(raw))
	for _, name := range sortedKeys(raw) {
		algorithm, id, ok := strings.Cut(name, ":")
		if !ok || algorithm == "" || id == "" || len(name) > maxKeyName {
			return nil, fmt.Errorf("%w: one-time key name %q must be <algorithm>:<key id>", ErrInvalid, name)
		}
		value := raw[name]
		if len(value) > maxKeyBytes {
			return nil, fmt.Errorf("%w: one-time key %q", ErrTooLarge, name)
		}
		canonical, err := event.Canonical(value, true)
		if err != nil || (canonical[0] != '{' && canonical[0] != '"') {
			return nil, fmt.Errorf("%w: one-time key %q must be a string or an object", ErrInvalid, name)
		}
		keys = append(keys, store.OneTimeKey{Algorithm: algorithm, KeyID: id, Key: canonical})
	}
	return keys, nil
}

// fallbackKeys are one-time keys, but one at most of each algorithm.
func fallbackKeys(raw map[string]json.RawMessage) ([]store.OneTimeKey, error) {
	keys, err := oneTimeKeys(raw)
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.Algorithm] {
			return nil, fmt.Errorf("%w: more than one fallback key of algorithm %s", ErrInvalid, k.Algorithm)
		}
		seen[k.Algorithm] = true
	}
	return keys, err
}

// identity adds to an upload what is new in the identity keys of its device.
func (s *Service) identity(ctx context.Context, upload *store.KeyUpload, raw json.RawMessage) error {
	keys, err := parseDeviceKeys(upload.UserID, upload.DeviceID, raw)
	if err != nil {
		return err
	}
	own, err := s.ownKeys(ctx, upload.UserID)
	if err != nil {
		return err
	}
	public, err := keys.deviceKey(upload.DeviceID)
	if err != nil {
		return err
	}
	signers := keySet{}
	if public != nil {
		signers[signingAlgorithm+upload.DeviceID] = public
	}
	if err := own.cross.addTo(signers, usageSelfSigning); err != nil {
		return err
	}
	upload.Signatures, err = keys.verified(upload.UserID, signers, upload.UserID, upload.DeviceID)
	if err != nil {
		return err
	}
	old := own.devices[upload.DeviceID]
	if keys.same(old) {
		upload.Signatures = without(upload.Signatures, own.signatures)
		return nil
	}
	upload.Keys = keys.raw
	upload.NewIdentity = old != nil && !samePublicKeys(old, keys.raw)
	return nil
}

// parseDeviceKeys checks the shape of identity keys.
func parseDeviceKeys(user, device string, raw json.RawMessage) (signedObject, error) {
	keys, err := parseSigned(raw, "device_keys")
	if err != nil {
		return keys, err
	}
	if got, _ := keys.fields.String("user_id"); got != user {
		return keys, fmt.Errorf("%w: device_keys.user_id must be %s", ErrInvalid, user)
	}
	if got, _ := keys.fields.String("device_id"); got != device {
		return keys, fmt.Errorf("%w: device_keys.device_id must be %s", ErrInvalid, device)
	}
	if _, ok := keys.fields.Object("keys"); !ok {
		return keys, fmt.Errorf("%w: device_keys.keys must be an object", ErrInvalid)
	}
	if keys.signatures == nil {
		return keys, fmt.Errorf("%w: device_keys.signatures must be an object", ErrInvalid)
	}
	if list, ok := keys.fields.Get("algorithms"); !ok || list[0] != '[' {
		return keys, fmt.Errorf("%w: device_keys.algorithms must be a list", ErrInvalid)
	}
	return keys, nil
}

func samePublicKeys(a, b []byte) bool {
	objectA, _ := event.ParseObject(a)
	objectB, _ := event.ParseObject(b)
	keysA, _ := objectA.Get("keys")
	keysB, _ := objectB.Get("keys")
	return bytes.Equal(keysA, keysB)
}
