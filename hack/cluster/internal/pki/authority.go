// SPDX-License-Identifier: Apache-2.0

// Package pki makes the cluster's certificate authorities, certificates and
// tokens, and keeps those that are still good.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 2 * 365 * 24 * time.Hour
	// renewBefore is how long a certificate must still be good to be kept.
	renewBefore = 30 * 24 * time.Hour
	// backdate allows for clocks that are set while a machine starts.
	backdate = time.Hour
)

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// LoadAuthority reads an authority from NAME.crt and NAME.key, or makes one.
func LoadAuthority(base, commonName string) (*Authority, error) {
	if current, err := readAuthority(base); err != nil || current != nil {
		return current, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := write(base, template, authorityLife, key, &Authority{certificate: template, key: key}); err != nil {
		return nil, err
	}
	return readAuthority(base)
}

// readAuthority returns nil without an error when there is none that is good.
func readAuthority(base string) (*Authority, error) {
	certificate, err := readCertificate(base + ".crt")
	if err != nil || certificate == nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, fmt.Errorf("read key of authority: %w", err)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, fmt.Errorf("%s.key holds no key", base)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s.key: %w", base, err)
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// Certificate says what a certificate is for.
type Certificate struct {
	// CommonName and Organizations are the user and the groups in Kubernetes.
	CommonName    string
	Organizations []string
	DNSNames      []string
	Addresses     []net.IP
}

// Issue writes NAME.crt and NAME.key unless they are good and of this authority.
func (a *Authority) Issue(base string, want Certificate) error {
	current, err := readCertificate(base + ".crt")
	if err != nil {
		return err
	}
	if current != nil && current.CheckSignatureFrom(a.certificate) == nil && covers(current, want) {
		return nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: want.CommonName, Organization: want.Organizations},
		DNSNames:    want.DNSNames,
		IPAddresses: want.Addresses,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return write(base, template, certificateLife, key, a)
}

// covers tells whether a certificate serves every wanted name and subject.
func covers(have *x509.Certificate, want Certificate) bool {
	for _, name := range want.DNSNames {
		if have.VerifyHostname(name) != nil {
			return false
		}
	}
	for _, address := range want.Addresses {
		if have.VerifyHostname(address.String()) != nil {
			return false
		}
	}
	return have.Subject.CommonName == want.CommonName &&
		fmt.Sprint(have.Subject.Organization) == fmt.Sprint(want.Organizations)
}

// readCertificate returns nil without an error when there is none, or it ends soon.
func readCertificate(path string) (*x509.Certificate, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // absence is no error here
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	if time.Until(certificate.NotAfter) < renewBefore {
		return nil, nil //nolint:nilnil // as if absent
	}
	return certificate, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return key, nil
}

// write signs template with parent and writes certificate and key.
func write(base string, template *x509.Certificate, life time.Duration, key *ecdsa.PrivateKey, parent *Authority) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("choose serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-backdate)
	template.NotAfter = time.Now().Add(life)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		return fmt.Errorf("sign certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		return fmt.Errorf("make the certificate folder: %w", err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if err := os.WriteFile(base+".key", keyPEM, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return os.WriteFile(base+".crt", certificatePEM, 0o644)
}
