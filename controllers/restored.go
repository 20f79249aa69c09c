// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// tell records an Event when something of ours had been changed or deleted by
// hand. The object is named as related, because Events that differ in nothing
// but their text become one, with the text of the first.
func (r *HomeserverReconciler) tell(ctx context.Context, s *homeserverScope, obj client.Object, done change) error {
	if done == created {
		deleted, err := r.deleted(ctx, s, obj)
		if err != nil {
			return err
		}
		if deleted {
			done = restored
		}
	}
	if done != restored {
		return nil
	}
	kind := obj.GetObjectKind().GroupVersionKind().Kind
	r.Recorder.Eventf(s.homeserver, obj, corev1.EventTypeWarning, "Restored", "Apply",
		"%s %s had been changed or deleted by hand; it is restored. Change the Homeserver instead", kind, obj.GetName())
	return nil
}

// deleted tells whether obj, which had to be created, had been there before:
// the same spec had been carried out, and with it obj.
func (r *HomeserverReconciler) deleted(ctx context.Context, s *homeserverScope, obj client.Object) (bool, error) {
	if _, volume := obj.(*corev1.PersistentVolumeClaim); volume {
		return false, nil // it never takes the place of one that was lost: the user begins again
	}
	last, err := r.lastStatus(ctx, s)
	if err != nil {
		return false, err
	}
	available := meta.FindStatusCondition(last.Conditions, matrixv1.ConditionWorkloadAvailable)
	if available == nil || available.ObservedGeneration != s.homeserver.Generation {
		return false, nil
	}
	if !isCertificate(obj) {
		return true, nil
	}
	certificate := meta.FindStatusCondition(last.Conditions, matrixv1.ConditionCertificateReady)
	return certificate == nil || certificate.Reason != matrixv1.ReasonCertManagerMissing, nil
}

// lastStatus reads the status that the last reconcile left; an empty one if
// the Homeserver is gone. It is read past the cache, which may not show yet
// that the objects were there: they were deleted a moment after they were made.
func (r *HomeserverReconciler) lastStatus(ctx context.Context, s *homeserverScope) (*matrixv1.HomeserverStatus, error) {
	if s.last != nil {
		return s.last, nil
	}
	var live matrixv1.Homeserver
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.homeserver), &live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get Homeserver: %w", err)
	}
	s.last = &matrixv1.HomeserverStatus{}
	if err == nil && live.UID == s.homeserver.UID {
		s.last = &live.Status
	}
	return s.last, nil
}
