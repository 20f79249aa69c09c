// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// ErrConfig says that the configuration is not valid.
var ErrConfig = errors.New("configuration is not valid")

// reasons name the failures that an administrator can do something about. An
// operator shows them, so they do not change.
var reasons = []struct {
	err    error
	reason string
	config bool // mended by changing the configuration, not by trying again
}{
	{ErrSigningKey, "SigningKeyInvalid", true},
	{store.ErrServerNameMismatch, "ServerNameMismatch", true},
	{store.ErrStorageUnsupported, "StorageUnsupported", true},
	{store.ErrSchemaTooNew, "SchemaTooNew", false},
	{store.ErrUnavailable, "DatabaseUnreachable", false},
	{store.ErrLocked, "Locked", false},
	{store.ErrCorrupt, "DataCorrupt", false},
	// Last: what looks like a mistake in the configuration may have one of the other causes.
	{ErrConfig, "ConfigInvalid", true},
}

// Reason returns a word for why the server cannot run, or "" when there is
// none for err, and whether changing the configuration is what helps.
func Reason(err error) (reason string, configuration bool) {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason, r.config
		}
	}
	return "", false
}
