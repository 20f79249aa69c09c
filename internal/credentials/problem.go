// SPDX-License-Identifier: Apache-2.0

// Package credentials makes the values that are generated once and kept:
// signing keys, administrators' passwords and registration tokens.
//
// An existing Secret is an input: a value found there is checked and kept,
// and only what was never there is generated. A value that was there and is
// gone or broken is a Problem, never a reason to generate another: a server
// with a new signing key is a different server to everyone else.
package credentials

import (
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// Problem is what is wrong with a Secret and what to do about it. Its text
// never holds any part of the value.
type Problem struct {
	// Reason is a condition reason, one of the constants of the API.
	Reason string
	// Secret and Key say where; Key may be empty.
	Secret string
	Key    string
	// Message says what is wrong and what to do.
	Message string
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Key == "" {
		return fmt.Sprintf("secret %s: %s", p.Secret, p.Message)
	}
	return fmt.Sprintf("secret %s, key %s: %s", p.Secret, p.Key, p.Message)
}

// Value returns the value of key in secret, which may be nil when the Secret
// called name does not exist.
//
// Returns a *Problem with reason SecretMissing or SecretKeyMissing.
func Value(secret *corev1.Secret, name, key string) ([]byte, error) {
	if secret == nil {
		return nil, &Problem{
			Reason: matrixv1alpha1.ReasonSecretMissing, Secret: name, Key: key,
			Message: "the Secret does not exist; create it in the same namespace",
		}
	}
	value := secret.Data[key]
	if len(value) == 0 {
		return nil, &Problem{
			Reason: matrixv1alpha1.ReasonSecretKeyMissing, Secret: name, Key: key,
			Message: "the key is absent or its value is empty; add it",
		}
	}
	return value, nil
}

// maxPassword is what the server accepts at most, so that hashing stays cheap.
const maxPassword = 512

// Password returns the value of key in secret, checked to be usable as a
// password: valid UTF-8 of at most 512 bytes without control characters.
//
// Returns a *Problem with reason SecretMissing, SecretKeyMissing or
// SecretInvalid.
func Password(secret *corev1.Secret, name, key string) (string, error) {
	value, err := Value(secret, name, key)
	if err != nil {
		return "", err
	}
	text := string(value)
	switch {
	case !utf8.ValidString(text):
		return "", invalid(name, key, "the value is not valid UTF-8; set a password in plain text")
	case strings.ContainsFunc(text, isControl):
		return "", invalid(name, key, "the value holds a line break or another control character, which nobody can type; "+
			"set it again without one (printf, not echo)")
	case len(text) > maxPassword:
		return "", invalid(name, key, fmt.Sprintf("the value is longer than %d bytes; set a shorter password", maxPassword))
	}
	return text, nil
}

// Tokens returns the registration tokens in the value of key, one a line;
// blank lines are skipped. A token has 1 to 64 of the characters that the
// Matrix specification allows (A-Z a-z 0-9 . _ ~ -).
//
// Returns a *Problem with reason SecretMissing, SecretKeyMissing or
// SecretInvalid.
func Tokens(secret *corev1.Secret, name, key string) ([]string, error) {
	value, err := Value(secret, name, key)
	if err != nil {
		return nil, err
	}
	var tokens []string
	for line := range strings.Lines(string(value)) {
		token := strings.TrimRight(line, "\r\n")
		if token == "" {
			continue
		}
		if len(token) > 64 || strings.ContainsFunc(token, notInToken) {
			return nil, invalid(name, key, "a registration token must have 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -, one token a line")
		}
		tokens = append(tokens, token)
	}
	if len(tokens) == 0 {
		return nil, invalid(name, key, "there is no registration token in it; write one a line")
	}
	return tokens, nil
}

func invalid(name, key, message string) *Problem {
	return &Problem{Reason: matrixv1alpha1.ReasonSecretInvalid, Secret: name, Key: key, Message: message}
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) }

func notInToken(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("._~-", r)
}
