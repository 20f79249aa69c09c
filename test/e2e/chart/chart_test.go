// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package chart tests what the Helm chart renders for values that the
// end-to-end tests do not install.
package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const path = "../../../charts/foyer"

// helm renders the chart as release foyer in namespace foyer-system.
func helm(t *testing.T, values string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	program := "helm"
	if bin := os.Getenv("FOYER_CLUSTER_BIN"); bin != "" {
		program = filepath.Join(bin, "helm")
	}
	command := exec.CommandContext(t.Context(), program, "template", "foyer", path, "--namespace", "foyer-system",
		"--kube-version", "1.34", "--values", file)
	out, err := command.Output()
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(out), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects, nil
}

func rendered(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := helm(t, values)
	if err != nil {
		t.Fatalf("helm template (make cluster-up builds helm): %v", err)
	}
	return objects
}

// all returns the rendered objects of the kind of T.
func all[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var found []T
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		found = append(found, typed)
	}
	return found
}

func operator(t *testing.T, objects []*unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	deployments := all[appsv1.Deployment](t, objects, "Deployment")
	if len(deployments) != 1 {
		t.Fatalf("%d deployments", len(deployments))
	}
	return deployments[0].Spec.Template.Spec
}

func TestOperatorRunsItsOwnImageAndHomeserversToo(t *testing.T) {
	container := operator(t, rendered(t, "image: {repository: registry.example/foyer, tag: v9}")).Containers[0]
	if container.Image != "registry.example/foyer:v9" || !slices.Contains(container.Args, "--homeserver-image=registry.example/foyer:v9") {
		t.Errorf("image %s, arguments %v", container.Image, container.Args)
	}
	container = operator(t, rendered(t, "homeserver: {image: registry.example/other:1}")).Containers[0]
	if !slices.Contains(container.Args, "--homeserver-image=registry.example/other:1") {
		t.Errorf("arguments %v", container.Args)
	}
}

func TestOperatorPodIsRestricted(t *testing.T) {
	pod := operator(t, rendered(t, "{}"))
	security := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || !slices.Contains(security.Capabilities.Drop, "ALL") {
		t.Errorf("security context %+v, %+v", pod.SecurityContext, security)
	}
}

func TestWatchedNamespacesAreAllTheOperatorHasRightsIn(t *testing.T) {
	objects := rendered(t, "watchNamespaces: [a, b]")
	if args := operator(t, objects).Containers[0].Args; !slices.Contains(args, "--watch-namespaces=a,b") {
		t.Errorf("arguments %v", args)
	}
	for _, binding := range all[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding") {
		if binding.RoleRef.Name == "foyer-operator" {
			t.Error("the operator may act in the whole cluster")
		}
	}
	var namespaces []string
	for _, binding := range all[rbacv1.RoleBinding](t, objects, "RoleBinding") {
		if binding.RoleRef.Kind == "ClusterRole" && binding.RoleRef.Name == "foyer-operator" {
			namespaces = append(namespaces, binding.Namespace)
		}
	}
	if slices.Sort(namespaces); !slices.Equal(namespaces, []string{"a", "b"}) {
		t.Errorf("rights in %v", namespaces)
	}
}

// R: no wildcards, nothing that lets the operator take more rights.
func TestRolesAskForLittle(t *testing.T) {
	for _, role := range all[rbacv1.ClusterRole](t, rendered(t, "{}"), "ClusterRole") {
		for _, rule := range role.Rules {
			for _, word := range slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups) {
				if slices.Contains([]string{"*", "escalate", "bind", "impersonate", "roles", "clusterroles", "rolebindings", "clusterrolebindings"}, word) {
					t.Errorf("%s: %v", role.Name, rule)
				}
			}
		}
	}
}

func TestDefinitionsAreKeptUnlessAskedOtherwise(t *testing.T) {
	for values, want := range map[string]string{"{}": "keep", "crds: {keep: false}": ""} {
		found := false
		for _, object := range rendered(t, values) {
			if object.GetKind() != "CustomResourceDefinition" {
				continue
			}
			found = true
			if got := object.GetAnnotations()["helm.sh/resource-policy"]; got != want {
				t.Errorf("%s: policy %q, want %q", values, got, want)
			}
		}
		if !found {
			t.Errorf("%s: no definition", values)
		}
	}
	for _, object := range rendered(t, "crds: {install: false}") {
		if object.GetKind() == "CustomResourceDefinition" {
			t.Error("a definition although crds.install is false")
		}
	}
}

func TestEveryOptionRenders(t *testing.T) {
	objects := rendered(t, `
replicas: 2
imagePullSecrets: [mine]
metrics: {enabled: false}
logLevel: debug
podLabels: {a: b}
podAnnotations: {c: d}
nodeSelector: {e: f}
tolerations: [{key: g, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
serviceAccount: {annotations: {h: i}}
`)
	pod := operator(t, objects)
	if pod.PriorityClassName != "high" || pod.NodeSelector["e"] != "f" || len(pod.Tolerations) != 1 || pod.ImagePullSecrets[0].Name != "mine" {
		t.Errorf("pod %+v", pod)
	}
	if !slices.Contains(pod.Containers[0].Args, "--metrics-bind-address=0") {
		t.Errorf("arguments %v", pod.Containers[0].Args)
	}
	for _, object := range objects {
		if object.GetKind() == "Service" {
			t.Errorf("service %s although metrics are off", object.GetName())
		}
	}
}

func TestMistakesInValuesAreRefused(t *testing.T) {
	for _, values := range []string{"imagee: {}", "replicas: many", "logLevel: loud", "watchNamespaces: [A_b]", "image: {digest: x}"} {
		if _, err := helm(t, values); err == nil {
			t.Errorf("accepted: %s", values)
		}
	}
}
