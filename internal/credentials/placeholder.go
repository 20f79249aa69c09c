// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"crypto/ed25519"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// placeholder stands for a secret value where manifests are shown without a
// cluster. It is accepted nowhere: the seed of a placeholder key is refused
// by ParseSigningKey.
const placeholder = "placeholder-generated-in-the-cluster"

// Placeholders returns values for showing hs's manifests without a cluster.
// Nothing in them is secret, and nothing works.
func Placeholders(hs *matrixv1alpha1.Homeserver) Homeserver {
	passwords := map[string]string{}
	for _, admin := range hs.Spec.Admins {
		passwords[string(admin)] = placeholder
	}
	values := Homeserver{
		SigningKey:     SigningKey{ID: "placeholder", Seed: make([]byte, ed25519.SeedSize)},
		AdminPasswords: passwords,
	}
	if hs.Spec.Registration.Mode == matrixv1alpha1.RegistrationToken {
		values.RegistrationTokens = []string{placeholder}
	}
	return values
}
