// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// SigningKey is a server's ed25519 signing key.
type SigningKey struct {
	// ID is the part after "ed25519:", such as a1b2.
	ID string
	// Seed has 32 bytes.
	Seed []byte
}

// keyID is what the Matrix specification allows in the version of a key,
// https://spec.matrix.org/v1.16/server-server-api/#get_matrixkeyv2server
var keyID = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// NewSigningKey makes a key from the system's source of randomness.
func NewSigningKey() SigningKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails: it ends the program instead
	return SigningKey{ID: "a_" + rand.Text()[:6], Seed: seed}
}

// Line returns the key as its file holds it, "ed25519 <key id> <unpadded
// base64 seed>" and a line break.
func (k SigningKey) Line() string {
	return fmt.Sprintf("ed25519 %s %s\n", k.ID, base64.RawStdEncoding.EncodeToString(k.Seed))
}

// Public returns what may be shown of the key.
func (k SigningKey) Public() matrixv1alpha1.SigningKeyStatus {
	public, ok := ed25519.NewKeyFromSeed(k.Seed).Public().(ed25519.PublicKey)
	if !ok {
		return matrixv1alpha1.SigningKeyStatus{}
	}
	return matrixv1alpha1.SigningKeyStatus{
		ID:        "ed25519:" + k.ID,
		PublicKey: base64.RawStdEncoding.EncodeToString(public),
	}
}

// ParseSigningKey reads the form that Line writes. The error says what is
// wrong without repeating any of it.
func ParseSigningKey(line string) (SigningKey, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 || strings.Count(strings.TrimRight(line, "\r\n"), "\n") > 0 {
		return SigningKey{}, fmt.Errorf("it must be one line of three words: ed25519, a key id, and the seed in base64")
	}
	if fields[0] != "ed25519" {
		return SigningKey{}, fmt.Errorf("its first word must be ed25519")
	}
	if !keyID.MatchString(fields[1]) {
		return SigningKey{}, fmt.Errorf("its key id must have 1 to 64 letters, digits or underscores")
	}
	seed, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(fields[2], "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return SigningKey{}, fmt.Errorf("its seed must be 32 bytes in base64")
	}
	if bytes.Count(seed, seed[:1]) == len(seed) {
		return SigningKey{}, fmt.Errorf("it is a placeholder that everybody knows")
	}
	return SigningKey{ID: fields[1], Seed: seed}, nil
}

// signingKey keeps the key in existing, or makes one when the server never
// had one (known is nil).
func signingKey(existing *corev1.Secret, name string, known *matrixv1alpha1.SigningKeyStatus) (SigningKey, error) {
	problem := func(message string) error {
		return &Problem{
			Reason: matrixv1alpha1.ReasonSigningKeyInvalid, Secret: name,
			Key: naming.KeySigningKey, Message: message,
		}
	}
	if existing == nil {
		if known == nil || known.ID == "" {
			return NewSigningKey(), nil
		}
		return SigningKey{}, problem("the signing key that this server has used (" + known.ID + ") is gone; " +
			"restore the Secret from a backup. No other key is generated: other servers would not accept it")
	}
	key, err := ParseSigningKey(string(existing.Data[naming.KeySigningKey]))
	if err != nil {
		return SigningKey{}, problem("the signing key cannot be used: " + err.Error() + ". Restore the Secret from a backup")
	}
	if known != nil && known.ID != "" && *known != key.Public() {
		return SigningKey{}, problem("the signing key is not the one that this server has used (" + known.ID + "); " +
			"restore the former Secret. Other servers know this one by its former key")
	}
	return key, nil
}
