// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Keys is the answer to a key query; values are ready JSON.
type Keys struct {
	Devices     map[string]map[string]json.RawMessage // by user and device
	Master      map[string]json.RawMessage            // by user
	SelfSigning map[string]json.RawMessage
	UserSigning map[string]json.RawMessage
}

// query is a key query while it is answered.
type query struct {
	viewer     string
	wanted     map[event.UserID][]string
	users      []string
	signatures map[keyName][]store.KeySignature
	answer     *Keys
}

// keyName names a key of a user.
type keyName struct{ user, id string }

// Query returns the keys of the wanted devices (an empty list: all devices)
// of users of this server, with the signatures that viewer may see: those of
// the keys' owner and viewer's own.
func (s *Service) Query(ctx context.Context, viewer event.UserID, wanted map[event.UserID][]string) (*Keys, error) {
	q := query{viewer: string(viewer), wanted: wanted, signatures: map[keyName][]store.KeySignature{}, answer: &Keys{
		Devices: map[string]map[string]json.RawMessage{}, Master: map[string]json.RawMessage{},
		SelfSigning: map[string]json.RawMessage{}, UserSigning: map[string]json.RawMessage{},
	}}
	for user := range wanted {
		if user.Server() == s.server {
			q.users = append(q.users, string(user))
			q.answer.Devices[string(user)] = map[string]json.RawMessage{}
		}
	}
	slices.Sort(q.users)
	signatures, err := s.store.SignaturesOn(ctx, q.users, q.viewer)
	if err != nil {
		return nil, fmt.Errorf("read signatures: %w", err)
	}
	for _, sig := range signatures {
		name := keyName{sig.UserID, sig.KeyID}
		q.signatures[name] = append(q.signatures[name], sig)
	}
	if err := s.queryDevices(ctx, q); err != nil {
		return nil, err
	}
	return q.answer, s.queryCrossSigning(ctx, q)
}

func (s *Service) queryDevices(ctx context.Context, q query) error {
	all, err := s.store.DeviceKeysOf(ctx, q.users)
	if err != nil {
		return fmt.Errorf("read device keys: %w", err)
	}
	for _, k := range all {
		list := q.wanted[event.UserID(k.UserID)]
		if len(list) > 0 && !slices.Contains(list, k.DeviceID) {
			continue
		}
		out, err := shown(k.Keys, q.signatures[keyName{k.UserID, k.DeviceID}], k.DisplayName)
		if err != nil {
			return err
		}
		q.answer.Devices[k.UserID][k.DeviceID] = out
	}
	return nil
}

func (s *Service) queryCrossSigning(ctx context.Context, q query) error {
	all, err := s.store.CrossSigningKeysOf(ctx, q.users)
	if err != nil {
		return fmt.Errorf("read cross-signing keys: %w", err)
	}
	byUsage := map[string]map[string]json.RawMessage{
		usageMaster: q.answer.Master, usageSelfSigning: q.answer.SelfSigning, usageUserSigning: q.answer.UserSigning,
	}
	for _, k := range all {
		// Only its owner may see whom a user has verified.
		if k.Usage == usageUserSigning && k.UserID != q.viewer {
			continue
		}
		byUsage[k.Usage][k.UserID], err = shown(k.Keys, q.signatures[keyName{k.UserID, k.PublicKey}], "")
		if err != nil {
			return err
		}
	}
	return nil
}

// claimsAtOnce bounds how long one request holds the writer.
const claimsAtOnce = 50

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
	slices.SortFunc(claims, func(a, b store.Claim) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.DeviceID, b.DeviceID))
	})
	answer := map[string]map[string]map[string]json.RawMessage{}
	for some := range slices.Chunk(claims, claimsAtOnce) {
		got, err := s.store.ClaimKeys(ctx, some, s.now().UnixMilli())
		if err != nil {
			return nil, fmt.Errorf("claim one-time keys: %w", err)
		}
		for c, key := range got {
			if answer[c.UserID] == nil {
				answer[c.UserID] = map[string]map[string]json.RawMessage{}
			}
			answer[c.UserID][c.DeviceID] = map[string]json.RawMessage{key.Algorithm + ":" + key.KeyID: key.Key}
		}
	}
	return answer, nil
}
