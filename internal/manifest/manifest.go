// SPDX-License-Identifier: Apache-2.0

// Package manifest is the root of the pure builders that turn an object of
// the API into the objects that run it. Builders do no I/O and know neither
// clock nor randomness: whatever they need is in their inputs, so that the
// same inputs always give the same bytes.
package manifest

import "fmt"

// ConfigError says that spec.config cannot be used. Its message is for the
// user and holds no values.
type ConfigError struct {
	// Message says what is wrong and where.
	Message string
}

// Error implements error.
func (e *ConfigError) Error() string { return fmt.Sprintf("spec.config: %s", e.Message) }
