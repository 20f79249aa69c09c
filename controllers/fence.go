// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrNotLeader is returned by the writes of an operator that lost its lease.
var ErrNotLeader = errors.New("not the leader any more")

// Fence returns inner with every write preceded by check; a write is refused
// when check fails. Leader election alone notices a stolen lease only at its
// next renewal, and two leaders may write until then.
func Fence(inner client.Client, check func(context.Context) error) client.Client {
	return &fencedClient{Client: inner, check: check}
}

// LeaseHeldBy returns a check for Fence: the Lease called key must be held by
// identity. It reads from reader, which must not be a cache. It returns
// ErrNotLeader when another holds the lease or none does.
func LeaseHeldBy(reader client.Reader, key client.ObjectKey, identity string) func(context.Context) error {
	return func(ctx context.Context) error {
		var lease coordinationv1.Lease
		if err := reader.Get(ctx, key, &lease); err != nil {
			return fmt.Errorf("read the leader's lease: %w", err)
		}
		if holder := lease.Spec.HolderIdentity; holder == nil || *holder != identity {
			return ErrNotLeader
		}
		return nil
	}
}

type fencedClient struct {
	client.Client
	check func(context.Context) error
}

func (c *fencedClient) guarded(ctx context.Context, write func() error) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return write()
}

// Create implements client.Writer.
func (c *fencedClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return c.guarded(ctx, func() error { return c.Client.Create(ctx, obj, opts...) })
}

// Delete implements client.Writer.
func (c *fencedClient) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return c.guarded(ctx, func() error { return c.Client.Delete(ctx, obj, opts...) })
}

// Update implements client.Writer.
func (c *fencedClient) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return c.guarded(ctx, func() error { return c.Client.Update(ctx, obj, opts...) })
}

// Patch implements client.Writer.
func (c *fencedClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return c.guarded(ctx, func() error { return c.Client.Patch(ctx, obj, patch, opts...) })
}

// Apply implements client.Writer.
func (c *fencedClient) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return c.guarded(ctx, func() error { return c.Client.Apply(ctx, obj, opts...) })
}

// DeleteAllOf implements client.Writer.
func (c *fencedClient) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	return c.guarded(ctx, func() error { return c.Client.DeleteAllOf(ctx, obj, opts...) })
}

// Status implements client.StatusClient.
func (c *fencedClient) Status() client.SubResourceWriter {
	return c.SubResource("status")
}

// SubResource implements client.SubResourceClientConstructor.
func (c *fencedClient) SubResource(name string) client.SubResourceClient {
	return &fencedSubResource{SubResourceClient: c.Client.SubResource(name), fence: c}
}

type fencedSubResource struct {
	client.SubResourceClient
	fence *fencedClient
}

// Create implements client.SubResourceWriter.
func (c *fencedSubResource) Create(ctx context.Context, obj, sub client.Object, opts ...client.SubResourceCreateOption) error {
	return c.fence.guarded(ctx, func() error { return c.SubResourceClient.Create(ctx, obj, sub, opts...) })
}

// Update implements client.SubResourceWriter.
func (c *fencedSubResource) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	return c.fence.guarded(ctx, func() error { return c.SubResourceClient.Update(ctx, obj, opts...) })
}

// Patch implements client.SubResourceWriter.
func (c *fencedSubResource) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return c.fence.guarded(ctx, func() error { return c.SubResourceClient.Patch(ctx, obj, patch, opts...) })
}

// Apply implements client.SubResourceWriter.
func (c *fencedSubResource) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	return c.fence.guarded(ctx, func() error { return c.SubResourceClient.Apply(ctx, obj, opts...) })
}
