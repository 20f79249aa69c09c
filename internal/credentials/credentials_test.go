// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/naming"
)

func homeserver(mode matrixv1alpha1.RegistrationMode, admins ...matrixv1alpha1.Localpart) *matrixv1alpha1.Homeserver {
	hs := &matrixv1alpha1.Homeserver{}
	hs.Name = "campus"
	hs.Spec.Admins = admins
	hs.Spec.Registration.Mode = mode
	return hs
}

func secret(pairs ...string) *corev1.Secret {
	data := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = []byte(pairs[i+1])
	}
	return &corev1.Secret{Data: data}
}

// reason returns the reason of a Problem, "" without an error.
func reason(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var problem *credentials.Problem
	if !errors.As(err, &problem) {
		t.Fatalf("not a Problem: %v", err)
	}
	return problem.Reason
}

func TestGeneratedOnceThenKept(t *testing.T) {
	hs := homeserver(matrixv1alpha1.RegistrationToken, "admin", "second")
	first, err := credentials.ForHomeserver(hs, credentials.Existing{})
	if err != nil {
		t.Fatal(err)
	}
	stored := credentials.Existing{
		SigningKey:         secret(naming.KeySigningKey, first.SigningKey.Line()),
		Admins:             secret("admin", first.AdminPasswords["admin"], "second", first.AdminPasswords["second"]),
		RegistrationTokens: secret(naming.KeyRegistrationTokens, first.RegistrationTokensText()),
	}
	public := first.SigningKey.Public()
	hs.Status.SigningKey = &public
	second, err := credentials.ForHomeserver(hs, stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("values changed:\n%s", diff)
	}
}

func TestTwoServersShareNothing(t *testing.T) {
	hs := homeserver(matrixv1alpha1.RegistrationToken, "admin")
	a, err := credentials.ForHomeserver(hs, credentials.Existing{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := credentials.ForHomeserver(hs, credentials.Existing{})
	if err != nil {
		t.Fatal(err)
	}
	if a.SigningKey.Public().PublicKey == b.SigningKey.Public().PublicKey || a.AdminPasswords["admin"] == b.AdminPasswords["admin"] ||
		a.RegistrationTokens[0] == b.RegistrationTokens[0] {
		t.Error("two servers got the same value")
	}
}

func TestPasswordOfRemovedAdministratorIsKept(t *testing.T) {
	values, err := credentials.ForHomeserver(homeserver("", "new"), credentials.Existing{Admins: secret("old", "its password")})
	if err != nil {
		t.Fatal(err)
	}
	if values.AdminPasswords["old"] != "its password" || values.AdminPasswords["new"] == "" {
		t.Errorf("passwords %v", values.AdminPasswords)
	}
}

func TestSigningKeyIsReadBack(t *testing.T) {
	key := credentials.NewSigningKey()
	again, err := credentials.ParseSigningKey(key.Line())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(key, again); diff != "" {
		t.Error(diff)
	}
	public, err := base64.RawStdEncoding.DecodeString(again.Public().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("text")
	if !ed25519.Verify(public, message, ed25519.Sign(ed25519.NewKeyFromSeed(key.Seed), message)) {
		t.Error("the public key does not verify what the seed signs")
	}
}

// K10: a key that is absent or empty is named.
func TestK10SecretWithoutTheKey(t *testing.T) {
	hs := homeserver(matrixv1alpha1.RegistrationToken)
	hs.Spec.Registration.TokenSecretRef = &matrixv1alpha1.SecretKeyReference{Name: "mine", Key: "tokens"}
	for _, test := range []struct {
		name     string
		existing *corev1.Secret
		want     string
	}{
		{"no Secret", nil, matrixv1alpha1.ReasonSecretMissing},
		{"no key", secret("other", "x"), matrixv1alpha1.ReasonSecretKeyMissing},
		{"an empty value", secret("tokens", ""), matrixv1alpha1.ReasonSecretKeyMissing},
		{"only blank lines", secret("tokens", "\n\n"), matrixv1alpha1.ReasonSecretInvalid},
		{"a token", secret("tokens", "welcome\n"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := credentials.ForHomeserver(hs, credentials.Existing{RegistrationTokens: test.existing})
			if got := reason(t, err); got != test.want {
				t.Fatalf("reason %q, want %q (%v)", got, test.want, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "mine") || !strings.Contains(err.Error(), "tokens")) {
				t.Errorf("the message does not say where: %v", err)
			}
		})
	}
	_, err := credentials.ForHomeserver(homeserver("", "admin"), credentials.Existing{Admins: secret("admin", "")})
	if got := reason(t, err); got != matrixv1alpha1.ReasonSecretKeyMissing {
		t.Errorf("an empty password: reason %q", got)
	}
}

// K11: what nobody can type is no password; the message does not repeat it.
func TestK11UnusablePasswords(t *testing.T) {
	for name, password := range map[string]string{
		"a line break at the end": "hunter2\n", "a line break inside": "hun\nter2", "a NUL": "hun\x00ter2",
		"a carriage return": "hunter2\r", "invalid UTF-8": "hunter2\xff", "a control character of Latin 1": "hunter2\u0085",
		"513 bytes": strings.Repeat("hunter2", 74)[:513],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credentials.ForHomeserver(homeserver("", "admin"), credentials.Existing{Admins: secret("admin", password)})
			if got := reason(t, err); got != matrixv1alpha1.ReasonSecretInvalid {
				t.Fatalf("reason %q (%v)", got, err)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
				t.Errorf("the message shows the password: %v", err)
			}
		})
	}
}

func TestK11UnusableTokens(t *testing.T) {
	for _, tokens := range []string{"with space\n", "a\x00b\n", strings.Repeat("a", 65), "good\nbad!\n", "ümlaut"} {
		hs := homeserver(matrixv1alpha1.RegistrationToken)
		_, err := credentials.ForHomeserver(hs, credentials.Existing{RegistrationTokens: secret(naming.KeyRegistrationTokens, tokens)})
		if got := reason(t, err); got != matrixv1alpha1.ReasonSecretInvalid {
			t.Errorf("%q: reason %q", tokens, got)
		}
	}
}

// K12: a signing key that is garbage, gone or another is never replaced.
func TestK12SigningKey(t *testing.T) {
	used, other := credentials.NewSigningKey(), credentials.NewSigningKey()
	known := used.Public()
	renamed := used
	renamed.ID = "other"
	seed := base64.RawStdEncoding.EncodeToString(used.Seed)
	for _, test := range []struct {
		name     string
		existing *corev1.Secret
		known    *matrixv1alpha1.SigningKeyStatus
		want     string
	}{
		{"none yet", nil, nil, ""},
		{"the one that was used", secret(naming.KeySigningKey, used.Line()), &known, ""},
		{"one that the user brings along", secret(naming.KeySigningKey, "ed25519 a_1 "+seed), nil, ""},
		{"one with padded base64 and CRLF", secret(naming.KeySigningKey, "ed25519 a_1 "+seed+"=\r\n"), nil, ""},
		{"deleted", nil, &known, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"without its key", secret("other", "x"), &known, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"empty", secret(naming.KeySigningKey, ""), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"swapped", secret(naming.KeySigningKey, other.Line()), &known, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"renamed", secret(naming.KeySigningKey, renamed.Line()), &known, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"garbage", secret(naming.KeySigningKey, "garbage"), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"another algorithm", secret(naming.KeySigningKey, "rsa a_1 "+seed), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"a short seed", secret(naming.KeySigningKey, "ed25519 a_1 AAAA"), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"an id with a colon", secret(naming.KeySigningKey, "ed25519 a:1 "+seed), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"two lines", secret(naming.KeySigningKey, used.Line()+other.Line()), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"words on two lines", secret(naming.KeySigningKey, "ed25519\na_1 "+seed), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
		{"the placeholder of render", secret(naming.KeySigningKey, credentials.Placeholders(homeserver("")).SigningKey.Line()), nil, matrixv1alpha1.ReasonSigningKeyInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			hs := homeserver("")
			hs.Status.SigningKey = test.known
			_, err := credentials.ForHomeserver(hs, credentials.Existing{SigningKey: test.existing})
			if got := reason(t, err); got != test.want {
				t.Fatalf("reason %q, want %q (%v)", got, test.want, err)
			}
			if err != nil && strings.Contains(err.Error(), seed) {
				t.Errorf("the message shows the key: %v", err)
			}
		})
	}
}
