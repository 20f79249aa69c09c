// SPDX-License-Identifier: Apache-2.0

// Package fault holds named failpoints: places where a test may make the
// program fail or stop. In production no injector is set and Hit is a nil
// check.
package fault

import "context"

// Injector decides what happens at the failpoint name: nil goes on, an error
// is returned to the caller, and a test that wants a crash exits the process.
type Injector func(name string) error

type key struct{}

// With returns a context in which Hit asks inject.
func With(ctx context.Context, inject Injector) context.Context {
	return context.WithValue(ctx, key{}, inject)
}

// Hit passes the failpoint name.
func Hit(ctx context.Context, name string) error {
	if inject, ok := ctx.Value(key{}).(Injector); ok {
		return inject(name)
	}
	return nil
}
