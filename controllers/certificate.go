// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"regexp"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// clockTolerance is how far the clocks of this node and of the signer may be
// apart before a certificate counts as not yet valid.
const clockTolerance = 24 * time.Hour

// renewalNotice is how long before its end a certificate that the user
// maintains is reported to end soon.
const renewalNotice = 14 * 24 * time.Hour

// checkCertificate tells what keeps a TLS Secret from serving host; nil when
// nothing does. Its messages name the Secret and the host, never the content.
func checkCertificate(secret *corev1.Secret, host string, now time.Time) *outcome {
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if len(secret.Data[key]) == 0 {
			return problem(matrixv1.ReasonSecretKeyMissing, "Secret %s has no value under %s: it must be of type kubernetes.io/tls", secret.Name, key)
		}
	}
	leaf, found := parseCertificate(secret)
	switch {
	case found != nil:
		return found
	case leaf.VerifyHostname(host) != nil:
		return problem(matrixv1.ReasonWrongHost, "the certificate in Secret %s does not cover the host %s: obtain one that does", secret.Name, host)
	case now.After(leaf.NotAfter):
		return problem(matrixv1.ReasonExpired, "the certificate in Secret %s has expired: renew it", secret.Name)
	case now.Add(clockTolerance).Before(leaf.NotBefore):
		return problem(matrixv1.ReasonExpired, "the certificate in Secret %s is not valid yet: check its dates and the clocks", secret.Name)
	}
	return nil
}

// parseCertificate returns the first certificate of the Secret, which must
// belong to its key.
func parseCertificate(secret *corev1.Secret) (*x509.Certificate, *outcome) {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err == nil {
		return pair.Leaf, nil
	}
	if readable(secret) {
		return nil, problem(matrixv1.ReasonKeyMismatch, "tls.key of Secret %s does not belong to its tls.crt: store the key that the certificate was made for", secret.Name)
	}
	return nil, problem(matrixv1.ReasonSecretInvalid, "tls.crt or tls.key of Secret %s is not readable PEM: store both again", secret.Name)
}

// mismatch is how crypto/tls words a key that belongs to another certificate.
var mismatch = regexp.MustCompile(`private key (does not match|type does not match)`)

func readable(secret *corev1.Secret) bool {
	_, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	return err != nil && mismatch.MatchString(err.Error())
}

// certificateEnd returns when the certificate of a TLS Secret ends; false when
// it cannot be read.
func certificateEnd(secret *corev1.Secret) (time.Time, bool) {
	leaf, found := parseCertificate(secret)
	if found != nil {
		return time.Time{}, false
	}
	return leaf.NotAfter, true
}

// mirrorCertificate tells, in cert-manager's own reason, what a Certificate
// lacks; nil when it is ready.
func mirrorCertificate(certificate *certmanagerv1.Certificate) *outcome {
	for _, condition := range certificate.Status.Conditions {
		if condition.Type != certmanagerv1.CertificateConditionReady {
			continue
		}
		if condition.Status == certmanagermeta.ConditionTrue {
			return nil
		}
		return problem(conditionReason(condition.Reason), "cert-manager has no certificate for this host yet: see `kubectl describe certificate %s -n %s`", certificate.Name, certificate.Namespace)
	}
	return problem(matrixv1.ReasonCertificatePending, "waiting for cert-manager to issue Certificate %s", certificate.Name)
}

// validReason is what the API accepts as the reason of a condition.
var validReason = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]{0,255}[A-Za-z0-9_])?$`)

// conditionReason returns a foreign reason if a condition of ours can hold it.
func conditionReason(reason string) string {
	if validReason.MatchString(reason) {
		return reason
	}
	return matrixv1.ReasonCertificatePending
}

// problem is something found wrong that does not end the reconcile by itself.
func problem(reason, format string, args ...any) *outcome {
	return &outcome{reason: reason, message: fmt.Sprintf(format, args...)}
}

// stalledProblem is a problem that only the user can end.
func stalledProblem(reason, format string, args ...any) *outcome {
	return &outcome{stalled: true, reason: reason, message: fmt.Sprintf(format, args...)}
}
