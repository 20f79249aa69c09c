// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/foyer-matrix/foyer/config/crd"
)

// api is a client of a real kube-apiserver that knows our kinds.
var api client.Client

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	server, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need kube-apiserver and etcd: run `make assets` and set KUBEBUILDER_ASSETS (see hack/cluster):", err)
		return 1
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
	}
	return code
}

func start() (*envtest.Environment, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set")
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	server := &envtest.Environment{
		CRDs: definitions, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	config, err := server.Start()
	if err != nil {
		return nil, err
	}
	api, err = client.New(config, client.Options{})
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

// homeserver returns a valid Homeserver whose spec has the top-level fields
// of the YAML text changes; a null removes a field.
func homeserver(t *testing.T, name, changes string) *unstructured.Unstructured {
	t.Helper()
	object, err := crd.Decode([]byte("apiVersion: matrix.foyer.im/v1alpha1\nkind: Homeserver\n" +
		"spec: {serverName: campus.example, host: matrix.campus.example}\n"))
	if err != nil {
		t.Fatal(err)
	}
	object.SetName(name)
	object.SetNamespace("default")
	change(t, object, changes)
	return object
}

func change(t *testing.T, object *unstructured.Unstructured, changes string) {
	t.Helper()
	with, err := crd.Decode([]byte(changes))
	if err != nil {
		t.Fatal(err)
	}
	spec, ok := object.Object["spec"].(map[string]any)
	if !ok {
		t.Fatal("the object has no spec")
	}
	maps.Copy(spec, with.Object)
	maps.DeleteFunc(spec, func(_ string, value any) bool { return value == nil })
}

// tryCreate asks the API server to create the object, as kubectl does: with
// strict field validation. Nothing is stored.
func tryCreate(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	return api.Create(t.Context(), object, client.DryRunAll, client.FieldValidation("Strict"))
}

// store creates the object and removes it after the test.
func store(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if err := api.Create(t.Context(), object, client.FieldValidation("Strict")); err != nil {
		t.Fatalf("create: %v", err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := api.Delete(ctx, object); err != nil {
			t.Errorf("delete: %v", err)
		}
	})
}

// refused checks that err is a 422 whose text holds want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted; want an error with %q", want)
	case !apierrors.IsInvalid(err):
		t.Errorf("want status 422, got %v", err)
	case !strings.Contains(err.Error(), want):
		t.Errorf("the error does not say %q:\n%v", want, err)
	}
}

// unknownField checks that err is the refusal of a field that does not exist.
func unknownField(t *testing.T, err error, want string) {
	t.Helper()
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "unknown field") || !strings.Contains(err.Error(), want) {
		t.Errorf("want the refusal of unknown field %q, got %v", want, err)
	}
}
