// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// step is one part of a reconcile: it observes and acts, and fills the scope
// for the steps after it. It never writes status.
type step[S any] func(ctx context.Context, scope S) (ctrl.Result, error)

// runSteps runs steps in order and stops at the first that returns an error or
// asks to be called again, because later steps need what earlier ones found.
// The error says which step returned it; outcomes inside it stay visible to
// errors.As.
func runSteps[S any](ctx context.Context, scope S, steps ...step[S]) (ctrl.Result, error) {
	for _, run := range steps {
		result, err := run(ctx, scope)
		if err != nil {
			return result, fmt.Errorf("%s: %w", stepName(run), err)
		}
		if !result.IsZero() {
			log.FromContext(ctx).V(1).Info("step asked to be called again", "step", stepName(run))
			return result, nil
		}
	}
	return ctrl.Result{}, nil
}

// stepName is the name of the method that is the step, as it stands in the
// source: "applyObjects" for (*HomeserverReconciler).applyObjects.
func stepName(run any) string {
	function := runtime.FuncForPC(reflect.ValueOf(run).Pointer())
	if function == nil {
		return "step"
	}
	name := function.Name()
	name = name[strings.LastIndex(name, ".")+1:]
	return strings.TrimSuffix(name, "-fm")
}
