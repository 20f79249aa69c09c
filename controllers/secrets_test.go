// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/naming"
)

func secretsNotReady(reason string) expectation {
	return expectation{kind: matrixv1.ConditionSecretsReady, status: metav1.ConditionFalse, reason: reason}
}

func withTokens(name, key string) func(*matrixv1.Homeserver) {
	return func(hs *matrixv1.Homeserver) {
		hs.Spec.Registration = matrixv1.Registration{
			Mode: matrixv1.RegistrationToken, TokenSecretRef: &matrixv1.SecretKeyReference{Name: name, Key: key},
		}
	}
}

func (w *world) createSecret(name string, data map[string]string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
	w.must(w.Create(w.ctx, secret))
	return secret
}

func TestK08_DanglingSecretReferencesAreNamedAndResolveWithoutANudge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	tokens := w.createHomeserver("tokens", withTokens("invitations", "list"))
	w.waitFor(tokens, expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonSecretMissing, message: "invitations"}, secretsNotReady(matrixv1.ReasonSecretMissing))
	w.createSecret("invitations", map[string]string{"list": "abc\n"})
	w.runToReady(tokens)

	tls := w.createHomeserver("tls", func(hs *matrixv1.Homeserver) { hs.Spec.TLS = &matrixv1.TLS{SecretName: "own-cert"} })
	w.run(tls) // the server runs all the same
	w.waitFor(tls,
		expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonSecretMissing, message: "own-cert"},
		expectation{kind: matrixv1.ConditionCertificateReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonSecretMissing},
		expectation{kind: matrixv1.ConditionWorkloadAvailable, status: metav1.ConditionTrue, reason: matrixv1.ReasonAvailable})

	pull := w.createHomeserver("pull", func(hs *matrixv1.Homeserver) {
		hs.Spec.ImagePullSecrets = []matrixv1.LocalReference{{Name: "registry"}}
	})
	w.waitFor(pull, expectation{kind: matrixv1.ConditionSecretsReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonSecretMissing, message: "registry"})
}

func TestK10_SecretWithoutTheKeyOrWithAnEmptyValueIsStalled(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"the key is absent":  {"other": "abc"},
		"the value is empty": {"list": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(operatorSettings{})
			secret := w.createSecret("invitations", data)
			hs := w.createHomeserver("campus", withTokens("invitations", "list"))
			w.waitFor(hs, stalled(matrixv1.ReasonSecretKeyMissing), ready(matrixv1.ReasonSecretKeyMissing), secretsNotReady(matrixv1.ReasonSecretKeyMissing))
			update(w, secret, func(s *corev1.Secret) { s.Data = map[string][]byte{"list": []byte("abc")} })
			w.runToReady(hs)
		})
	}
}

func TestK11_PasswordWithNewlineOrNULIsStalled(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"a newline": "canary-secret\n",
		"a NUL":     "canary-secret\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(operatorSettings{})
			hs := w.createHomeserver("campus")
			w.runToReady(hs)
			secret := &corev1.Secret{ObjectMeta: naming.ForHomeserver(hs).AdminsSecret()}
			good := read(w, secret).DeepCopy().Data
			update(w, secret, func(s *corev1.Secret) { s.Data["admin"] = []byte(value) })
			seen := w.waitFor(hs, stalled(matrixv1.ReasonSecretInvalid), secretsNotReady(matrixv1.ReasonSecretInvalid))
			if text := describe(seen.Status.Conditions); strings.Contains(text, "canary") {
				t.Errorf("the status shows the value: %s", text)
			}
			update(w, secret, func(s *corev1.Secret) { s.Data = good })
			w.waitFor(hs, isReady())
		})
	}
}

func TestK12_SigningKeyThatIsGarbageDeletedOrSwappedIsNeverReplaced(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(w *world, hs *matrixv1.Homeserver){
		"garbage": func(w *world, hs *matrixv1.Homeserver) {
			update(w, signingSecretOf(hs), func(s *corev1.Secret) { s.Data[naming.KeySigningKey] = []byte("garbage") })
		},
		"deleted": func(w *world, hs *matrixv1.Homeserver) {
			w.must(w.Delete(w.ctx, signingSecretOf(hs)))
		},
		"swapped": func(w *world, hs *matrixv1.Homeserver) {
			other := credentials.NewSigningKey().Line()
			update(w, signingSecretOf(hs), func(s *corev1.Secret) { s.Data[naming.KeySigningKey] = []byte(other) })
		},
		"deleted and the status wiped": func(w *world, hs *matrixv1.Homeserver) {
			w.must(w.Delete(w.ctx, signingSecretOf(hs)))
			w.eventually(func() error {
				live := read(w, hs.DeepCopy())
				live.Status = matrixv1.HomeserverStatus{}
				return w.Status().Update(w.ctx, live)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			op := w.start(operatorSettings{})
			hs := w.createHomeserver("campus")
			hs = w.runToReady(hs)
			original := read(w, signingSecretOf(hs))
			set := read(w, statefulSetOf(hs))
			damage(w, hs)
			w.waitFor(hs, stalled(matrixv1.ReasonSigningKeyInvalid), secretsNotReady(matrixv1.ReasonSigningKeyInvalid))
			for range 3 {
				if _, err := w.reconcileNow(op, hs); err != nil {
					t.Fatal(err)
				}
			}
			if secret := signingSecretOf(hs); w.Get(w.ctx, client.ObjectKeyFromObject(secret), secret) == nil {
				if name := string(secret.Data[naming.KeySigningKey]); strings.HasPrefix(name, "ed25519 a_") && secret.UID != original.UID {
					t.Error("another key was generated")
				}
			}
			if read(w, statefulSetOf(hs)).Generation != set.Generation {
				t.Error("the running server was touched")
			}
			// The former Secret, restored from a backup, ends it.
			backup := &corev1.Secret{ObjectMeta: naming.ForHomeserver(hs).SigningKeySecret(), Data: original.Data}
			w.must(client.IgnoreNotFound(w.Delete(w.ctx, signingSecretOf(hs))))
			w.must(w.Create(w.ctx, backup))
			w.waitFor(hs, isReady())
		})
	}
}

func TestCredentialsAreGeneratedOnceAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.Registration.Mode = matrixv1.RegistrationToken })
	hs = w.runToReady(hs)
	names := naming.ForHomeserver(hs)
	secrets := []*corev1.Secret{{ObjectMeta: names.SigningKeySecret()}, {ObjectMeta: names.AdminsSecret()}, {ObjectMeta: names.RegistrationTokenSecret()}}
	var before []string
	for _, secret := range secrets {
		before = append(before, read(w, secret).ResourceVersion)
	}
	if hs.Status.AdminSecretName != secrets[1].Name || hs.Status.RegistrationTokenSecretName != secrets[2].Name || hs.Status.SigningKey == nil {
		t.Errorf("the status names other Secrets: %+v", hs.Status)
	}
	// A second administrator gets a password, the first keeps his.
	first := string(secrets[1].Data["admin"])
	update(w, hs, func(hs *matrixv1.Homeserver) {
		hs.Spec.Admins = []matrixv1.Localpart{"admin", "dean"}
		hs.Spec.LogLevel = matrixv1.LogLevelDebug
	})
	w.eventually(func() error {
		return unless(len(read(w, secrets[1]).Data["dean"]) > 0, "dean has no password yet")
	})
	if string(secrets[1].Data["admin"]) != first {
		t.Error("the first administrator's password changed")
	}
	for i, secret := range secrets {
		if i != 1 && read(w, secret).ResourceVersion != before[i] {
			t.Errorf("%s was written to", secret.Name)
		}
	}
}
