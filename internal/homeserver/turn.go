// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"bytes"
	"fmt"
	"os"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
)

// turnSecret reads the secret that TURN servers share with this one, nil where there are none.
func turnSecret(t config.Turn) ([]byte, error) {
	if len(t.URIs) == 0 {
		return nil, nil
	}
	text, err := os.ReadFile(t.SharedSecretFile)
	if err != nil {
		return nil, fmt.Errorf("%w: turn.sharedSecretFile: %w", ErrConfig, err)
	}
	secret := bytes.TrimSpace(text)
	if len(secret) == 0 {
		return nil, fmt.Errorf("%w: turn.sharedSecretFile: is empty", ErrConfig)
	}
	return secret, nil
}
