// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

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

// crossSigningKeys are the stored cross-signing keys of one user, by usage.
type crossSigningKeys map[string]store.CrossSigningKey

func (s *Service) crossSigningKeys(ctx context.Context, user string) (crossSigningKeys, error) {
	all, err := s.crossSigningKeysOf(ctx, []string{user})
	return all[user], err
}

// crossSigningKeysOf returns the cross-signing keys of users, by user.
func (s *Service) crossSigningKeysOf(ctx context.Context, users []string) (map[string]crossSigningKeys, error) {
	all, err := s.store.CrossSigningKeysOf(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read cross-signing keys: %w", err)
	}
	byUser := map[string]crossSigningKeys{}
	for _, k := range all {
		if byUser[k.UserID] == nil {
			byUser[k.UserID] = crossSigningKeys{}
		}
		byUser[k.UserID][k.Usage] = k
	}
	return byUser, nil
}

// addTo adds the public key of a usage to keys, if there is one.
func (c crossSigningKeys) addTo(keys keySet, usage string) error {
	k, ok := c[usage]
	if !ok {
		return nil
	}
	public, err := decodeKey(k.PublicKey)
	keys[signingAlgorithm+k.PublicKey] = public
	return err
}

// uploadAttempts is how often an upload begins anew because another device
// of the user was faster.
const uploadAttempts = 5

// UploadCrossSigning stores cross-signing keys. The signing keys must be
// signed by the master key that is uploaded with them or stored already. A
// new master key without them makes the old ones worthless; they are dropped.
//
// confirm is called before keys of a user who has a master key are replaced
// or added to, and has to make sure that it is the user who wants this. The
// first upload and a repeated one need no confirmation.
//
// Errors: ErrInvalid, ErrTooLarge, ErrNoMasterKey, ErrSignature, ErrKeyIsDevice, and those of confirm.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
func (s *Service) UploadCrossSigning(ctx context.Context, user event.UserID, u CrossSigning, confirm func() error) error {
	given, err := u.parse(user)
	if err != nil {
		return err
	}
	confirmed := false
	for range uploadAttempts {
		p, err := s.plan(ctx, string(user), given)
		if err != nil {
			return err
		}
		if p.needsConfirmation() && !confirmed {
			if err := confirm(); err != nil {
				return err
			}
			confirmed = true
		}
		err = s.carryOut(ctx, p)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("store cross-signing keys: %w", store.ErrConflict)
}

// uploadedKey is a cross-signing key of a request.
type uploadedKey struct {
	signedObject
	store.CrossSigningKey
	set keySet // this key alone
}

// parse checks the shape of each key.
func (u CrossSigning) parse(user event.UserID) (map[string]uploadedKey, error) {
	given := map[string]uploadedKey{}
	for usage, raw := range map[string]json.RawMessage{
		usageMaster: u.Master, usageSelfSigning: u.SelfSigning, usageUserSigning: u.UserSigning,
	} {
		if raw == nil {
			continue
		}
		key, err := parseCrossSigning(user, usage, raw)
		if err != nil {
			return nil, err
		}
		given[usage] = key
	}
	return given, nil
}

func parseCrossSigning(user event.UserID, usage string, raw json.RawMessage) (uploadedKey, error) {
	object, err := parseSigned(raw, usage+" key")
	if err != nil {
		return uploadedKey{}, err
	}
	if got, _ := object.fields.String("user_id"); got != string(user) {
		return uploadedKey{}, fmt.Errorf("%w: user_id of the %s key must be %s", ErrInvalid, usage, user)
	}
	found := false
	list, _ := object.fields.Get("usage")
	event.EachElement(list, func(value []byte) bool {
		got, _ := event.StringValue(value)
		found = found || got == usage
		return true
	})
	if !found {
		return uploadedKey{}, fmt.Errorf("%w: usage of the %s key must contain %q", ErrInvalid, usage, usage)
	}
	name, public, err := object.publicKey()
	return uploadedKey{
		signedObject:    object,
		CrossSigningKey: store.CrossSigningKey{UserID: string(user), Usage: usage, PublicKey: name, Keys: object.raw},
		set:             keySet{signingAlgorithm + name: public},
	}, err
}

// crossSigningPlan is what an upload would do to the keys as they are.
type crossSigningPlan struct {
	user       string
	stored     crossSigningKeys
	changed    []store.CrossSigningKey
	drop       []string
	signatures []store.KeySignature
}

func (p crossSigningPlan) needsConfirmation() bool {
	_, ok := p.stored[usageMaster]
	return ok && len(p.changed) > 0
}

// plan compares an upload with what is stored and verifies its signatures.
func (s *Service) plan(ctx context.Context, user string, given map[string]uploadedKey) (crossSigningPlan, error) {
	p := crossSigningPlan{user: user}
	own, err := s.ownKeys(ctx, user)
	if err != nil {
		return p, err
	}
	p.stored = own.cross
	master := keySet{}
	if m, ok := given[usageMaster]; ok {
		master = m.set
	} else if err := own.cross.addTo(master, usageMaster); err != nil {
		return p, err
	}
	if len(master) == 0 {
		return p, fmt.Errorf("%w: upload a master key first", ErrNoMasterKey)
	}
	signers := map[string]keySet{usageMaster: own.devicesAnd(master), usageSelfSigning: master, usageUserSigning: master}
	for _, usage := range sortedKeys(given) {
		key := given[usage]
		signatures, err := key.verified(user, signers[usage], user, key.PublicKey)
		if err != nil {
			return p, err
		}
		if usage != usageMaster && len(signatures) == 0 {
			return p, fmt.Errorf("%w: the %s key must be signed by the master key", ErrSignature, usage)
		}
		p.signatures = append(p.signatures, signatures...)
		if old, ok := p.stored[usage]; !ok || !key.same(old.Keys) {
			p.changed = append(p.changed, key.CrossSigningKey)
		}
		if _, ok := own.devices[key.PublicKey]; ok {
			return p, fmt.Errorf("%w: %s", ErrKeyIsDevice, key.PublicKey)
		}
	}
	p.signatures = without(p.signatures, own.signatures)
	p.dropUnsigned(given)
	return p, nil
}

// dropUnsigned lets signing keys go that a new master key has not signed.
func (p *crossSigningPlan) dropUnsigned(given map[string]uploadedKey) {
	if !slices.ContainsFunc(p.changed, func(k store.CrossSigningKey) bool { return k.Usage == usageMaster }) {
		return
	}
	for _, usage := range []string{usageSelfSigning, usageUserSigning} {
		_, replaced := given[usage]
		if _, ok := p.stored[usage]; ok && !replaced {
			p.drop = append(p.drop, usage)
		}
	}
}

func (s *Service) carryOut(ctx context.Context, p crossSigningPlan) error {
	if len(p.changed) == 0 && len(p.signatures) == 0 {
		return nil
	}
	if len(p.changed) == 0 {
		if err := s.store.PutSignatures(ctx, p.user, p.signatures); err != nil {
			return fmt.Errorf("store signatures: %w", err)
		}
		return nil
	}
	change := store.CrossSigningChange{UserID: p.user, Keys: p.changed, Drop: p.drop, Signatures: p.signatures}
	for _, usage := range sortedKeys(p.stored) {
		change.Old = append(change.Old, p.stored[usage])
	}
	isMaster := func(k store.CrossSigningKey) bool { return k.Usage == usageMaster }
	if master, ok := p.stored[usageMaster]; ok && !slices.ContainsFunc(p.changed, isMaster) {
		// The signatures were verified with it, so it has to be there still.
		change.Keys = append(change.Keys, master)
	}
	if err := s.store.ChangeCrossSigning(ctx, change); err != nil {
		return fmt.Errorf("store cross-signing keys: %w", err)
	}
	return nil
}
