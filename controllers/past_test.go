// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// pastClient reads from a snapshot and writes to the live cluster: an operator
// whose watches are stuck.
type pastClient struct {
	client.Client
	past client.Reader
}

// Get implements client.Reader.
func (c *pastClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return c.past.Get(ctx, key, obj, opts...)
}

// List implements client.Reader.
func (c *pastClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.past.List(ctx, list, opts...)
}

// freeze takes a snapshot of the test's namespace. change, if not nil, edits
// the Homeserver in it.
func (w *world) freeze(hs *matrixv1.Homeserver, change func(*matrixv1.Homeserver)) *pastClient {
	w.t.Helper()
	past := read(w, hs.DeepCopy())
	if change != nil {
		change(past)
	}
	builder := fake.NewClientBuilder().WithScheme(w.Scheme()).WithReturnManagedFields().WithObjects(past)
	for field, values := range homeserverIndexes() {
		builder = builder.WithIndex(&matrixv1.Homeserver{}, field, func(obj client.Object) []string {
			return values(obj.(*matrixv1.Homeserver)) //nolint:forcetypeassert // indexed kind
		})
	}
	for _, child := range w.children(hs) {
		builder = builder.WithObjects(child)
	}
	return &pastClient{Client: w.Client, past: builder.Build()}
}

// reconcilePast runs reconciles of an operator that sees only past, and returns
// the Events that it records.
func (w *world) reconcilePast(past *pastClient, hs *matrixv1.Homeserver) []string {
	w.t.Helper()
	recorder := events.NewFakeRecorder(100)
	r := &HomeserverReconciler{Client: past, Live: w.Client, Image: testImage, Recorder: recorder, again: defaultIntervals()}
	for range 3 {
		if _, err := reconcile.AsReconciler[*matrixv1.Homeserver](past, r).Reconcile(w.ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(hs)}); err != nil {
			w.t.Log("a reconcile in the past ended with", err)
		}
	}
	var recorded []string
	for range len(recorder.Events) {
		recorded = append(recorded, <-recorder.Events)
	}
	return recorded
}

func TestK31_OldDeletionReplayedForANewUIDDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionDelete })
	hs = w.runToReady(hs)
	past := w.freeze(hs, func(old *matrixv1.Homeserver) {
		now := metav1.Now()
		old.DeletionTimestamp = &now
	})
	// Meanwhile it is deleted for good, and created again.
	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
	w.collectGarbage(hs)
	w.must(client.IgnoreNotFound(w.Delete(w.ctx, w.podOf(hs))))
	w.dropFinalizers(claimOf(hs))
	again := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionDelete })
	again = w.runToReady(again)
	op.stop()
	before := w.snapshot(again)

	w.reconcilePast(past, hs)
	if after := w.snapshot(again); after != before {
		t.Errorf("the replay changed something:\n%s\n%s", before, after)
	}
	if read(w, again.DeepCopy()).DeletionTimestamp != nil || read(w, claimOf(again)).DeletionTimestamp != nil {
		t.Error("the replay deleted something")
	}
}

func TestOperatorThatSeesAFrozenPastHarmsNothing(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]struct {
		// freezeEarly takes the snapshot right after creation, otherwise when Ready.
		freezeEarly bool
		// recreate lets another Homeserver of the same name take its place.
		recreate bool
	}{
		"before any child existed":                    {freezeEarly: true},
		"before any child existed, of an older twin":  {freezeEarly: true, recreate: true},
		"of an older twin that was Ready":             {recreate: true},
		"before the volume grew and the image change": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hs := w.createHomeserver("campus")
			var past *pastClient
			if moment.freezeEarly {
				past = w.freeze(hs, nil)
			}
			op := w.start(operatorSettings{})
			hs = w.runToReady(hs)
			if !moment.freezeEarly {
				past = w.freeze(hs, nil)
			}
			if moment.recreate {
				w.must(w.Delete(w.ctx, hs))
				w.gone(hs.DeepCopy())
				w.collectGarbage(hs)
				w.must(client.IgnoreNotFound(w.Delete(w.ctx, w.podOf(hs))))
				hs = w.runToReady(w.createHomeserver("campus"))
			} else if !moment.freezeEarly {
				update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Image = "registry.example/foyer:2" })
				w.eventually(func() error {
					return unless(read(w, statefulSetOf(hs)).Spec.Template.Spec.Containers[0].Image == hs.Spec.Image, "not applied")
				})
				w.report(hs, 1)
				w.waitFor(hs, isReady())
			}
			op.stop()
			before := w.snapshot(hs)
			w.reconcilePast(past, hs)
			if after := w.snapshot(hs); after != before {
				t.Errorf("something was written:\n%s\n%s", before, after)
			}
		})
	}
}
