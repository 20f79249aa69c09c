// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// newHomeserver is a Homeserver whose names no other test has.
func (w *world) newHomeserver(name string, change ...func(*matrixv1.Homeserver)) *matrixv1.Homeserver {
	hs := &matrixv1.Homeserver{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	hs.Spec.ServerName = name + "." + w.namespace + ".example"
	hs.Spec.Host = "matrix." + hs.Spec.ServerName
	hs.Spec.Storage.Size = quantity("1Gi")
	for _, f := range change {
		f(hs)
	}
	return hs
}

func (w *world) createHomeserver(name string, change ...func(*matrixv1.Homeserver)) *matrixv1.Homeserver {
	w.t.Helper()
	hs := w.newHomeserver(name, change...)
	w.must(w.Create(w.ctx, hs))
	return hs
}

// read reads the live object that obj names.
func read[T client.Object](w *world, obj T) T {
	w.t.Helper()
	w.must(w.Get(w.ctx, client.ObjectKeyFromObject(obj), obj))
	return obj
}

// exists waits until the object that obj names exists.
func exists[T client.Object](w *world, obj T) T {
	w.t.Helper()
	w.eventually(func() error { return w.Get(w.ctx, client.ObjectKeyFromObject(obj), obj) })
	return obj
}

// gone waits until it does not.
func (w *world) gone(obj client.Object) {
	w.t.Helper()
	w.eventually(func() error {
		err := w.Get(w.ctx, client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%T %s is still there: %w", obj, obj.GetName(), err)
	})
}

// update changes the live object until no one else changed it meanwhile.
func update[T client.Object](w *world, obj T, change func(T)) {
	w.t.Helper()
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return w.Update(w.ctx, obj)
	})
}

func statefulSetOf(hs *matrixv1.Homeserver) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: naming.ForHomeserver(hs).StatefulSet()}
}

func claimOf(hs *matrixv1.Homeserver) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: naming.ForHomeserver(hs).DataClaim()}
}

func signingSecretOf(hs *matrixv1.Homeserver) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: naming.ForHomeserver(hs).SigningKeySecret()}
}

// bind gives the volume claim of hs a volume, as a provisioner would.
func (w *world) bind(hs *matrixv1.Homeserver) {
	w.t.Helper()
	claim := exists(w, claimOf(hs))
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return err
		}
		claim.Status.Phase = corev1.ClaimBound
		claim.Status.Capacity = claim.Spec.Resources.Requests
		return w.Status().Update(w.ctx, claim)
	})
}

// ownSet waits for the StatefulSet that belongs to hs itself and not to a
// deleted one of the same name.
func (w *world) ownSet(hs *matrixv1.Homeserver) *appsv1.StatefulSet {
	w.t.Helper()
	set := statefulSetOf(hs)
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		return unless(metav1.IsControlledBy(set, hs) && set.DeletionTimestamp == nil, "the StatefulSet is another's")
	})
	return set
}

// pod creates the server's pod as the StatefulSet controller would, with the
// status that change gives it.
func (w *world) pod(hs *matrixv1.Homeserver, change func(*corev1.PodStatus)) *corev1.Pod {
	w.t.Helper()
	set := w.ownSet(hs)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: set.Name + "-0", Labels: set.Spec.Template.Labels, Annotations: set.Spec.Template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
		},
		Spec: set.Spec.Template.Spec,
	}
	if err := w.Create(w.ctx, pod); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		change(&pod.Status)
		return w.Status().Update(w.ctx, pod)
	})
	return pod
}

func serving(status *corev1.PodStatus) {
	status.Phase = corev1.PodRunning
	status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	status.ContainerStatuses = []corev1.ContainerStatus{{Name: naming.ContainerHomeserver, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

// crashed is the status of a pod whose server ended with code and message.
func crashed(code int32, message string) func(*corev1.PodStatus) {
	return func(status *corev1.PodStatus) {
		status.Phase = corev1.PodRunning
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
		status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: naming.ContainerHomeserver, RestartCount: 3,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message}},
		}}
	}
}

// waiting is the status of a pod whose container waits for reason.
func waiting(reason, message string) func(*corev1.PodStatus) {
	return func(status *corev1.PodStatus) {
		status.Phase = corev1.PodPending
		status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: naming.ContainerHomeserver, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}
	}
}

// report writes the status of the StatefulSet of hs, with so many pods ready.
func (w *world) report(hs *matrixv1.Homeserver, replicas int32) {
	w.t.Helper()
	set := w.ownSet(hs)
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		set.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: set.Generation, Replicas: replicas, ReadyReplicas: replicas, UpdatedReplicas: replicas,
			AvailableReplicas: replicas, CurrentReplicas: replicas, UpdateRevision: "r1", CurrentRevision: "r1",
		}
		return w.Status().Update(w.ctx, set)
	})
}

// run does what provisioner, scheduler and kubelet do for a healthy server.
func (w *world) run(hs *matrixv1.Homeserver) {
	w.t.Helper()
	w.bind(hs)
	w.pod(hs, serving)
	w.report(hs, 1)
}

func isReady() expectation {
	return expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionTrue, reason: matrixv1.ReasonReady}
}

// runToReady makes hs Ready.
func (w *world) runToReady(hs *matrixv1.Homeserver) *matrixv1.Homeserver {
	w.t.Helper()
	w.run(hs)
	return w.waitFor(hs, isReady())
}

// eventsOf returns the Events about hs with reason, once there is one.
func (w *world) eventsOf(hs *matrixv1.Homeserver, reason string) []eventsv1.Event {
	w.t.Helper()
	var found []eventsv1.Event
	w.eventually(func() error {
		found = w.recorded(hs, reason)
		return unless(len(found) > 0, "no Event "+reason)
	})
	return found
}

// recorded returns the Events about hs with reason that there are.
func (w *world) recorded(hs *matrixv1.Homeserver, reason string) []eventsv1.Event {
	w.t.Helper()
	var list eventsv1.EventList
	w.must(w.List(w.ctx, &list, client.InNamespace(hs.Namespace)))
	return slices.DeleteFunc(list.Items, func(event eventsv1.Event) bool {
		return event.Regarding.UID != hs.UID || event.Reason != reason
	})
}

// collectGarbage deletes, until the test ends, what the garbage collector would
// after hs is gone; an operator may create more just then.
func (w *world) collectGarbage(hs *matrixv1.Homeserver) {
	w.t.Helper()
	sweep := func() error {
		for _, list := range childLists() {
			if err := w.List(w.ctx, list, client.InNamespace(hs.Namespace)); err != nil {
				return err
			}
			for _, obj := range objects(w.t, list) {
				if !metav1.IsControlledBy(obj, hs) {
					continue
				}
				if err := w.Delete(w.ctx, obj); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
		}
		return nil
	}
	w.must(sweep())
	ctx, cancel := context.WithCancel(w.ctx)
	var collector sync.WaitGroup
	collector.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = sweep() // what fails is tried again
			}
		}
	})
	w.t.Cleanup(func() { cancel(); collector.Wait() })
}

// children are all live objects with the labels of hs.
func (w *world) children(hs *matrixv1.Homeserver) []client.Object {
	w.t.Helper()
	var out []client.Object
	for _, list := range childLists() {
		w.must(w.List(w.ctx, list, client.InNamespace(hs.Namespace), client.MatchingLabels(naming.ForHomeserver(hs).Labels())))
		out = append(out, objects(w.t, list)...)
	}
	return out
}

// snapshot is the versions of hs and all its children: equal snapshots mean
// that nothing was written.
func (w *world) snapshot(hs *matrixv1.Homeserver) string {
	w.t.Helper()
	text := "Homeserver@" + read(w, hs.DeepCopy()).ResourceVersion
	for _, obj := range w.children(hs) {
		text += fmt.Sprintf(" %T/%s@%s", obj, obj.GetName(), obj.GetResourceVersion())
	}
	return text
}

// dropFinalizers lets an object go that the API server protects, such as a
// volume claim, as the cluster's controllers would.
func (w *world) dropFinalizers(obj client.Object) {
	w.t.Helper()
	w.eventually(func() error {
		err := w.Get(w.ctx, client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) || (err == nil && obj.GetDeletionTimestamp() == nil) {
			return nil
		}
		if err != nil {
			return err
		}
		obj.SetFinalizers(nil)
		return client.IgnoreNotFound(w.Update(w.ctx, obj))
	})
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

func (w *world) podOf(hs *matrixv1.Homeserver) *corev1.Pod {
	set := statefulSetOf(hs)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: set.Name + "-0"}}
}

// settle waits until another reconcile of hs changes nothing: what the last
// ones wrote has come back through the caches.
func (w *world) settle(op *operator, hs *matrixv1.Homeserver) *matrixv1.Homeserver {
	w.t.Helper()
	w.eventually(func() error {
		before := w.snapshot(hs)
		result, err := w.reconcileNow(op, hs)
		if err != nil {
			return err
		}
		return unless(w.snapshot(hs) == before && result.RequeueAfter != conflictDelay, "reconciles still change something")
	})
	return read(w, hs.DeepCopy())
}
