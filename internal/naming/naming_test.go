// SPDX-License-Identifier: Apache-2.0

package naming_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// services are children whose names must be DNS labels that begin with a
// letter; the StatefulSet's must leave room for a pod's ordinal and for the
// hash that its controller adds to a label.
func services(h naming.Homeserver) []metav1.ObjectMeta {
	return []metav1.ObjectMeta{h.ClientService(), h.FederationService(), h.PodsService()}
}

// secrets are children of one kind and therefore need different names.
func secrets(h naming.Homeserver) []metav1.ObjectMeta {
	return []metav1.ObjectMeta{
		h.ConfigSecret(), h.SigningKeySecret(), h.AdminsSecret(), h.RegistrationTokenSecret(), h.Certificate(), h.WellKnownCertificate(),
	}
}

func others(h naming.Homeserver) []metav1.ObjectMeta {
	return []metav1.ObjectMeta{h.StatefulSet(), h.ServiceAccount(), h.NetworkPolicy(), h.Ingress(), h.WellKnownIngress(), h.DataClaim()}
}

func of(name string) naming.Homeserver {
	hs := &matrixv1alpha1.Homeserver{}
	hs.Namespace, hs.Name = "matrix", name
	return naming.ForHomeserver(hs)
}

// hard are names that Kubernetes allows for a Homeserver but not for every child.
func hard() []string {
	return []string{
		"a", "campus", "2026", "9-to-5", "with.dots", strings.Repeat("a", 40), strings.Repeat("a", 41), strings.Repeat("a", 60),
		strings.Repeat("a", 39) + "-b", strings.Repeat("a.", 126) + "a", "a-b", "a-homeserver", "campus-0123abcd",
	}
}

func TestK19ChildNamesAreValidForAnyName(t *testing.T) {
	for _, name := range hard() {
		h := of(name)
		for _, meta := range services(h) {
			if problems := validation.IsDNS1035Label(meta.Name); len(problems) > 0 {
				t.Errorf("service %s: %v", meta.Name, problems)
			}
		}
		for _, meta := range append(secrets(h), others(h)...) {
			if problems := validation.IsDNS1123Subdomain(meta.Name); len(problems) > 0 {
				t.Errorf("%s: %v", meta.Name, problems)
			}
			for key, value := range meta.Labels {
				if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
					t.Errorf("label %s of %s: %v", key, meta.Name, problems)
				}
			}
		}
		if length := len(h.StatefulSet().Name); length > 52 {
			t.Errorf("the StatefulSet of %s has a name of %d characters", name, length)
		}
	}
}

func TestK21DifferentOwnersHaveDifferentChildren(t *testing.T) {
	owners := append(hard(), "a-b-c", "b-c", "a-config", "a-homeserver-config", "a.b", "a-homeserver-well-known",
		"with-dots", strings.Repeat("a", 42), "campus-0123abce")
	for _, kind := range []func(naming.Homeserver) []metav1.ObjectMeta{services, secrets} {
		seen := map[string]string{}
		for _, owner := range owners {
			for _, meta := range kind(of(owner)) {
				if other, taken := seen[meta.Name]; taken {
					t.Errorf("%s and %s both want %s", owner, other, meta.Name)
				}
				seen[meta.Name] = owner
			}
		}
	}
}

// The form that a long name is given must not be another's plain name.
func TestK21HashedNameIsNobodysPlainName(t *testing.T) {
	long := strings.Repeat("a", 60)
	if naming.Base(naming.Base(long)) == naming.Base(long) {
		t.Errorf("a Homeserver called %s would share the children of %s", naming.Base(long), long)
	}
}

// No suffix may end in another one: then x + suffix1 = y + suffix2 only if
// x = y.
func TestSuffixesAreSuffixFree(t *testing.T) {
	h := of("x")
	var suffixes []string
	for _, meta := range append(append(services(h), secrets(h)...), others(h)...) {
		suffixes = append(suffixes, strings.TrimPrefix(meta.Name, "x"))
	}
	for _, a := range suffixes {
		for _, b := range suffixes {
			if a != b && strings.HasSuffix(a, b) {
				t.Errorf("%s ends in %s", a, b)
			}
		}
	}
}

func TestSelectorIsPartOfTheLabels(t *testing.T) {
	h := of("campus")
	labels := h.Labels()
	for key, value := range h.Selector() {
		if labels[key] != value {
			t.Errorf("label %s is %q, selected is %q", key, labels[key], value)
		}
	}
}

func TestDataIsMarkedByDeletionPolicy(t *testing.T) {
	for policy, want := range map[matrixv1alpha1.DeletionPolicy]string{
		matrixv1alpha1.DeletionRetain: naming.DataRetain, matrixv1alpha1.DeletionDelete: naming.DataDelete, "": naming.DataRetain,
	} {
		hs := &matrixv1alpha1.Homeserver{}
		hs.Name, hs.Spec.DeletionPolicy = "campus", policy
		h := naming.ForHomeserver(hs)
		for _, meta := range []metav1.ObjectMeta{h.DataClaim(), h.SigningKeySecret(), h.AdminsSecret(), h.RegistrationTokenSecret()} {
			if got := meta.Labels[naming.LabelData]; got != want {
				t.Errorf("%s with policy %q is marked %q, want %q", meta.Name, policy, got, want)
			}
		}
		if got, marked := h.ConfigSecret().Labels[naming.LabelData]; marked {
			t.Errorf("the configuration is marked %q and would never be pruned", got)
		}
	}
}
