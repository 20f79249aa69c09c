// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// pair is a self-signed certificate for host, and its key, as a TLS Secret has them.
func pair(t *testing.T, host string, from, to time.Time) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

func TestCheckCertificate(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const host = "matrix.campus.example"
	good := pair(t, host, now.Add(-time.Hour), now.Add(90*24*time.Hour))
	other := pair(t, host, now.Add(-time.Hour), now.Add(90*24*time.Hour))
	for name, test := range map[string]struct {
		data   map[string][]byte
		reason string
	}{
		"a certificate that fits is in order":    {good, ""},
		"no key":                                 {map[string][]byte{corev1.TLSCertKey: good[corev1.TLSCertKey]}, matrixv1.ReasonSecretKeyMissing},
		"no certificate":                         {map[string][]byte{corev1.TLSPrivateKeyKey: good[corev1.TLSPrivateKeyKey]}, matrixv1.ReasonSecretKeyMissing},
		"garbage":                                {map[string][]byte{corev1.TLSCertKey: []byte("x"), corev1.TLSPrivateKeyKey: []byte("y")}, matrixv1.ReasonSecretInvalid},
		"the key of another certificate":         {map[string][]byte{corev1.TLSCertKey: good[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: other[corev1.TLSPrivateKeyKey]}, matrixv1.ReasonKeyMismatch},
		"another host":                           {pair(t, "www.campus.example", now.Add(-time.Hour), now.Add(time.Hour)), matrixv1.ReasonWrongHost},
		"a wildcard covers the host":             {pair(t, "*.campus.example", now.Add(-time.Hour), now.Add(time.Hour)), ""},
		"ended a second ago":                     {pair(t, host, now.Add(-time.Hour), now.Add(-time.Second)), matrixv1.ReasonExpired},
		"begins in an hour: the clocks may vary": {pair(t, host, now.Add(time.Hour), now.Add(48*time.Hour)), ""},
		"begins in two days":                     {pair(t, host, now.Add(48*time.Hour), now.Add(96*time.Hour)), matrixv1.ReasonExpired},
	} {
		t.Run(name, func(t *testing.T) {
			got := checkCertificate(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cert"}, Data: test.data}, host, now)
			if (got == nil) != (test.reason == "") || (got != nil && got.reason != test.reason) {
				t.Errorf("got %v, want %q", got, test.reason)
			}
		})
	}
}

func certificateIs(status metav1.ConditionStatus, reason string) expectation {
	return expectation{kind: matrixv1.ConditionCertificateReady, status: status, reason: reason}
}

func withIssuer(name string) func(*matrixv1.Homeserver) {
	return func(hs *matrixv1.Homeserver) {
		hs.Spec.TLS = &matrixv1.TLS{IssuerRef: &matrixv1.IssuerReference{Name: name}}
	}
}

// bareWorld is a world without cert-manager's kinds. Its tests run one after
// the other, because they change what kinds there are.
func bareWorld(t *testing.T) *world {
	t.Helper()
	bareStarted.Store(true)
	env, err := bare()
	if err != nil {
		t.Fatal(err)
	}
	return newWorldIn(t, env)
}

func TestK37_IssuerWithoutCertManagerIsStalledAndTheServerRuns(t *testing.T) {
	w := bareWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", withIssuer("letsencrypt"))
	w.run(hs)
	w.waitFor(hs, stalled(matrixv1.ReasonCertManagerMissing), ready(matrixv1.ReasonCertManagerMissing),
		certificateIs(metav1.ConditionFalse, matrixv1.ReasonCertManagerMissing),
		expectation{kind: matrixv1.ConditionWorkloadAvailable, status: metav1.ConditionTrue, reason: matrixv1.ReasonAvailable})
	plain := w.createHomeserver("plain")
	w.runToReady(plain)
}

func TestK37_CertManagerThatGoesAwayWhileTheOperatorStartsIsReportedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Discovery still tells of its kinds; they are served no more.
	removed := &outage{status: http.StatusNotFound, part: "/apis/cert-manager.io/v1/"}
	removed.on.Store(true)
	w.start(operatorSettings{transport: removed.wrap})
	hs := w.createHomeserver("campus", withIssuer("letsencrypt"))
	w.run(hs)
	w.waitFor(hs, stalled(matrixv1.ReasonCertManagerMissing), certificateIs(metav1.ConditionFalse, matrixv1.ReasonCertManagerMissing))
	w.runToReady(w.createHomeserver("plain"))
}

func TestK38_CertManagerInstalledLaterIsUsedWithoutARestart(t *testing.T) {
	w := bareWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", withIssuer("letsencrypt"))
	w.run(hs)
	w.waitFor(hs, stalled(matrixv1.ReasonCertManagerMissing))

	dir, err := certManagerDefinitions()
	w.must(err)
	options := envtest.CRDInstallOptions{Paths: []string{dir}, ErrorIfPathMissing: true}
	installed, err := envtest.InstallCRDs(w.env.Config, options)
	w.must(err)
	t.Cleanup(func() { w.uninstall(installed) })
	w.must(w.Create(w.ctx, selfSigned(w.namespace, "letsencrypt")))
	certificate := exists(w, certificateOf(hs))
	w.waitFor(hs, certificateIs(metav1.ConditionFalse, matrixv1.ReasonCertificatePending))
	w.issue(certificate, metav1.ConditionTrue, "Ready")
	w.waitFor(hs, isReady(), certificateIs(metav1.ConditionTrue, matrixv1.ReasonIssued))
	if events := w.recorded(hs, "Restored"); len(events) != 0 {
		t.Errorf("the first Certificate is called a restored one: %+v", events)
	}

	// And removed again: that is said too, and harms no other server.
	w.uninstall(installed)
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Labels = map[string]string{"touched": "yes"} })
	w.waitFor(hs, stalled(matrixv1.ReasonCertManagerMissing))
	w.runToReady(w.createHomeserver("plain"))
}

// uninstall removes kinds and waits until the API server serves them no more.
func (w *world) uninstall(definitions []*apiextensionsv1.CustomResourceDefinition) {
	w.t.Helper()
	for _, definition := range definitions {
		one := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: definition.Name}}
		w.must(client.IgnoreNotFound(w.Delete(w.ctx, one)))
		looks := 0
		w.eventually(func() error {
			err := w.Get(w.ctx, client.ObjectKeyFromObject(one), one)
			if apierrors.IsNotFound(err) {
				return nil
			}
			// The API server may leave a deletion alone when its own record of
			// it conflicts with another one, until the definition changes again.
			if looks++; err == nil && looks%100 == 0 {
				metav1.SetMetaDataAnnotation(&one.ObjectMeta, "test/looks", strconv.Itoa(looks))
				err = w.Update(w.ctx, one)
			}
			return unless(false, fmt.Sprint(one.Name, " is still there: ", err, one.Status.Conditions))
		})
	}
	w.eventually(func() error {
		err := w.List(w.ctx, &certmanagerv1.CertificateList{})
		return unless(apierrors.IsNotFound(err) || meta.IsNoMatchError(err), "Certificates are still served")
	})
}

func certificateOf(hs *matrixv1.Homeserver) *certmanagerv1.Certificate {
	return &certmanagerv1.Certificate{ObjectMeta: naming.ForHomeserver(hs).Certificate()}
}

func selfSigned(namespace, name string) *certmanagerv1.Issuer {
	return &certmanagerv1.Issuer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}},
	}
}

// issue sets the Ready condition of a Certificate, as cert-manager does.
func (w *world) issue(certificate *certmanagerv1.Certificate, status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(certificate), certificate); err != nil {
			return err
		}
		certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{
			Type: certmanagerv1.CertificateConditionReady, Status: certmanagermeta.ConditionStatus(status), Reason: reason, Message: "see the order",
		}}
		return w.Status().Update(w.ctx, certificate)
	})
}

func TestK39_AbsentIssuerAndFailingCertificateAreReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", withIssuer("nobody"))
	w.run(hs)
	w.waitFor(hs, ready(matrixv1.ReasonIssuerMissing), certificateIs(metav1.ConditionFalse, matrixv1.ReasonIssuerMissing))
	w.must(w.Create(w.ctx, selfSigned(w.namespace, "nobody")))
	w.waitFor(hs, certificateIs(metav1.ConditionFalse, matrixv1.ReasonCertificatePending))
	w.issue(certificateOf(hs), metav1.ConditionFalse, "Failed")
	w.waitFor(hs, ready("Failed"), certificateIs(metav1.ConditionFalse, "Failed"))
	w.issue(certificateOf(hs), metav1.ConditionTrue, "Ready")
	w.waitFor(hs, isReady(), certificateIs(metav1.ConditionTrue, matrixv1.ReasonIssued))

	// Another way to a certificate: the Certificate object goes, the condition too.
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.TLS = nil })
	w.gone(certificateOf(hs))
	seen := w.waitFor(hs, isReady())
	if bytes.Contains([]byte(describe(seen.Status.Conditions)), []byte(matrixv1.ConditionCertificateReady)) {
		t.Errorf("the condition is still there: %s", describe(seen.Status.Conditions))
	}
}

func TestK39_OperatorThatMayNotReadClusterIssuersStillReportsTheCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{config: w.as(operatorRole(t))}) // that of a namespaced operator
	hs := w.createHomeserver("campus", withIssuer("letsencrypt"), func(hs *matrixv1.Homeserver) {
		hs.Spec.TLS.IssuerRef.Kind = matrixv1.IssuerKindClusterIssuer
	})
	w.run(hs)
	w.waitFor(hs, ready(matrixv1.ReasonCertificatePending), certificateIs(metav1.ConditionFalse, matrixv1.ReasonCertificatePending))
	w.issue(exists(w, certificateOf(hs)), metav1.ConditionTrue, "Ready")
	w.waitFor(hs, isReady())
}

func TestK40_TLSSecretWithWrongKeyHostOrDateIsReportedAndTheServerRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.TLS = &matrixv1.TLS{SecretName: "cert"} })
	w.run(hs)
	now := time.Now()
	good := pair(t, hs.Spec.Host, now.Add(-time.Hour), now.Add(time.Hour))
	wrongKey := pair(t, hs.Spec.Host, now.Add(-time.Hour), now.Add(time.Hour))
	wrongKey[corev1.TLSCertKey] = good[corev1.TLSCertKey]
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "cert"}, Type: corev1.SecretTypeTLS, Data: good}
	w.must(w.Create(w.ctx, secret))
	w.waitFor(hs, isReady(), certificateIs(metav1.ConditionTrue, matrixv1.ReasonIssued))
	for _, step := range []struct {
		data   map[string][]byte
		reason string
	}{
		{wrongKey, matrixv1.ReasonKeyMismatch},
		{pair(t, "www.example", now.Add(-time.Hour), now.Add(time.Hour)), matrixv1.ReasonWrongHost},
		{pair(t, hs.Spec.Host, now.Add(-2*time.Hour), now.Add(-time.Hour)), matrixv1.ReasonExpired},
		{map[string][]byte{corev1.TLSCertKey: []byte("x"), corev1.TLSPrivateKeyKey: []byte("y")}, matrixv1.ReasonSecretInvalid},
	} {
		update(w, secret, func(s *corev1.Secret) { s.Data = step.data })
		w.waitFor(hs, ready(step.reason), certificateIs(metav1.ConditionFalse, step.reason),
			expectation{kind: matrixv1.ConditionWorkloadAvailable, status: metav1.ConditionTrue, reason: matrixv1.ReasonAvailable})
	}
	update(w, secret, func(s *corev1.Secret) { s.Data = good })
	w.waitFor(hs, isReady())
}

func TestMirroredReasonsAreOnesThatAConditionCanHold(t *testing.T) {
	for reason, want := range map[string]string{
		"DoesNotExist": "DoesNotExist", "": matrixv1.ReasonCertificatePending, "not valid": matrixv1.ReasonCertificatePending, "9": matrixv1.ReasonCertificatePending,
	} {
		certificate := &certmanagerv1.Certificate{}
		certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{Type: certmanagerv1.CertificateConditionReady, Status: certmanagermeta.ConditionFalse, Reason: reason}}
		if got := mirrorCertificate(certificate); got == nil || got.reason != want {
			t.Errorf("%q is mirrored as %v", reason, got)
		}
	}
}
