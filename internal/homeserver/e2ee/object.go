// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxKeyBytes is the largest key object that is stored.
const maxKeyBytes = 64 << 10

// signingAlgorithm is how the ids of all signing keys begin.
const signingAlgorithm = "ed25519:"

// signedObject is a JSON object with signatures, as keys are. Fields are
// looked up by their exact names.
type signedObject struct {
	// raw is what is signed and stored: canonical, without signatures and unsigned.
	raw    []byte
	fields event.Object
	// signatures are as given, by signer and key id; none of them is verified.
	signatures map[string]map[string]string
}

// parseSigned canonicalises raw. what names it in errors.
func parseSigned(raw []byte, what string) (signedObject, error) {
	if len(raw) > maxKeyBytes {
		return signedObject{}, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, what, maxKeyBytes)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return signedObject{}, fmt.Errorf("%w: %s must be an object", ErrInvalid, what)
	}
	object := signedObject{}
	if given, ok := fields["signatures"]; ok {
		if err := json.Unmarshal(given, &object.signatures); err != nil {
			return object, fmt.Errorf("%w: signatures of %s must map users to key ids to signatures", ErrInvalid, what)
		}
	}
	delete(fields, "signatures")
	delete(fields, "unsigned")
	plain, err := json.Marshal(fields)
	if err != nil {
		return object, fmt.Errorf("encode %s: %w", what, err)
	}
	if object.raw, err = event.Canonical(plain, true); err != nil {
		return object, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	object.fields, _ = event.ParseObject(object.raw)
	return object, nil
}

// same tells whether two objects are equal but for their signatures.
func (o signedObject) same(raw []byte) bool { return bytes.Equal(o.raw, raw) }

// keySet is public keys by their ids.
type keySet map[string]ed25519.PublicKey

// verified returns the signatures that user made on the object with one of
// keys. keyID names the object among the keys of owner. Signatures with other
// keys and by other users are left out: whoever is entitled to make them
// uploads them for verification. One that does not verify is ErrSignature.
func (o signedObject) verified(user string, keys keySet, owner, keyID string) ([]store.KeySignature, error) {
	var all []store.KeySignature
	for _, id := range sortedKeys(o.signatures[user]) {
		key, ok := keys[id]
		if !ok {
			continue
		}
		encoded := o.signatures[user][id]
		signature, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil || !ed25519.Verify(key, o.raw, signature) {
			return nil, fmt.Errorf("%w: the one by %s with %s does not verify", ErrSignature, user, id)
		}
		all = append(all, store.KeySignature{UserID: owner, KeyID: keyID, Signer: user, SigningKey: id, Signature: encoded})
	}
	return all, nil
}

// without returns the signatures that are not in stored.
func without(signatures, stored []store.KeySignature) []store.KeySignature {
	has := make(map[store.KeySignature]bool, len(stored))
	for _, sig := range stored {
		has[sig] = true
	}
	var others []store.KeySignature
	for _, sig := range signatures {
		if !has[sig] {
			others = append(others, sig)
		}
	}
	return others
}

// publicKey returns the only key of a cross-signing key in base64, which is
// also its name, and decoded.
func (o signedObject) publicKey() (public string, key ed25519.PublicKey, err error) {
	n, id := 0, ""
	keys, _ := o.fields.Object("keys")
	keys.Each(func(k string, v []byte) bool {
		n++
		id = k
		public, _ = event.StringValue(v)
		return true
	})
	if n != 1 || id != signingAlgorithm+public {
		return "", nil, fmt.Errorf("%w: keys of a cross-signing key must be one, called %s and the key itself", ErrInvalid, signingAlgorithm)
	}
	key, err = decodeKey(public)
	return public, key, err
}

// deviceKey returns the key with which a device signs; nil if it has none.
func (o signedObject) deviceKey(device string) (ed25519.PublicKey, error) {
	keys, _ := o.fields.Object("keys")
	encoded, ok := keys.String(signingAlgorithm + device)
	if !ok {
		return nil, nil
	}
	return decodeKey(encoded)
}

func decodeKey(encoded string) (ed25519.PublicKey, error) {
	key, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: %q is not an unpadded base64 ed25519 key", ErrInvalid, encoded)
	}
	return key, nil
}

// shown returns a stored object as clients get it: with signatures, and with
// the name of the device if it has one.
func shown(raw []byte, signatures []store.KeySignature, deviceName string) (json.RawMessage, error) {
	bySigner := map[string]map[string]string{}
	for _, sig := range signatures {
		if bySigner[sig.Signer] == nil {
			bySigner[sig.Signer] = map[string]string{}
		}
		bySigner[sig.Signer][sig.SigningKey] = sig.Signature
	}
	more := map[string]any{"signatures": bySigner}
	if deviceName != "" {
		more["unsigned"] = map[string]string{"device_display_name": deviceName}
	}
	tail, err := json.Marshal(more)
	if err != nil {
		return nil, fmt.Errorf("encode signatures: %w", err)
	}
	out := make([]byte, 0, len(raw)+len(tail))
	out = append(out, raw[:len(raw)-1]...)
	if len(raw) > len("{}") {
		out = append(out, ',')
	}
	return append(out, tail[1:]...), nil
}
