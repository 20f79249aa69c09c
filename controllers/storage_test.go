// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

func TestK25_DeletedVolumeIsNotReplacedByABlankOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	claim := read(w, claimOf(hs))
	w.must(w.Delete(w.ctx, claim))
	// While the pod runs, the claim only waits to be deleted: time for a backup.
	w.waitFor(hs, stalled(matrixv1.ReasonDataLost), expectation{kind: matrixv1.ConditionStorageReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonDataLost, message: "backup now"})
	w.dropFinalizers(claimOf(hs))
	w.waitFor(hs, expectation{kind: matrixv1.ConditionStalled, status: metav1.ConditionTrue, reason: matrixv1.ReasonDataLost, message: annotationVolume})
	for range 3 {
		if _, err := w.reconcileNow(op, hs); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Get(w.ctx, client.ObjectKeyFromObject(claim), claimOf(hs)); !apierrors.IsNotFound(err) {
		t.Fatalf("a blank volume took the place of the data: %v", err)
	}

	// A claim restored from a backup, with its labels, is taken.
	restored := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Name, Labels: claim.Labels, Annotations: maps.Clone(claim.Annotations)},
		Spec:       *claim.Spec.DeepCopy(),
	}
	w.must(w.Create(w.ctx, restored))
	w.bind(hs)
	seen := w.waitFor(hs, isReady())
	if seen.Status.VolumeUID != string(restored.UID) {
		t.Errorf("the status names volume %s, not %s", seen.Status.VolumeUID, restored.UID)
	}
}

func TestK25_VolumeDeletedBetweenTwoLooksIsNotReplacedByABlankOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.settle(op, w.runToReady(hs))
	op.stop()
	// The first look, at the cache, finds the volume, which has to be changed.
	past := w.freeze(hs, func(hs *matrixv1.Homeserver) { hs.Spec.Storage.Size = quantity("2Gi") })
	w.must(w.Delete(w.ctx, claimOf(hs)))
	w.dropFinalizers(claimOf(hs))
	w.gone(claimOf(hs))
	w.reconcilePast(past, hs)
	if err := w.Get(w.ctx, client.ObjectKeyFromObject(claimOf(hs)), claimOf(hs)); !apierrors.IsNotFound(err) {
		t.Fatalf("a blank volume took the place of the data: %v", err)
	}
}

func TestK25_UserMayBeginAgainWithoutTheData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	key := read(w, signingSecretOf(hs)).Data[naming.KeySigningKey]
	w.must(w.Delete(w.ctx, claimOf(hs)))
	w.dropFinalizers(claimOf(hs))
	w.waitFor(hs, stalled(matrixv1.ReasonDataLost))
	update(w, signingSecretOf(hs), func(s *corev1.Secret) { delete(s.Annotations, annotationVolume) })
	w.bind(hs)
	w.waitFor(hs, isReady())
	if got := read(w, signingSecretOf(hs)).Data[naming.KeySigningKey]; string(got) != string(key) {
		t.Error("the signing key changed")
	}
	if events := w.recorded(hs, "Restored"); len(events) != 0 {
		t.Errorf("the blank volume is called a restored one: %+v", events)
	}
}

func (w *world) storageClass(expandable bool) string {
	w.t.Helper()
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Provisioner: "test.example/none", AllowVolumeExpansion: ptr.To(expandable),
	}
	w.must(w.Create(w.ctx, class))
	w.t.Cleanup(func() {
		if err := w.Delete(context.Background(), class); err != nil {
			w.t.Log("delete the StorageClass:", err)
		}
	})
	return class.Name
}

func TestK26_VolumeGrowsWhereItsClassAllowsItAndIsStalledOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	grow := func(hs *matrixv1.Homeserver) { hs.Spec.Storage.Size = quantity("2Gi") }

	elastic := w.createHomeserver("elastic", func(hs *matrixv1.Homeserver) {
		hs.Spec.Storage.StorageClassName = ptr.To(w.storageClass(true))
	})
	w.runToReady(elastic)
	update(w, elastic, grow)
	w.waitFor(elastic, isReady(), expectation{kind: matrixv1.ConditionStorageReady, status: metav1.ConditionTrue, reason: matrixv1.ReasonResizing})
	if claim := read(w, claimOf(elastic)); claim.Spec.Resources.Requests.Storage().Cmp(quantity("2Gi")) != 0 {
		t.Errorf("the claim asks for %s", claim.Spec.Resources.Requests.Storage())
	}
	w.bind(elastic)
	w.waitFor(elastic, expectation{kind: matrixv1.ConditionStorageReady, status: metav1.ConditionTrue, reason: matrixv1.ReasonBound})

	class := w.storageClass(false)
	rigid := w.createHomeserver("rigid", func(hs *matrixv1.Homeserver) { hs.Spec.Storage.StorageClassName = &class })
	w.runToReady(rigid)
	update(w, rigid, func(hs *matrixv1.Homeserver) {
		grow(hs)
		hs.Spec.Image = "registry.example/foyer:2"
	})
	w.waitFor(rigid, stalled(matrixv1.ReasonVolumeNotExpandable), expectation{kind: matrixv1.ConditionStorageReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonVolumeNotExpandable})
	if image := read(w, statefulSetOf(rigid)).Spec.Template.Spec.Containers[0].Image; image != "registry.example/foyer:2" {
		t.Errorf("the rest of the change was not applied: image %s", image)
	}
	// The administrator allows it: nobody has to nudge.
	update(w, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}}, func(c *storagev1.StorageClass) { c.AllowVolumeExpansion = ptr.To(true) })
	w.report(rigid, 1)
	w.waitFor(rigid, isReady())
}

func TestK27_RecreatedHomeserverAdoptsItsVolumeAndKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	claim, secret := read(w, claimOf(hs)), read(w, signingSecretOf(hs))
	for _, child := range w.children(hs) {
		if owned := metav1.IsControlledBy(child, hs); owned == holdsData(child) {
			t.Errorf("%T %s: has owner %v", child, child.GetName(), owned)
		}
	}

	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
	again := w.createHomeserver("campus")
	// Until the garbage collector has removed the old children, they are in the way.
	w.waitFor(again, ready(matrixv1.ReasonPending))
	w.collectGarbage(hs)
	again = w.runToReady(again)
	if got := read(w, claimOf(again)); got.UID != claim.UID {
		t.Error("the volume is another one")
	}
	if got := read(w, signingSecretOf(again)); got.UID != secret.UID || string(got.Data[naming.KeySigningKey]) != string(secret.Data[naming.KeySigningKey]) {
		t.Error("the signing key is another one")
	}
	if again.Status.SigningKey == nil || *again.Status.SigningKey != *hs.Status.SigningKey {
		t.Errorf("the status shows key %+v, not %+v", again.Status.SigningKey, hs.Status.SigningKey)
	}
}

func TestK27_KeyOfARetainedVolumeIsNotReplacedByARecreatedHomeserver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
	w.collectGarbage(hs)
	w.must(w.Delete(w.ctx, signingSecretOf(hs)))
	again := w.createHomeserver("campus")
	w.waitFor(again, stalled(matrixv1.ReasonSigningKeyInvalid))
}

func TestDeletionPolicyDeleteRemovesTheData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionDelete })
	hs = w.runToReady(hs)
	// Another's volume in the same namespace must not suffer.
	other := w.createHomeserver("other")
	w.runToReady(other)
	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
	w.gone(signingSecretOf(hs))
	w.dropFinalizers(claimOf(hs))
	w.gone(claimOf(hs))
	read(w, claimOf(other))
	read(w, signingSecretOf(other))
}

func TestDeletionPolicyChangedBackToRetainKeepsTheData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionDelete })
	hs = w.runToReady(hs)
	op.stop() // it sees neither the change nor the deletion in time
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionRetain })
	w.must(w.Delete(w.ctx, hs))
	w.start(operatorSettings{})
	w.gone(hs.DeepCopy())
	if read(w, claimOf(hs)).DeletionTimestamp != nil {
		t.Error("the volume is being deleted")
	}
	read(w, signingSecretOf(hs))
}
