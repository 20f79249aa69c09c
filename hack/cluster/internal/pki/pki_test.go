// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestGoodCertificatesAreKeptAndOthersReplaced(t *testing.T) {
	dir := t.TempDir()
	authority, err := LoadAuthority(filepath.Join(dir, "ca"), "test")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "server")
	want := Certificate{CommonName: "server", DNSNames: []string{"a.example"}}
	issue := func(by *Authority, want Certificate) []byte {
		t.Helper()
		if err := by.Issue(base, want); err != nil {
			t.Fatal(err)
		}
		return read(t, base+".crt")
	}
	first := issue(authority, want)
	if !bytes.Equal(issue(authority, want), first) {
		t.Error("a good certificate is replaced")
	}
	want.DNSNames = append(want.DNSNames, "b.example")
	second := issue(authority, want)
	if bytes.Equal(second, first) {
		t.Error("a certificate without a wanted name is kept")
	}
	another, err := LoadAuthority(filepath.Join(dir, "ca2"), "test")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(issue(another, want), second) {
		t.Error("a certificate of another authority is kept")
	}
}

func TestEverythingIsMadeOnce(t *testing.T) {
	dirs := layout.Dirs(t.TempDir())
	first, err := Make(dirs)
	if err != nil {
		t.Fatal(err)
	}
	tokens := read(t, dirs.PKI(Tokens))
	second, err := Make(dirs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Certificate, second.Certificate) || !bytes.Equal(tokens, read(t, dirs.PKI(Tokens))) {
		t.Error("authority or tokens change")
	}
	if !bytes.Equal(read(t, dirs.CA()), first.Certificate) {
		t.Error("clients are given another root certificate")
	}
	for _, name := range []string{APIServer, KubeletClient, NodeServing, ServiceAccount, FrontProxy, IngressCA} {
		info, err := os.Stat(dirs.PKI(name + ".key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key: %v, %v", name, info, err)
		}
	}
}
