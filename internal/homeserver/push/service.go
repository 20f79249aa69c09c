// SPDX-License-Identifier: Apache-2.0

package push

import (
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Options configure a Service.
type Options struct {
	Store *store.Store
}

// Service is the push rules and notifications of one replica. It is safe for
// concurrent use.
type Service struct {
	store *store.Store
}

// New returns a Service.
func New(o Options) *Service { return &Service{store: o.Store} }
