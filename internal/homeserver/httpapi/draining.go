// SPDX-License-Identifier: Apache-2.0

package httpapi

import "context"

type drainingKey struct{}

// WithDraining returns a context whose requests learn from draining, once it
// is closed, that the server wants to stop.
func WithDraining(ctx context.Context, draining <-chan struct{}) context.Context {
	return context.WithValue(ctx, drainingKey{}, draining)
}

// Draining is closed when the server wants to stop: a long poll then answers
// with what it has. It is nil, which never is ready, where nobody said so.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return draining
}
