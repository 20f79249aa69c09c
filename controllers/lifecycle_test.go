// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/config/crd"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// operatorRole is the generated ClusterRole that real operators run with.
func operatorRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		role := &rbacv1.ClusterRole{}
		if err := yaml.Unmarshal([]byte(document), role); err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			return role
		}
	}
	t.Fatal("there is no ClusterRole in role.yaml: run make generate")
	return nil
}

// as returns the configuration of a user with the rules of role.
func (w *world) as(role *rbacv1.ClusterRole) *rest.Config {
	w.t.Helper()
	name := "operator-of-" + w.namespace
	user, err := w.env.AddUser(envtest.User{Name: name}, nil)
	w.must(err)
	w.must(w.Create(w.ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: role.Rules}))
	w.must(w.Create(w.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	}))
	return user.Config()
}

func TestTheGeneratedRoleIsEnoughForAWholeLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{config: w.as(operatorRole(t))})
	hs := w.createHomeserver("campus", withIssuer("letsencrypt"), func(hs *matrixv1.Homeserver) {
		hs.Spec.Federation = &matrixv1.Federation{Enabled: true}
		hs.Spec.DeletionPolicy = matrixv1.DeletionDelete
	})
	w.run(hs)
	w.waitFor(hs, ready(matrixv1.ReasonIssuerMissing))
	w.issue(exists(w, certificateOf(hs)), metav1.ConditionTrue, "Ready")
	w.waitFor(hs, isReady())
	w.eventsOf(hs, matrixv1.ReasonReady)
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Federation = nil })
	w.gone(&corev1.Service{ObjectMeta: naming.ForHomeserver(hs).FederationService()})
	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
}

func TestTheGeneratedRoleHasNoWildcardAndNoWayToMoreRights(t *testing.T) {
	for _, rule := range operatorRole(t).Rules {
		for _, list := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources} {
			for _, word := range list {
				if slices.Contains([]string{"*", "escalate", "bind", "impersonate", "deletecollection"}, word) {
					t.Errorf("%q in %v", word, rule)
				}
			}
		}
	}
}

func TestK48_MissingVerbIsNamedAndTheOperatorGoesOnWhenItIsGranted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := operatorRole(t)
	whole := role.DeepCopy()
	for i, rule := range role.Rules {
		if slices.Contains(rule.Resources, "services") {
			role.Rules[i].Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(name string) bool { return name == "services" })
			role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch", "create", "delete"}})
		}
	}
	w.start(operatorSettings{config: w.as(role)})
	hs := w.createHomeserver("campus")
	w.waitFor(hs, expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonForbidden, message: "may not patch services"})
	update(w, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "operator-of-" + w.namespace}}, func(r *rbacv1.ClusterRole) { r.Rules = whole.Rules })
	w.runToReady(hs)
}

func TestK57_PausedHomeserverIsLeftAloneAndYetDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.DeletionPolicy = matrixv1.DeletionDelete })
	hs = w.runToReady(hs)
	update(w, hs, func(hs *matrixv1.Homeserver) {
		hs.Annotations = map[string]string{matrixv1.AnnotationPaused: "true"}
		hs.Spec.Image = "registry.example/foyer:2"
	})
	w.waitFor(hs, expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionUnknown, reason: matrixv1.ReasonPaused})
	if image := read(w, statefulSetOf(hs)).Spec.Template.Spec.Containers[0].Image; image != testImage {
		t.Errorf("a paused Homeserver got image %s", image)
	}
	w.must(w.Delete(w.ctx, hs))
	w.gone(hs.DeepCopy())
	w.gone(signingSecretOf(hs))
}

func TestSuspendedHomeserverStopsItsPodsAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	w.runToReady(hs)
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Suspend = true })
	w.waitFor(hs, ready(matrixv1.ReasonSuspended))
	w.eventually(func() error {
		return unless(*read(w, statefulSetOf(hs)).Spec.Replicas == 0, "it still has replicas")
	})
	read(w, claimOf(hs))
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Suspend = false })
	w.eventually(func() error {
		return unless(*read(w, statefulSetOf(hs)).Spec.Replicas == 1, "it has no replica")
	})
	w.report(hs, 1)
	w.waitFor(hs, isReady())
}

// previousDefinition is our CRD as a version before it may have been: without
// the rules and without fields that came later.
func previousDefinition(t *testing.T) (previous, current *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	current = definitions[0]
	previous = current.DeepCopy()
	spec := previous.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	for _, later := range []string{"rooms", "media", "rateLimits", "wellKnown", "pod", "deletionPolicy"} {
		if _, found := spec.Properties[later]; !found {
			t.Fatalf("there is no field %s", later)
		}
		delete(spec.Properties, later)
	}
	spec.XValidations = nil
	previous.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec
	return previous, current
}

func (w *world) installDefinition(definition *apiextensionsv1.CustomResourceDefinition) {
	w.t.Helper()
	live := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: definition.Name}}
	update(w, live, func(live *apiextensionsv1.CustomResourceDefinition) { live.Spec = *definition.Spec.DeepCopy() })
}

func TestK58_ObjectOfAPreviousDefinitionIsServedWithTheSameChildren(t *testing.T) {
	w := bareWorld(t)
	previous, current := previousDefinition(t)
	w.installDefinition(previous)
	t.Cleanup(func() { w.installDefinition(current) })
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	op.stop()
	before := w.portrait(hs)
	spec := hs.Spec.DeepCopy()

	w.installDefinition(current)
	w.eventually(func() error {
		// The new default shows that the new definition is served.
		return unless(read(w, hs.DeepCopy()).Spec.DeletionPolicy == matrixv1.DeletionRetain, "the old definition is served")
	})
	second := w.start(operatorSettings{})
	if _, err := w.reconcileNow(second, hs); err != nil {
		t.Fatal(err)
	}
	w.waitFor(hs, isReady())
	if after := w.portrait(hs); after != before {
		t.Errorf("the children changed:\n%s\n%s", before, after)
	}
	seen := read(w, hs.DeepCopy())
	if seen.Spec.ServerName != spec.ServerName || seen.Spec.Storage.Size.Cmp(spec.Storage.Size) != 0 {
		t.Errorf("the spec changed: %+v", seen.Spec)
	}
}

func TestK60_ClockThatIsADayOffMakesNoLoopAndNoRenewals(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{"a day ahead": 24 * time.Hour, "a day behind": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			now := func() time.Time { return time.Now().Add(skew) }
			op := w.start(operatorSettings{now: now})
			hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) { hs.Spec.TLS = &matrixv1.TLS{SecretName: "cert"} })
			w.must(w.Create(w.ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "cert"}, Type: corev1.SecretTypeTLS,
				Data: pair(t, hs.Spec.Host, time.Now().Add(-time.Minute), time.Now().Add(72*time.Hour)),
			}))
			hs = w.runToReady(hs)
			issued := w.createHomeserver("issued", withIssuer("any"))
			w.run(issued)
			w.issue(exists(w, certificateOf(issued)), metav1.ConditionTrue, "Ready")
			hs, issued = w.settle(op, hs), w.settle(op, w.waitFor(issued, isReady()))
			certificate := read(w, certificateOf(issued)).ResourceVersion

			var versions []string
			for range 5 {
				for _, one := range []*matrixv1.Homeserver{hs, issued} {
					result, err := w.reconcileNow(op, one)
					if err != nil {
						t.Fatal(err)
					}
					if result.RequeueAfter != 0 && result.RequeueAfter < time.Hour {
						t.Errorf("%s: again after %s", one.Name, result.RequeueAfter)
					}
				}
				versions = append(versions, w.snapshot(hs)+w.snapshot(issued))
			}
			if len(slices.Compact(versions)) != 1 {
				t.Errorf("something is written again and again: %v", versions)
			}
			if read(w, certificateOf(issued)).ResourceVersion != certificate {
				t.Error("the Certificate was touched")
			}
			if client.IgnoreNotFound(w.Get(w.ctx, client.ObjectKeyFromObject(hs), hs)) != nil {
				t.Error("the Homeserver is gone")
			}
		})
	}
}
