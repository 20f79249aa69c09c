// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Signer holds a signing key. KeyID is complete, as in "ed25519:a1".
type Signer struct {
	Server     ServerName
	KeyID      string
	PrivateKey ed25519.PrivateKey
}

const keyAlgorithm = "ed25519:"

// sign returns the signature of message as a JSON string.
func (s Signer) sign(message []byte) ([]byte, error) {
	if len(s.PrivateKey) != ed25519.PrivateKeySize || !strings.HasPrefix(s.KeyID, keyAlgorithm) || s.Server == "" {
		return nil, fmt.Errorf("%w: the signing key of %q is incomplete", ErrSignature, s.Server)
	}
	signature := ed25519.Sign(s.PrivateKey, message)
	out := make([]byte, 0, base64.RawStdEncoding.EncodedLen(len(signature))+2)
	out = base64.RawStdEncoding.AppendEncode(append(out, '"'), signature)
	return append(out, '"'), nil
}

// addSignature puts a signature into the canonical object obj beside those it has.
func addSignature(obj []byte, s Signer, signature []byte) []byte {
	o, _ := ParseObject(obj)
	all, ours := []byte("{}"), []byte("{}")
	if signatures, ok := o.Object("signatures"); ok {
		all = signatures.raw
		if mine, ok := signatures.Object(string(s.Server)); ok {
			ours = mine.raw
		}
	}
	ours = setMember(ours, s.KeyID, signature)
	return setMember(obj, "signatures", setMember(all, string(s.Server), ours))
}

// verify checks entity's signature, by the key keyID, on message.
func verify(signatures Object, entity, keyID string, pub ed25519.PublicKey) func(message []byte) error {
	return func(message []byte) error {
		byEntity, _ := signatures.Object(entity)
		encoded, ok := byEntity.String(keyID)
		if !ok {
			return fmt.Errorf("%w: %q has not signed with key %q", ErrSignature, entity, keyID)
		}
		var signature [ed25519.SignatureSize]byte
		if !decodeBase64(signature[:], encoded) {
			return fmt.Errorf("%w: the signature of %q is malformed", ErrSignature, entity)
		}
		if len(pub) != ed25519.PublicKeySize || !strings.HasPrefix(keyID, keyAlgorithm) {
			return fmt.Errorf("%w: %q is no ed25519 key", ErrSignature, keyID)
		}
		if !ed25519.Verify(pub, message, signature[:]) {
			return fmt.Errorf("%w: the signature of %q by key %q is wrong", ErrSignature, entity, keyID)
		}
		return nil
	}
}

// SignJSON returns obj in canonical form with the signature of s.Server added to
// its signatures (appendices, "Signing JSON"). An obj that is no object, or holds
// numbers that canonical JSON refuses, gives ErrBadJSON; an unusable key ErrSignature.
func SignJSON(obj []byte, s Signer) ([]byte, error) {
	canonical, err := canonicalise(obj, true, "unsigned")
	if err != nil {
		return nil, fmt.Errorf("sign JSON: %w", err)
	}
	if !isObject(canonical) {
		return nil, fmt.Errorf("sign JSON: %w: not an object", ErrBadJSON)
	}
	signature, err := s.sign(signedBytes(canonical))
	if err != nil {
		return nil, fmt.Errorf("sign JSON: %w", err)
	}
	return addSignature(canonical, s, signature), nil
}

// VerifyJSON checks that entity, a server name or user id, signed obj with key
// keyID. The error is an ErrSignature, or ErrBadJSON if obj is no JSON object.
func VerifyJSON(obj []byte, entity, keyID string, pub ed25519.PublicKey) error {
	canonical, err := Canonical(obj, false)
	if err != nil {
		return fmt.Errorf("verify JSON: %w", err)
	}
	o, ok := ParseObject(canonical)
	if !ok {
		return fmt.Errorf("verify JSON: %w: not an object", ErrBadJSON)
	}
	signatures, _ := o.Object("signatures")
	if err := verify(signatures, entity, keyID, pub)(signedBytes(canonical)); err != nil {
		return fmt.Errorf("verify JSON: %w", err)
	}
	return nil
}

// signedBytes returns what a signature covers.
func signedBytes(canonical []byte) []byte {
	return appendWithout(make([]byte, 0, len(canonical)), canonical, func(key string) bool {
		return key == "signatures" || key == "unsigned"
	})
}

// KeyIDs lists the ed25519 keys with which server signed the event, valid or not.
func (e *Event) KeyIDs(server ServerName) []string {
	o, _ := ParseObject(e.raw)
	signatures, _ := o.Object("signatures")
	return keyIDs(signatures, string(server))
}

// KeyIDs lists the ed25519 keys with which entity signed the canonical JSON
// object obj, valid or not.
func KeyIDs(obj Object, entity string) []string {
	signatures, _ := obj.Object("signatures")
	return keyIDs(signatures, entity)
}

func keyIDs(signatures Object, entity string) []string {
	var ids []string
	byEntity, _ := signatures.Object(entity)
	byEntity.Each(func(id string, _ []byte) bool {
		if strings.HasPrefix(id, keyAlgorithm) {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// Signers lists the servers whose signatures the event needs:
//
//   - the sender's, unless the event turns a third-party invite into an invite,
//     which any server may send (the token in it is checked instead);
//   - the one in the event id, in versions 1 and 2;
//   - the one of content.join_authorised_via_users_server, where restricted joins exist.
//
// If that last user id is malformed the list holds "", a server whose signature
// no event can have.
func (e *Event) Signers() []ServerName {
	servers := make([]ServerName, 0, 2)
	add := func(s ServerName) {
		if !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
	}
	content, _ := ParseObject(e.content)
	_, thirdParty := content.Get(keyThirdPartyInvite)
	if e.Membership() != membershipInvite || !thirdParty {
		add(e.sender.Server())
	}
	if e.rules.EventIDFormat == EventIDField {
		add(e.id.server())
	}
	if e.typ != typeMember || !e.rules.Restricted {
		return servers
	}
	if v, ok := content.Get(keyAuthorisingUser); ok {
		s, _ := StringValue(v)
		user, err := ParseUserID(s)
		if err != nil {
			user = ""
		}
		add(user.Server())
	}
	return servers
}

// VerifySignature checks that server signed the event with key keyID. Whether
// that key was valid at the time is the caller's business, see
// Rules.EnforceKeyValidity. The error is an ErrSignature.
func (e *Event) VerifySignature(server ServerName, keyID string, pub ed25519.PublicKey) error {
	o, _ := ParseObject(e.raw)
	signatures, _ := o.Object("signatures")
	message := e.appendRedacted(make([]byte, 0, len(e.raw)), true)
	if err := verify(signatures, string(server), keyID, pub)(message); err != nil {
		return fmt.Errorf("verify event %s: %w", e.id, err)
	}
	return nil
}

// Sign returns the event with the signature of s added to those it has: an
// invited user's server and one that authorises a restricted join do that.
func (e *Event) Sign(s Signer) (*Event, error) {
	signature, err := s.sign(e.appendRedacted(make([]byte, 0, len(e.raw)), true))
	if err != nil {
		return nil, fmt.Errorf("sign event %s: %w", e.id, err)
	}
	signed := &Event{rules: e.rules, raw: addSignature(e.raw, s, signature)}
	if len(signed.raw) > maxEvent {
		return nil, fmt.Errorf("sign event %s: %w: one signature more than fits", e.id, ErrTooLarge)
	}
	if err := signed.read(); err != nil {
		return nil, fmt.Errorf("sign event %s: %w", e.id, err)
	}
	signed.id, signed.roomID, signed.unsigned = e.id, e.roomID, e.unsigned
	return signed, nil
}
