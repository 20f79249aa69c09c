// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// maxKeyBytes is the largest key object that is stored.
const maxKeyBytes = 64 << 10

// signedObject is a JSON object with signatures, as keys are. Fields are
// looked up by their exact names.
type signedObject struct {
	raw    []byte // canonical, without "unsigned"
	fields event.Object
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
	delete(fields, "unsigned")
	plain, err := json.Marshal(fields)
	if err != nil {
		return signedObject{}, fmt.Errorf("encode %s: %w", what, err)
	}
	canonical, err := event.Canonical(plain, true)
	if err != nil {
		return signedObject{}, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	object, ok := event.ParseObject(canonical)
	if !ok {
		return signedObject{}, fmt.Errorf("%w: %s must be an object", ErrInvalid, what)
	}
	return signedObject{canonical, object}, nil
}

// sameKey tells whether two objects are equal but for their signatures.
func (o signedObject) sameKey(other signedObject) bool {
	return bytes.Equal(o.withSignatures(nil), other.withSignatures(nil))
}

// signatures returns who signed with which key: signer → key id → signature.
func (o signedObject) signatures() map[string]map[string]string {
	all := map[string]map[string]string{}
	bySigner, _ := o.fields.Object("signatures")
	bySigner.Each(func(signer string, value []byte) bool {
		keys, ok := event.ParseObject(value)
		if !ok {
			return true
		}
		keys.Each(func(id string, value []byte) bool {
			if signature, ok := event.StringValue(value); ok {
				if all[signer] == nil {
					all[signer] = map[string]string{}
				}
				all[signer][id] = signature
			}
			return true
		})
		return true
	})
	return all
}

// withSignatures returns the object with exactly these signatures.
func (o signedObject) withSignatures(signatures map[string]map[string]string) []byte {
	return o.with("signatures", signatures, len(signatures) == 0)
}

// with returns the object with a field set, or removed.
func (o signedObject) with(field string, value any, remove bool) []byte {
	fields := map[string]json.RawMessage{}
	o.fields.Each(func(k string, v []byte) bool {
		fields[k] = v
		return true
	})
	delete(fields, field)
	if !remove {
		// Maps of strings always encode.
		fields[field], _ = json.Marshal(value)
	}
	out, _ := json.Marshal(fields)
	return out
}

// publicKey returns the only key of a cross-signing key: its id
// ("ed25519:<public key>") and the key itself.
func (o signedObject) publicKey() (id string, key ed25519.PublicKey, err error) {
	n := 0
	keys, _ := o.fields.Object("keys")
	keys.Each(func(k string, v []byte) bool {
		n++
		encoded, _ := event.StringValue(v)
		id = k
		key, err = decodeKey(encoded)
		return true
	})
	if n != 1 {
		return "", nil, fmt.Errorf("%w: a cross-signing key must hold exactly one key, not %d", ErrInvalid, n)
	}
	return id, key, err
}

// deviceKey returns the ed25519 key of a device.
func (o signedObject) deviceKey(device string) (ed25519.PublicKey, error) {
	keys, _ := o.fields.Object("keys")
	encoded, _ := keys.String("ed25519:" + device)
	return decodeKey(encoded)
}

func decodeKey(encoded string) (ed25519.PublicKey, error) {
	key, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: %q is not an unpadded base64 ed25519 key", ErrInvalid, encoded)
	}
	return key, nil
}

// verify checks the signature that entity made with the key keyID.
func (o signedObject) verify(entity, keyID string, key ed25519.PublicKey) error {
	if err := event.VerifyJSON(o.raw, entity, keyID, key); err != nil {
		return fmt.Errorf("%w: of %s by %s: %w", ErrSignature, entity, keyID, err)
	}
	return nil
}
