// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// ErrSigningKey says that the signing key file is not usable.
var ErrSigningKey = errors.New("signing key is not valid")

var keyIDPattern = regexp.MustCompile(`^[a-zA-Z0-9_]{1,64}$`)

// loadSigningKey reads the key at path. Where no file is and generate is set,
// it makes one: a server that has its data directory to itself needs no help.
func loadSigningKey(path string, server event.ServerName, generate bool) (event.Signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && generate {
		return generateSigningKey(path, server)
	}
	if err != nil {
		return event.Signer{}, fmt.Errorf("%w: %w", ErrSigningKey, err)
	}
	id, seed, err := parseSigningKey(string(text))
	if err != nil {
		return event.Signer{}, fmt.Errorf("%w: %s: %w", ErrSigningKey, path, err)
	}
	return event.Signer{Server: server, KeyID: "ed25519:" + id, PrivateKey: ed25519.NewKeyFromSeed(seed)}, nil
}

// parseSigningKey reads "ed25519 <key id> <unpadded base64 seed>". Its errors
// do not repeat the text: it is a secret.
func parseSigningKey(text string) (id string, seed []byte, err error) {
	fields := strings.Fields(text)
	if len(fields) != 3 || fields[0] != "ed25519" {
		return "", nil, errors.New("must be one line: ed25519, key id, seed")
	}
	if !keyIDPattern.MatchString(fields[1]) {
		return "", nil, errors.New("key id must be 1 to 64 of a-z, A-Z, 0-9 and _")
	}
	seed, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(fields[2], "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return "", nil, errors.New("seed must be 32 bytes in base64")
	}
	if distinct := map[byte]bool{}; countDistinct(seed, distinct) < 8 {
		return "", nil, errors.New("seed is not random")
	}
	return fields[1], seed, nil
}

func countDistinct(b []byte, seen map[byte]bool) int {
	for _, c := range b {
		seen[c] = true
	}
	return len(seen)
}

// generateSigningKey makes a key and puts it at path, durably and readable by
// nobody else, before anything is signed with it.
func generateSigningKey(path string, server event.ServerName) (event.Signer, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return event.Signer{}, fmt.Errorf("generate signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	id := "a" + fmt.Sprintf("%x", sum[:4])
	line := "ed25519 " + id + " " + base64.RawStdEncoding.EncodeToString(private.Seed()) + "\n"
	if err := writeSecret(path, line); err != nil {
		return event.Signer{}, fmt.Errorf("write signing key: %w", err)
	}
	return event.Signer{Server: server, KeyID: "ed25519:" + id, PrivateKey: private}, nil
}

// writeSecret creates path with mode 0600 and content, completely or not at all.
func writeSecret(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // CreateTemp makes it 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// derivedSecret returns a secret for purpose that all replicas agree on,
// because they share the signing key.
func derivedSecret(s event.Signer, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, s.PrivateKey.Seed(), nil, "foyer "+purpose, 32)
}

// EnsureToken returns the registration token in the file path, making one
// when there is no file.
func EnsureToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read registration token: %w", err)
	}
	token := rand.Text()
	if err := writeSecret(path, token+"\n"); err != nil {
		return "", fmt.Errorf("write registration token: %w", err)
	}
	return token, nil
}
