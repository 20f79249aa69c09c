// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// fieldOwner is the field manager of everything the operator applies.
const fieldOwner = client.FieldOwner(naming.FieldOwner)

// annotationApplied is on every applied object: a hash of what was applied.
const annotationApplied = "matrix.foyer.im/applied"

// change is what applying one object did.
type change int

const (
	unchanged change = iota
	created
	updated
	// restored: someone else had changed or removed a field of ours.
	restored
)

// applier applies the objects of one owner and deletes those no longer wanted.
type applier struct {
	client client.Client
	// live reads past the cache.
	live client.Reader
	// owner controls every object that is applied, those with data excepted.
	owner client.Object
	// labels are on every object of owner, and on no other.
	labels client.MatchingLabels
}

// holdsData tells whether an object outlives its owner: volumes and generated
// credentials get no owner reference, and are never pruned.
func holdsData(obj client.Object) bool {
	_, isVolume := obj.(*corev1.PersistentVolumeClaim)
	return isVolume || obj.GetLabels()[naming.LabelData] != ""
}

// apply brings one object into the cluster. It writes nothing when the object
// is there already with every field as wanted. An object of this name that
// belongs to someone else is an outcome with ReasonNotOwned, and untouched.
func (a *applier) apply(ctx context.Context, desired client.Object) (change, error) {
	intent, err := a.intent(desired)
	if err != nil {
		return unchanged, err
	}
	current, err := a.current(ctx, a.cached(desired), desired)
	if err != nil {
		return unchanged, err
	}
	if current != nil && a.check(current) == nil && steady(intent, current) {
		return unchanged, nil
	}
	// The cache may be behind: nothing is written before a live look.
	current, err = a.current(ctx, a.live, desired)
	if err != nil {
		return unchanged, err
	}
	done := created
	if current != nil {
		if err := a.check(current); err != nil {
			return unchanged, err
		}
		if steady(intent, current) {
			return unchanged, nil
		}
		done = updated
		if applied(current) == applied(intent) {
			done = restored
		}
		// The API server refuses the request if another object took the name.
		intent.SetUID(current.GetUID())
		leaveToScaler(intent, current)
	}
	if derived(desired) {
		if err := pin(intent, desired, current); err != nil {
			return unchanged, err
		}
	}
	err = a.send(ctx, intent)
	if err == nil && derived(desired) {
		remember(desired, intent)
	}
	if apierrors.IsInvalid(err) && done == restored && intent.GetKind() == "Service" {
		return done, a.replace(ctx, intent, current)
	}
	return done, err
}

// derived tells whether desired was made from what was read of the same
// object: generated credentials are kept and completed, and a volume is only
// created where there was none.
func derived(desired client.Object) bool {
	switch desired.(type) {
	case *corev1.Secret, *corev1.PersistentVolumeClaim:
		return holdsData(desired)
	}
	return false
}

// pin lets intent be applied only to what desired was made from, so that a
// password that the user changes meanwhile is not overwritten, and a volume
// that is deleted meanwhile is not replaced by a blank one. It returns a
// conflict, which leads to another look, when it is known already that there
// is something else. desired has the UID of what was read, if anything, and a
// resource version if that matters.
func pin(intent *unstructured.Unstructured, desired client.Object, current *unstructured.Unstructured) error {
	var uid types.UID
	version := ""
	if current != nil {
		uid, version = current.GetUID(), current.GetResourceVersion()
	}
	if uid != desired.GetUID() || (desired.GetResourceVersion() != "" && version != desired.GetResourceVersion()) {
		kind := schema.GroupResource{Resource: intent.GetKind()}
		return apierrors.NewConflict(kind, desired.GetName(), errors.New("changed since it was read"))
	}
	intent.SetResourceVersion(desired.GetResourceVersion())
	return nil
}

// remember notes on desired what it has become, for the next time that it is
// applied in the same reconcile. The version of a volume does not matter: its
// status changes all the time.
func remember(desired client.Object, sent *unstructured.Unstructured) {
	desired.SetUID(sent.GetUID())
	if _, secret := desired.(*corev1.Secret); secret {
		desired.SetResourceVersion(sent.GetResourceVersion())
	}
}

func (a *applier) send(ctx context.Context, intent *unstructured.Unstructured) error {
	err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(intent), fieldOwner, client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", intent.GetKind(), intent.GetName(), err)
	}
	return nil
}

// replace deletes and creates an object that cannot be restored in place:
// server-side apply adds our port beside one whose number was changed by hand,
// and two ports of one name are refused.
func (a *applier) replace(ctx context.Context, intent, current *unstructured.Unstructured) error {
	if err := deleteExactly(ctx, a.client, current); err != nil {
		return err
	}
	intent.SetUID("")
	return a.send(ctx, intent)
}

// intent is desired as it is sent: only fields that a builder set, the owner
// reference, and a hash of it all by which a later look tells a change of ours
// from one by hand.
func (a *applier) intent(desired client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(desired, a.client.Scheme())
	if err != nil {
		return nil, fmt.Errorf("kind of %T: %w", desired, err)
	}
	fields, err := content(desired)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	unstructured.RemoveNestedField(fields, "metadata", "resourceVersion")
	unstructured.RemoveNestedField(fields, "metadata", "uid")
	dropZeroes(fields, reflect.TypeOf(desired))
	intent := &unstructured.Unstructured{Object: fields}
	intent.SetGroupVersionKind(gvk)
	if !holdsData(desired) {
		reference, err := a.ownerReference()
		if err != nil {
			return nil, err
		}
		intent.SetOwnerReferences([]metav1.OwnerReference{reference})
	}
	encoded, err := json.Marshal(intent.Object)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", gvk.Kind, desired.GetName(), err)
	}
	annotations := intent.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	sum := sha256.Sum256(encoded)
	annotations[annotationApplied] = hex.EncodeToString(sum[:8])
	intent.SetAnnotations(annotations)
	return intent, nil
}

func (a *applier) ownerReference() (metav1.OwnerReference, error) {
	gvk, err := apiutil.GVKForObject(a.owner, a.client.Scheme())
	if err != nil {
		return metav1.OwnerReference{}, fmt.Errorf("kind of %T: %w", a.owner, err)
	}
	return *metav1.NewControllerRef(a.owner, gvk), nil
}

// cached is the reader for a first look: the cache, but for Secrets, whose
// content the operator does not keep in memory, and for cert-manager's kinds,
// which may go away while it runs.
func (a *applier) cached(obj runtime.Object) client.Reader {
	switch obj.(type) {
	case *corev1.Secret, *certmanagerv1.Certificate, *certmanagerv1.CertificateList:
		return a.live
	}
	return a.client
}

// current reads the object that desired names; nil if there is none.
func (a *applier) current(ctx context.Context, reader client.Reader, desired client.Object) (*unstructured.Unstructured, error) {
	found := reflect.New(reflect.TypeOf(desired).Elem()).Interface().(client.Object)
	err := reader.Get(ctx, client.ObjectKeyFromObject(desired), found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %T %s: %w", desired, desired.GetName(), err)
	}
	fields, err := content(found)
	if err != nil {
		return nil, err
	}
	current := &unstructured.Unstructured{Object: fields}
	gvk, err := apiutil.GVKForObject(found, a.client.Scheme())
	if err != nil {
		return nil, fmt.Errorf("kind of %T: %w", found, err)
	}
	current.SetGroupVersionKind(gvk)
	return current, nil
}

// check returns an outcome unless the live object is ours to write.
func (a *applier) check(live *unstructured.Unstructured) error {
	if live.GetDeletionTimestamp() != nil {
		return waitFor(matrixv1.ReasonPending, fmt.Sprintf("%s %s is being deleted; it is created again when it is gone", live.GetKind(), live.GetName()))
	}
	controller := metav1.GetControllerOf(live)
	switch {
	case controller == nil && a.labelled(live) && (holdsData(live) || ownFields(live) != nil):
		return nil // kept data, perhaps restored from a backup; or the owner reference was removed by hand
	case controller == nil:
	case controller.UID == a.owner.GetUID():
		return nil
	case controller.Name == a.owner.GetName() && a.labelled(live):
		return waitFor(matrixv1.ReasonPending, fmt.Sprintf("%s %s belongs to a deleted object of the same name; waiting until the cluster has removed it", live.GetKind(), live.GetName()))
	}
	return notOwned(live.GetKind(), live.GetName())
}

func notOwned(kind, name string) error {
	return invalid(matrixv1.ReasonNotOwned, fmt.Sprintf("%s %s exists and was not made by this object; it is left alone: rename or delete it, or use another name", kind, name))
}

// labelled tells whether live carries the labels of the owner's objects.
func (a *applier) labelled(live metav1.Object) bool {
	return labels.SelectorFromSet(labels.Set(a.labels)).Matches(labels.Set(live.GetLabels()))
}

// steady tells whether the live object has every field as intended.
func steady(intent, live *unstructured.Unstructured) bool {
	if applied(intent) != applied(live) {
		return false
	}
	want := intent.DeepCopy().Object
	delete(want, "apiVersion")
	delete(want, "kind")
	unstructured.RemoveNestedField(want, "metadata", "name")
	unstructured.RemoveNestedField(want, "metadata", "namespace")
	leaveToScaler(&unstructured.Unstructured{Object: want}, live)
	fields := ownFields(live)
	return fields != nil && covers(want, live.Object, fields)
}

func applied(obj metav1.Object) string {
	return obj.GetAnnotations()[annotationApplied]
}

// scaler is the field manager of the HorizontalPodAutoscaler controller.
const scaler = "kube-controller-manager"

// leaveToScaler removes spec.replicas from intent where an autoscaler set it
// in live. One replica and none are never left to it: one is what an embedded
// database demands, none is a suspension.
func leaveToScaler(intent, live *unstructured.Unstructured) {
	replicas, found, err := unstructured.NestedInt64(intent.Object, "spec", "replicas")
	if err != nil || !found || replicas <= 1 {
		return
	}
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource == "scale" && entry.Manager == scaler {
			unstructured.RemoveNestedField(intent.Object, "spec", "replicas")
			return
		}
	}
}

// objectKey identifies an object among those of one owner.
type objectKey struct {
	kind schema.GroupKind
	name string
}

// prune deletes every object in lists that the owner controls, that carries
// our labels, and that is not in wanted. lists are empty lists of the kinds to
// look at; most are read from the cache.
func (a *applier) prune(ctx context.Context, wanted []client.Object, lists ...client.ObjectList) error {
	keep := map[objectKey]bool{}
	for _, obj := range wanted {
		gvk, err := apiutil.GVKForObject(obj, a.client.Scheme())
		if err != nil {
			return fmt.Errorf("kind of %T: %w", obj, err)
		}
		keep[objectKey{gvk.GroupKind(), obj.GetName()}] = true
	}
	for _, list := range lists {
		if err := a.pruneKind(ctx, keep, list); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) pruneKind(ctx context.Context, keep map[objectKey]bool, list client.ObjectList) error {
	err := a.cached(list).List(ctx, list, client.InNamespace(a.owner.GetNamespace()), a.labels)
	if err != nil {
		return fmt.Errorf("list %T: %w", list, err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return fmt.Errorf("read %T: %w", list, err)
	}
	for _, item := range items {
		obj, ok := item.(client.Object)
		if !ok {
			return fmt.Errorf("read %T: %T is no object", list, item)
		}
		gvk, err := apiutil.GVKForObject(obj, a.client.Scheme())
		if err != nil {
			return fmt.Errorf("kind of %T: %w", obj, err)
		}
		if keep[objectKey{gvk.GroupKind(), obj.GetName()}] || holdsData(obj) || !metav1.IsControlledBy(obj, a.owner) {
			continue
		}
		if err := a.delete(ctx, gvk, obj); err != nil {
			return err
		}
	}
	return nil
}

// delete removes an object that the owner controls, after a live look: what
// the cache shows may have been replaced by an object of another owner.
func (a *applier) delete(ctx context.Context, gvk schema.GroupVersionKind, obj client.Object) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(gvk)
	err := a.live.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get %s %s: %w", gvk.Kind, obj.GetName(), err)
	}
	if live.UID != obj.GetUID() || !metav1.IsControlledBy(live, a.owner) || live.DeletionTimestamp != nil {
		return nil
	}
	return deleteExactly(ctx, a.client, live)
}

// deleteExactly deletes the object with the UID of obj, and no other of its name.
func deleteExactly(ctx context.Context, writer client.Writer, obj client.Object) error {
	uid := obj.GetUID()
	err := writer.Delete(ctx, obj, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s: %w", obj.GetName(), err)
	}
	return nil
}
