// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// Existing are the Secrets found in the cluster; nil is one that does not exist.
type Existing struct {
	// SigningKey is the Secret named by naming.Homeserver.SigningKeySecret.
	SigningKey *corev1.Secret
	// Admins is the Secret named by naming.Homeserver.AdminsSecret.
	Admins *corev1.Secret
	// RegistrationTokens is the Secret of RegistrationTokensReference; only
	// read in registration mode Token.
	RegistrationTokens *corev1.Secret
}

// Homeserver are all the secret values that one homeserver starts with.
type Homeserver struct {
	SigningKey SigningKey
	// AdminPasswords by localpart; passwords of former administrators are kept.
	AdminPasswords map[string]string
	// RegistrationTokens are empty unless the mode is Token.
	RegistrationTokens []string
}

// RegistrationTokensText returns the registration tokens as their Secret holds
// them, one a line.
func (h Homeserver) RegistrationTokensText() string {
	return strings.Join(h.RegistrationTokens, "\n") + "\n"
}

// RegistrationTokensReference says which Secret holds the registration
// tokens: the user's, or the one that the operator generates.
func RegistrationTokensReference(hs *matrixv1alpha1.Homeserver) matrixv1alpha1.SecretKeyReference {
	if ref := hs.Spec.Registration.TokenSecretRef; ref != nil {
		return *ref
	}
	return matrixv1alpha1.SecretKeyReference{
		Name: naming.ForHomeserver(hs).RegistrationTokenSecret().Name,
		Key:  naming.KeyRegistrationTokens,
	}
}

// ForHomeserver keeps what existing holds and generates the rest.
//
// Returns a *Problem when a Secret's content cannot be used, or when what
// hs's status says was there is gone.
func ForHomeserver(hs *matrixv1alpha1.Homeserver, existing Existing) (Homeserver, error) {
	names := naming.ForHomeserver(hs)
	key, err := signingKey(existing.SigningKey, names.SigningKeySecret().Name, hs.Status.SigningKey)
	if err != nil {
		return Homeserver{}, err
	}
	passwords, err := adminPasswords(existing.Admins, names.AdminsSecret().Name, hs.Spec.Admins)
	if err != nil {
		return Homeserver{}, err
	}
	tokens, err := registrationTokens(hs, existing.RegistrationTokens)
	if err != nil {
		return Homeserver{}, err
	}
	return Homeserver{SigningKey: key, AdminPasswords: passwords, RegistrationTokens: tokens}, nil
}

// adminPasswords keeps every password in existing, so that a name that is
// removed and added again still has the password of its account, and makes
// one for each admin that has none.
func adminPasswords(existing *corev1.Secret, name string, admins []matrixv1alpha1.Localpart) (map[string]string, error) {
	passwords := map[string]string{}
	if existing != nil {
		for _, key := range slices.Sorted(maps.Keys(existing.Data)) {
			password, err := Password(existing, name, key)
			if err != nil {
				return nil, err
			}
			passwords[key] = password
		}
	}
	for _, admin := range admins {
		if _, ok := passwords[string(admin)]; !ok {
			passwords[string(admin)] = newPassword()
		}
	}
	return passwords, nil
}

func registrationTokens(hs *matrixv1alpha1.Homeserver, existing *corev1.Secret) ([]string, error) {
	if hs.Spec.Registration.Mode != matrixv1alpha1.RegistrationToken {
		return nil, nil
	}
	ref := RegistrationTokensReference(hs)
	if existing == nil && hs.Spec.Registration.TokenSecretRef == nil {
		return []string{newToken()}, nil
	}
	return Tokens(existing, ref.Name, ref.Key)
}

// newPassword has 130 random bits, in groups that can be read aloud.
func newPassword() string {
	text := strings.ToLower(rand.Text())
	return text[0:6] + "-" + text[6:12] + "-" + text[12:18] + "-" + text[18:]
}

// newToken has 80 random bits: registration is rate limited, and people type it.
func newToken() string {
	return strings.ToLower(rand.Text()[:16])
}
