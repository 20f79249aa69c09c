// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/config/crd"
)

// measureOperator starts a kube-apiserver, an operator and as many Homeservers
// as o.operator says, with the pods that a cluster's own controllers would
// make, and returns what the operator holds in memory when all are reconciled.
func measureOperator(ctx context.Context, o options, dir string) (figures []figure, err error) {
	env, kubeconfig, err := startAPIServer(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), matrixv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, o.binary, "operator", "--leader-elect=false", "--metrics-bind-address=0", //nolint:gosec // the binary under test
		"--health-probe-bind-address=0", "--homeserver-image=registry.example/foyer:bench", "--log-level=error")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}()
	if err := createHomeservers(ctx, c, o.operator); err != nil {
		return nil, err
	}
	if err := startPods(ctx, c, o.operator); err != nil {
		return nil, err
	}
	if err := rest(ctx, cmd.Process.Pid); err != nil {
		return nil, err
	}
	memory, err := residentMiB(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	used, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []figure{
		{fmt.Sprintf("operator with %d Homeservers", o.operator), fmt.Sprintf("%.0f MiB", memory), "60 MiB"},
		{"its CPU time for each of them", fmt.Sprintf("%.0f ms", used.Seconds()*1000/float64(o.operator)), ""},
	}, nil
}

// startAPIServer starts etcd and kube-apiserver with our kinds, and writes a
// kubeconfig of an administrator below dir.
func startAPIServer(dir string) (*envtest.Environment, string, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, "", errors.New("KUBEBUILDER_ASSETS is not set: run `make bench`")
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, "", err
	}
	env := &envtest.Environment{CRDs: definitions, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	// Each Homeserver has two Services; envtest's own range has 254 addresses.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.96.0.0/16")
	if _, err := env.Start(); err != nil {
		return nil, "", fmt.Errorf("start the API server: %w", err)
	}
	user, err := env.AddUser(envtest.User{Name: "bench", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, "", errors.Join(err, env.Stop())
	}
	config, err := user.KubeConfig()
	if err != nil {
		return nil, "", errors.Join(err, env.Stop())
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, "", errors.Join(err, env.Stop())
	}
	return env, file, nil
}

func createHomeservers(ctx context.Context, c client.Client, n int) error {
	for i := range n {
		name := fmt.Sprintf("hs%d", i)
		hs := &matrixv1.Homeserver{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
			Spec:       matrixv1.HomeserverSpec{ServerName: name + ".example", Host: "matrix." + name + ".example"},
		}
		hs.Spec.Storage.Size = resource.MustParse("1Gi")
		if err := c.Create(ctx, hs); err != nil {
			return err
		}
	}
	return nil
}

// startPods waits for a StatefulSet of each Homeserver and makes its pod.
func startPods(ctx context.Context, c client.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var sets appsv1.StatefulSetList
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for len(sets.Items) < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d StatefulSets: %w", len(sets.Items), n, ctx.Err())
		}
		if err := c.List(ctx, &sets); err != nil {
			return err
		}
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
		pod.Name, pod.Namespace = set.Name+"-0", set.Namespace
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
		if err := c.Create(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}
