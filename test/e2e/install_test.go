// SPDX-License-Identifier: Apache-2.0

//go:build goolm && e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// TestWithoutHelmTheOperatorComesFromKustomize takes the chart's operator away
// and installs config/default in its place. The Homeserver that ran before goes
// on throughout, and the new operator looks after it.
func TestWithoutHelmTheOperatorComesFromKustomize(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := kubeClient(t)
	namespace := newNamespace(t, c)
	sample, err := os.ReadFile("../../config/samples/homeserver_minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, namespace, string(sample))
	key := client.ObjectKey{Namespace: namespace, Name: "minimal"}
	condition(ctx, t, c, key, matrixv1.ConditionReady, metav1.ConditionTrue, "")
	pod := onlyPod(ctx, t, c, namespace)

	config := configFor(t, env.image)
	// What comes first here ends last: the chart's operator is back for other tests.
	t.Cleanup(func() {
		if err := install(); err != nil {
			t.Errorf("install the chart again: %v", err)
		}
	})
	if _, err := runTool("helm", "uninstall", "foyer", "--namespace", operatorNamespace, "--wait"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not config/default: the kinds would go, and with them every Homeserver.
		if _, err := runTool("kubectl", "delete", "-k", filepath.Join(config, "operator"), "--timeout=3m"); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, "apply", "-k", filepath.Join(config, "default"))
	kubectl(t, "-n", operatorNamespace, "rollout", "status", "deployment/foyer-operator", "--timeout=3m")

	if again := onlyPod(ctx, t, c, namespace); again.UID != pod.UID {
		t.Error("the Homeserver's pod was replaced although nothing about it changed")
	}
	kubectl(t, "patch", "homeserver", "minimal", "-n", namespace, "--type=merge", "-p", `{"spec":{"logLevel":"Debug"}}`)
	condition(ctx, t, c, key, matrixv1.ConditionReady, metav1.ConditionTrue, "")
	useAsAdmin(ctx, t, c, key)
}

func onlyPod(ctx context.Context, t *testing.T, c client.Client, namespace string) corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace)); err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods, %v; want 1", len(pods.Items), err)
	}
	return pods.Items[0]
}

// configFor returns a copy of config/ for an image, as `kustomize edit set image`
// makes it, with a further folder operator: config/default without the kinds.
func configFor(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../config")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "default", "kustomization.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	repository, tag, _ := strings.Cut(image, ":")
	with := strings.Replace(string(text), "newTag: 0.1.0", "newTag: "+tag, 1)
	if with == string(text) || !strings.Contains(with, "newName: "+repository+"\n") {
		t.Fatalf("config/default names another image than %s:0.1.0", repository)
	}
	for path, content := range map[string]string{file: with, filepath.Join(dir, "operator", "kustomization.yaml"): strings.Replace(with, "- ../crd\n", "", 1)} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
