// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// childLists are empty lists of every kind that a Homeserver without
// cert-manager has children of.
func childLists() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.StatefulSetList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.SecretList{},
		&corev1.PersistentVolumeClaimList{}, &networkingv1.IngressList{}, &networkingv1.NetworkPolicyList{},
	}
}

func objects(t *testing.T, list client.ObjectList) []client.Object {
	t.Helper()
	items, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var out []client.Object
	for _, item := range items {
		obj, ok := item.(client.Object)
		if !ok {
			t.Fatalf("%T is no object", item)
		}
		out = append(out, obj)
	}
	return out
}

func TestClaimOrder(t *testing.T) {
	at := func(seconds int64, namespace, name string, running bool) claim {
		return claim{running: running, homeserver: &matrixv1.Homeserver{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(seconds, 0)),
		}}}
	}
	for name, test := range map[string]struct{ first, second claim }{
		"the older one wins whatever its name":              {at(1, "z", "z", false), at(2, "a", "a", false)},
		"the older one wins although the younger runs":      {at(1, "z", "z", false), at(2, "a", "a", true)},
		"within one second the one that runs wins":          {at(1, "z", "z", true), at(1, "a", "a", false)},
		"within one second the namespace decides":           {at(1, "a", "z", false), at(1, "b", "a", false)},
		"within one second and one namespace the name does": {at(1, "a", "a", true), at(1, "a", "b", true)},
	} {
		t.Run(name, func(t *testing.T) {
			if !test.first.before(test.second) || test.second.before(test.first) {
				t.Error("the order is wrong or has two winners")
			}
			if got := blockedBy(test.second, []claim{test.first}); got != test.first.homeserver {
				t.Errorf("the second is blocked by %v", got)
			}
			if got := blockedBy(test.first, []claim{test.second}); got != nil {
				t.Errorf("the first is blocked by %v", got)
			}
		})
	}
}

func TestK07_SecondHomeserverOfAServerNameIsStalledAndTheFirstUntouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := w.newNamespace()
	op := w.start(operatorSettings{namespaces: []string{w.namespace, elsewhere}})
	first := w.createHomeserver("campus")
	first = w.settle(op, w.runToReady(first))
	before := w.snapshot(first)

	second := w.newHomeserver("campus", func(hs *matrixv1.Homeserver) {
		hs.Namespace = elsewhere
		hs.Spec.Host = "other." + hs.Spec.ServerName
	})
	w.must(w.Create(w.ctx, second))
	second = w.waitFor(second, ready(matrixv1.ReasonServerNameConflict), stalled(matrixv1.ReasonServerNameConflict))
	if made := w.children(second); len(made) > 0 {
		t.Errorf("the stalled one has %d objects", len(made))
	}
	writes := len(w.writes(op))
	if _, err := w.reconcileNow(op, first); err != nil {
		t.Fatal(err)
	}
	if len(w.writes(op)) != writes {
		t.Error("the first was written to")
	}
	if after := w.snapshot(first); after != before {
		t.Errorf("the first changed: %s -> %s", before, after)
	}

	// The conflict ends: the second goes on by itself.
	w.must(w.Delete(w.ctx, first))
	w.runToReady(second)
	for _, condition := range w.waitFor(second, isReady()).Status.Conditions {
		if condition.Type == matrixv1.ConditionStalled {
			t.Errorf("still stalled: %+v", condition)
		}
	}
}

func TestK18_SecondHomeserverOfAHostIsStalledUntilItsHostChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	first := w.createHomeserver("first")
	w.runToReady(first)
	second := w.createHomeserver("second", func(hs *matrixv1.Homeserver) { hs.Spec.Host = first.Spec.Host })
	w.waitFor(second, ready(matrixv1.ReasonHostConflict), expectation{
		kind: matrixv1.ConditionStalled, status: metav1.ConditionTrue, reason: matrixv1.ReasonHostConflict, message: "first",
	})
	w.waitFor(first, isReady())

	// The first moves away: that is enough for the second.
	update(w, first, func(hs *matrixv1.Homeserver) { hs.Spec.Host = "moved." + hs.Spec.ServerName })
	w.runToReady(second)
}
