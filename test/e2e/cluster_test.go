// SPDX-License-Identifier: Apache-2.0

//go:build goolm && e2e

// Package e2e runs Foyer as its users do: installed through the Helm chart on
// a real cluster, told what to do by YAML, used by real Matrix clients through
// the ingress with verified certificates. `make e2e` lays out what it needs.
package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/test/chat"
)

// environment is what `cluster env` tells of the cluster.
type environment struct {
	kubeconfig, bin, ca, domain, ingress, image string
}

const operatorNamespace = "foyer-system"

var env environment

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	for name, into := range map[string]*string{
		"KUBECONFIG": &env.kubeconfig, "FOYER_CLUSTER_BIN": &env.bin, "FOYER_CLUSTER_CA": &env.ca,
		"FOYER_CLUSTER_DOMAIN": &env.domain, "FOYER_CLUSTER_INGRESS": &env.ingress, "FOYER_IMAGE": &env.image,
	} {
		if *into = os.Getenv(name); *into == "" {
			fmt.Fprintln(os.Stderr, name+" is not set: run `make e2e`")
			os.Exit(1)
		}
	}
	if err := install(); err != nil {
		fmt.Fprintln(os.Stderr, "install the chart:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// install puts the operator on the cluster as a user would.
func install() error {
	repository, tag, _ := strings.Cut(env.image, ":")
	_, err := runTool("helm", "upgrade", "--install", "foyer", "../../charts/foyer", "--namespace", operatorNamespace, "--create-namespace",
		"--set", "image.repository="+repository, "--set", "image.tag="+tag, "--wait", "--timeout", "5m")
	if err != nil {
		return err
	}
	// The tag stays the same while one works on it; the pod has to be new.
	if _, err := runTool("kubectl", "-n", operatorNamespace, "rollout", "restart", "deployment/foyer-operator"); err != nil {
		return err
	}
	_, err = runTool("kubectl", "-n", operatorNamespace, "rollout", "status", "deployment/foyer-operator", "--timeout=3m")
	return err
}

// runTool runs helm or kubectl and returns what it printed.
func runTool(name string, args ...string) (string, error) {
	return runToolWith("", name, args...)
}

func runToolWith(stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(env.bin, name), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+env.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// kubectl runs kubectl and fails the test when it fails.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runTool("kubectl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies YAML in a namespace, as a user would.
func apply(t *testing.T, namespace, yaml string) {
	t.Helper()
	if _, err := runToolWith(yaml, "kubectl", "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func kubeClient(t *testing.T) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", env.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, matrixv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newNamespace makes a namespace in which only restricted pods run. It goes
// with the test, its volumes too.
func newNamespace(t *testing.T, c client.Client) string {
	t.Helper()
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   "e2e-" + hex.EncodeToString(random[:]),
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			report(t, ns.Name)
		}
		if err := c.Delete(context.Background(), ns); client.IgnoreNotFound(err) != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	return ns.Name
}

// report prints what one needs to know of a failed test.
func report(t *testing.T, namespace string) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "matrix,pods,pvc,ingress", "-n", namespace, "-o", "wide"},
		{"get", "matrix", "-n", namespace, "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}{end}"},
		{"get", "events", "-n", namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", namespace, "-l", "app.kubernetes.io/managed-by=foyer", "--tail=40", "--prefix"},
		{"logs", "-n", operatorNamespace, "deployment/foyer-operator", "--tail=40"},
	} {
		out, err := runTool("kubectl", args...)
		t.Logf("kubectl %s\n%s%v", strings.Join(args, " "), out, err)
	}
}

// until calls check about twice a second until it returns nil or ctx ends.
func until(ctx context.Context, t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// condition waits for a condition of a Homeserver that is about its present
// generation, and returns it.
func condition(ctx context.Context, t *testing.T, c client.Client, key client.ObjectKey, typ string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	until(ctx, t, fmt.Sprintf("%s of %s", typ, key), func() error {
		var hs matrixv1.Homeserver
		if err := c.Get(ctx, key, &hs); err != nil {
			return err
		}
		for _, cond := range hs.Status.Conditions {
			if cond.Type != typ || cond.ObservedGeneration != hs.Generation {
				continue
			}
			if cond.Status == status && (reason == "" || cond.Reason == reason) {
				found = cond
				return nil
			}
			return fmt.Errorf("it is %s, %s: %s", cond.Status, cond.Reason, cond.Message)
		}
		return errors.New("it is not there")
	})
	return found
}

// gone waits until an object no longer exists.
func gone(ctx context.Context, t *testing.T, c client.Client, key client.ObjectKey, object client.Object) {
	t.Helper()
	until(ctx, t, fmt.Sprintf("deletion of %T %s", object, key), func() error {
		err := c.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
}

// ingressClient is an HTTP client that finds every host at the cluster's
// ingress and trusts its authority alone.
func ingressClient(t *testing.T) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(env.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in " + env.ca)
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, env.ingress)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * time.Minute}
}

// server is a homeserver behind the ingress.
func server(t *testing.T, host string) chat.Server {
	return chat.Server{URL: "https://" + host, HTTP: ingressClient(t)}
}
