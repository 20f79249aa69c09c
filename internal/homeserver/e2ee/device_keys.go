// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
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

// Upload stores a device's keys. All of it is checked before anything is stored.
//
// Errors: ErrInvalid, ErrTooLarge, ErrKeyTaken.
func (s *Service) Upload(ctx context.Context, user event.UserID, device string, u Upload) error {
	keys, err := oneTimeKeys(u.OneTimeKeys)
	if err != nil {
		return err
	}
	fallback, err := oneTimeKeys(u.FallbackKeys)
	if err != nil {
		return err
	}
	if u.DeviceKeys != nil {
		if err := s.uploadDevice(ctx, user, device, u.DeviceKeys); err != nil {
			return err
		}
	}
	if len(keys) == 0 && len(fallback) == 0 {
		return nil
	}
	err = s.store.AddOneTimeKeys(ctx, string(user), device, keys, fallback)
	if errors.Is(err, store.ErrExists) {
		return fmt.Errorf("%w: %w", ErrKeyTaken, err)
	}
	if err != nil {
		return fmt.Errorf("store one-time keys: %w", err)
	}
	return nil
}

// oneTimeKeys parses keys named "<algorithm>:<key id>", in the order of their names.
func oneTimeKeys(raw map[string]json.RawMessage) ([]store.OneTimeKey, error) {
	keys := make([]store.OneTimeKey, 0, len(raw))
	for _, name := range sortedKeys(raw) {
		algorithm, id, ok := strings.Cut(name, ":")
		if !ok || algorithm == "" || id == "" || len(name) > 255 {
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

// uploadDevice stores the identity keys of a device, unless they are stored already.
func (s *Service) uploadDevice(ctx context.Context, user event.UserID, device string, raw json.RawMessage) error {
	keys, err := parseSigned(raw, "device_keys")
	if err != nil {
		return err
	}
	if got, _ := keys.fields.String("user_id"); got != string(user) {
		return fmt.Errorf("%w: device_keys.user_id must be %s", ErrInvalid, user)
	}
	if got, _ := keys.fields.String("device_id"); got != device {
		return fmt.Errorf("%w: device_keys.device_id must be %s", ErrInvalid, device)
	}
	for _, field := range []string{"keys", "signatures"} {
		if _, ok := keys.fields.Object(field); !ok {
			return fmt.Errorf("%w: device_keys.%s must be an object", ErrInvalid, field)
		}
	}
	if list, ok := keys.fields.Get("algorithms"); !ok || list[0] != '[' {
		return fmt.Errorf("%w: device_keys.algorithms must be a list", ErrInvalid)
	}
	old, err := s.device(ctx, string(user), device)
	if err != nil {
		return err
	}
	if old != nil && old.sameKey(keys) {
		return nil
	}
	err = s.store.PutDeviceKeys(ctx, store.DeviceKeys{UserID: string(user), DeviceID: device, Keys: keys.raw})
	if err != nil {
		return fmt.Errorf("store device keys: %w", err)
	}
	return nil
}

// device returns the stored identity keys of a device, or nil.
func (s *Service) device(ctx context.Context, user, device string) (*signedObject, error) {
	all, err := s.store.DeviceKeysOf(ctx, []string{user})
	if err != nil {
		return nil, fmt.Errorf("read device keys: %w", err)
	}
	for _, k := range all {
		if k.DeviceID == device {
			object, err := parseSigned(k.Keys, "stored device keys")
			return &object, err
		}
	}
	return nil, nil
}

// Keys is the answer to a key query; values are ready JSON.
type Keys struct {
	Devices     map[string]map[string]json.RawMessage // by user and device
	Master      map[string]json.RawMessage            // by user
	SelfSigning map[string]json.RawMessage
	UserSigning map[string]json.RawMessage
}

// Query returns the keys of the wanted devices (an empty list: all devices)
// of users of this server, with the signatures that viewer may see: those of
// the keys' owner and viewer's own.
func (s *Service) Query(ctx context.Context, viewer event.UserID, wanted map[event.UserID][]string) (*Keys, error) {
	users := make([]string, 0, len(wanted))
	answer := &Keys{
		Devices: map[string]map[string]json.RawMessage{}, Master: map[string]json.RawMessage{},
		SelfSigning: map[string]json.RawMessage{}, UserSigning: map[string]json.RawMessage{},
	}
	for user := range wanted {
		if user.Server() == s.server {
			users = append(users, string(user))
			answer.Devices[string(user)] = map[string]json.RawMessage{}
		}
	}
	signatures, err := s.visibleSignatures(ctx, string(viewer), users)
	if err != nil {
		return nil, err
	}
	if err := s.queryDevices(ctx, answer, wanted, signatures); err != nil {
		return nil, err
	}
	return answer, s.queryCrossSigning(ctx, answer, string(viewer), signatures)
}

// keyName names a key of a user.
type keyName struct{ user, id string }

// visibleSignatures returns the signatures on users' keys that viewer may see.
func (s *Service) visibleSignatures(ctx context.Context, viewer string, users []string) (map[keyName][]store.KeySignature, error) {
	all, err := s.store.SignaturesOn(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read signatures: %w", err)
	}
	visible := map[keyName][]store.KeySignature{}
	for _, sig := range all {
		if sig.Signer == sig.UserID || sig.Signer == viewer {
			name := keyName{sig.UserID, sig.KeyID}
			visible[name] = append(visible[name], sig)
		}
	}
	return visible, nil
}

func (s *Service) queryDevices(ctx context.Context, answer *Keys, wanted map[event.UserID][]string, signatures map[keyName][]store.KeySignature) error {
	all, err := s.store.DeviceKeysOf(ctx, sortedKeys(answer.Devices))
	if err != nil {
		return fmt.Errorf("read device keys: %w", err)
	}
	for _, k := range all {
		if list := wanted[event.UserID(k.UserID)]; len(list) > 0 && !contains(list, k.DeviceID) {
			continue
		}
		object, err := parseSigned(k.Keys, "stored device keys")
		if err != nil {
			return err
		}
		out := object.merged(signatures[keyName{k.UserID, k.DeviceID}])
		if k.DisplayName != "" {
			named, err := parseSigned(out, "stored device keys")
			if err != nil {
				return err
			}
			out = named.with("unsigned", map[string]string{"device_display_name": k.DisplayName}, false)
		}
		answer.Devices[k.UserID][k.DeviceID] = out
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// merged returns the object with more signatures beside its own.
func (o signedObject) merged(more []store.KeySignature) []byte {
	all := o.signatures()
	for _, sig := range more {
		if all[sig.Signer] == nil {
			all[sig.Signer] = map[string]string{}
		}
		all[sig.Signer][sig.SigningKey] = sig.Signature
	}
	return o.withSignatures(all)
}

// Claim takes one key for each wanted device: user → device → algorithm.
// Devices that have none left are absent from the answer: user → device →
// "<algorithm>:<key id>" → key.
func (s *Service) Claim(ctx context.Context, wanted map[event.UserID]map[string]string) (map[string]map[string]map[string]json.RawMessage, error) {
	var claims []store.Claim
	for user, devices := range wanted {
		if user.Server() != s.server {
			continue
		}
		for device, algorithm := range devices {
			claims = append(claims, store.Claim{UserID: string(user), DeviceID: device, Algorithm: algorithm})
		}
	}
	answer := map[string]map[string]map[string]json.RawMessage{}
	for len(claims) > 0 {
		n := min(len(claims), claimsAtOnce)
		got, err := s.store.ClaimKeys(ctx, claims[:n])
		if err != nil {
			return nil, fmt.Errorf("claim one-time keys: %w", err)
		}
		for c, key := range got {
			if answer[c.UserID] == nil {
				answer[c.UserID] = map[string]map[string]json.RawMessage{}
			}
			answer[c.UserID][c.DeviceID] = map[string]json.RawMessage{key.Algorithm + ":" + key.KeyID: key.Key}
		}
		claims = claims[n:]
	}
	return answer, nil
}

// claimsAtOnce bounds how long one request holds the writer.
const claimsAtOnce = 50
