// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

// The base names of files below the folder pki.
const (
	ClusterCA      = "cluster-ca"
	FrontProxyCA   = "front-proxy-ca"
	IngressCA      = "ingress-ca"
	APIServer      = "kube-apiserver"
	KubeletClient  = "kube-apiserver-kubelet-client"
	FrontProxy     = "front-proxy-client"
	NodeServing    = "node-serving"
	ServiceAccount = "service-account"
	// IngressToken is the token that the ingress controller shows, for it
	// knows no client certificates; Tokens is the API server's list of tokens.
	IngressToken = "ingress.token"
	Tokens       = "tokens.csv"
)

// User is an identity with a kubeconfig of its own.
type User struct {
	// File is the base name of its certificate.
	File string
	// Name and Groups are what the API server sees.
	Name   string
	Groups []string
}

// IngressUser is the ingress controller's name, bound to a role in the cluster.
const IngressUser = "foyer-cluster:ingress"

// Users are the identities of the administrator and of the daemons.
var Users = []User{
	{"admin", "admin", []string{"system:masters"}},
	{"kubelet", "system:node:" + layout.NodeName, []string{"system:nodes"}},
	{"kube-controller-manager", "system:kube-controller-manager", nil},
	{"kube-scheduler", "system:kube-scheduler", nil},
	{"kube-proxy", "system:kube-proxy", nil},
	{"coredns", "foyer-cluster:dns", nil},
	{"cert-manager", "foyer-cluster:cert-manager", nil},
	{"local-path-provisioner", "foyer-cluster:storage", nil},
}

// AuthorityFiles is an authority as PEM, to be given to another program.
type AuthorityFiles struct{ Certificate, Key []byte }

// Make writes all that is missing and returns the authority of the ingress.
func Make(dirs layout.Dirs) (*AuthorityFiles, error) {
	cluster, err := LoadAuthority(dirs.PKI(ClusterCA), "foyer-cluster")
	if err != nil {
		return nil, err
	}
	front, err := LoadAuthority(dirs.PKI(FrontProxyCA), "foyer-cluster front proxy")
	if err != nil {
		return nil, err
	}
	if _, err := LoadAuthority(dirs.PKI(IngressCA), "Foyer test cluster"); err != nil {
		return nil, err
	}
	if err := front.Issue(dirs.PKI(FrontProxy), Certificate{CommonName: FrontProxy}); err != nil {
		return nil, err
	}
	for base, want := range clusterCertificates() {
		if err := cluster.Issue(dirs.PKI(base), want); err != nil {
			return nil, err
		}
	}
	if err := makeServiceAccountKey(dirs.PKI(ServiceAccount)); err != nil {
		return nil, err
	}
	if err := makeTokens(dirs); err != nil {
		return nil, err
	}
	return publish(dirs)
}

// publish copies the ingress's root certificate to where clients look for it.
func publish(dirs layout.Dirs) (*AuthorityFiles, error) {
	certificate, err := os.ReadFile(dirs.PKI(IngressCA + ".crt"))
	if err != nil {
		return nil, fmt.Errorf("read the ingress's authority: %w", err)
	}
	key, err := os.ReadFile(dirs.PKI(IngressCA + ".key"))
	if err != nil {
		return nil, fmt.Errorf("read the ingress's authority: %w", err)
	}
	if err := os.WriteFile(dirs.CA(), certificate, 0o644); err != nil {
		return nil, fmt.Errorf("write the ingress's root certificate: %w", err)
	}
	return &AuthorityFiles{certificate, key}, nil
}

// clusterCertificates are the wanted certificates by base name.
func clusterCertificates() map[string]Certificate {
	node := ip(layout.NodeAddress)
	wanted := map[string]Certificate{
		APIServer: {
			CommonName: APIServer,
			DNSNames: []string{
				"kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc." + layout.ClusterDomain, "localhost",
			},
			Addresses: []net.IP{node, ip(layout.APIAddress), net.IPv4(127, 0, 0, 1)},
		},
		KubeletClient: {CommonName: KubeletClient, Organizations: []string{"system:masters"}},
		NodeServing:   {CommonName: layout.NodeName, DNSNames: []string{layout.NodeName}, Addresses: []net.IP{node}},
	}
	for _, user := range Users {
		wanted[user.File] = Certificate{CommonName: user.Name, Organizations: user.Groups}
	}
	return wanted
}

func ip(address netip.Addr) net.IP { return net.IP(address.AsSlice()) }

// makeServiceAccountKey writes the pair that signs and verifies pods' tokens.
func makeServiceAccountKey(base string) error {
	if _, err := os.Stat(base + ".key"); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode service account key: %w", err)
	}
	if err := os.WriteFile(base+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644); err != nil {
		return fmt.Errorf("write service account key: %w", err)
	}
	return os.WriteFile(base+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600)
}

// makeTokens writes the ingress controller's token and the API server's list.
func makeTokens(dirs layout.Dirs) error {
	token, err := os.ReadFile(dirs.PKI(IngressToken))
	if errors.Is(err, fs.ErrNotExist) {
		token = []byte(rand.Text())
		err = os.WriteFile(dirs.PKI(IngressToken), token, 0o600)
	}
	if err != nil {
		return fmt.Errorf("make the ingress controller's token: %w", err)
	}
	line := fmt.Sprintf("%s,%s,%s\n", token, IngressUser, IngressUser)
	return os.WriteFile(dirs.PKI(Tokens), []byte(line), 0o600)
}
