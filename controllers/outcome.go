// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// outcome is what a step returns, as its error, when it cannot go on for a
// reason that concerns the user. Reason and message end up in conditions, so
// they are the same each time and hold no secret.
type outcome struct {
	// stalled: nothing will change until the user acts.
	stalled bool
	reason  string
	message string
}

// Error implements error.
func (o *outcome) Error() string {
	return o.reason + ": " + o.message
}

// waitFor is the outcome of a step that waits for something which comes by
// itself, or which may be applied a little later. It is no error in the log.
func waitFor(reason, message string) error {
	return &outcome{reason: reason, message: message}
}

// invalid is the outcome of a step that cannot go on until the user acts.
func invalid(reason, message string) error {
	return &outcome{stalled: true, reason: reason, message: message}
}

// outcomeOf returns the outcome inside err. An error of the API server that
// concerns the user becomes one; nil for every other error, and for none.
func outcomeOf(err error) *outcome {
	var o *outcome
	switch {
	case err == nil:
		return nil
	case errors.As(err, &o):
		return o
	case apierrors.IsForbidden(err):
		return refused(err)
	}
	return nil
}

// denial is how the API server words a missing permission.
var denial = regexp.MustCompile(`cannot (\w+) resource "([^"]+)" in API group "([^"]*)"`)

// refused words a 403: a permission that the operator lacks, or a quota.
func refused(err error) *outcome {
	if match := denial.FindStringSubmatch(err.Error()); match != nil {
		resource := match[2]
		if match[3] != "" {
			resource += "." + match[3]
		}
		return &outcome{
			reason:  matrixv1.ReasonForbidden,
			message: fmt.Sprintf("the operator may not %s %s: grant it this verb (the role comes with the Helm chart and with config/rbac)", match[1], resource),
		}
	}
	if quota := exceededQuota(err.Error()); quota != "" {
		return &outcome{reason: matrixv1.ReasonQuotaExceeded, message: quotaMessage(quota)}
	}
	return &outcome{
		reason:  matrixv1.ReasonForbidden,
		message: "the cluster's admission control refused one of the objects: see the operator's log for its words",
	}
}

// intervals say when to look again at what no watch announces.
type intervals struct {
	// wait is for outcomes of waitFor.
	wait time.Duration
	// stalled is for outcomes of invalid: what blocks may be something that
	// is not watched, such as a StorageClass.
	stalled time.Duration
}

// conflictDelay is how long to wait after an object turned out to be newer than
// what was read of it: its change is on the way to the cache.
const conflictDelay = time.Second

// defaultIntervals are rare enough to cost little, and often enough that
// nobody has to nudge.
func defaultIntervals() intervals {
	return intervals{wait: 20 * time.Second, stalled: 2 * time.Minute}
}

// conclusion is all that conclude needs.
type conclusion struct {
	status   client.SubResourceWriter
	recorder events.EventRecorder
	again    intervals
	// before is the object as it was read, after the same with its new status.
	before, after client.Object
	// was and is are their conditions.
	was, is []metav1.Condition
	result  ctrl.Result
	err     error
}

// conclude writes the status if it changed, in one patch, tells of the
// transition in an Event, and turns the outcome of the steps into a result.
func conclude(ctx context.Context, c conclusion) (ctrl.Result, error) {
	if !equality.Semantic.DeepEqual(c.before, c.after) {
		// The lock keeps an operator that reads an old cache from overwriting
		// a newer status.
		patch := client.MergeFromWithOptions(c.before, client.MergeFromWithOptimisticLock{})
		err := c.status.Patch(ctx, c.after, patch)
		switch {
		case apierrors.IsNotFound(err):
			return ctrl.Result{}, nil // deleted meanwhile: nobody reads its status
		case apierrors.IsConflict(err):
			log.FromContext(ctx).V(1).Info("object changed while it was reconciled")
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		case err != nil:
			return ctrl.Result{}, errors.Join(c.err, fmt.Errorf("patch status: %w", err))
		}
		announce(c)
	}
	return c.next()
}

func (c conclusion) next() (ctrl.Result, error) {
	o := outcomeOf(c.err)
	switch {
	case c.err == nil:
		return c.result, nil
	case apierrors.IsConflict(c.err):
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	case o == nil || o.reason == matrixv1.ReasonForbidden:
		return ctrl.Result{}, c.err
	case o.stalled:
		return ctrl.Result{RequeueAfter: c.again.stalled}, nil
	}
	return ctrl.Result{RequeueAfter: c.again.wait}, nil
}

// announce records an Event when Ready changed its status or reason.
func announce(c conclusion) {
	was := meta.FindStatusCondition(c.was, matrixv1.ConditionReady)
	is := meta.FindStatusCondition(c.is, matrixv1.ConditionReady)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return
	}
	kind := corev1.EventTypeNormal
	if is.Status != metav1.ConditionTrue && !passing(is.Reason) {
		kind = corev1.EventTypeWarning
	}
	c.recorder.Eventf(c.after, nil, kind, is.Reason, "Reconcile", "%s", is.Message)
}

// passing tells whether a reason of not being ready is an ordinary state on
// the way, or wanted.
func passing(reason string) bool {
	switch reason {
	case matrixv1.ReasonProgressing, matrixv1.ReasonPending, matrixv1.ReasonSuspended, matrixv1.ReasonPaused,
		matrixv1.ReasonDeleting, matrixv1.ReasonCertificatePending, matrixv1.ReasonNotReady, matrixv1.ReasonResizing:
		return true
	}
	return false
}

// mergeConditions returns wanted with generation set on each, and with the
// transition time of the same condition in old where its status did not
// change. What is in old only is dropped.
func mergeConditions(old, wanted []metav1.Condition, generation int64, now time.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(wanted))
	for _, condition := range wanted {
		condition.ObservedGeneration = generation
		condition.LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
		if was := meta.FindStatusCondition(old, condition.Type); was != nil && was.Status == condition.Status {
			condition.LastTransitionTime = was.LastTransitionTime
		}
		merged = append(merged, condition)
	}
	return merged
}
