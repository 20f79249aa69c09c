// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// testImage is the homeserver image of the tests' operators.
const testImage = "registry.example/foyer:1.2.3"

// patience is how long a test waits for a state before it fails. It is no
// measure of speed: states arrive in milliseconds on an idle machine.
const patience = 90 * time.Second

// The API servers: one with cert-manager's kinds, shared by nearly all tests,
// and a bare one for those that change what kinds there are.
var (
	withCertManager *apiServer
	bare            = sync.OnceValues(func() (*apiServer, error) { return startAPIServer() })
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// A lost race for a port or a slow log line is not worth a page of text;
	// FOYER_TEST_LOG=1 shows what the operators log.
	handler := slog.DiscardHandler
	if os.Getenv("FOYER_TEST_LOG") != "" {
		handler = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(slog.New(handler))
	definitions, err := certManagerDefinitions()
	if err == nil {
		withCertManager, err = startAPIServer(definitions)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need kube-apiserver and etcd: run `make assets` and set KUBEBUILDER_ASSETS (see hack/cluster):", err)
		return 1
	}
	code := m.Run()
	if err := withCertManager.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
	}
	if !bareStarted.Load() {
		return code // asking for it would start it
	}
	if extra, err := bare(); err == nil {
		if err := extra.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the second API server:", err)
		}
	}
	return code
}

var bareStarted atomic.Bool

// certManagerDefinitions is the folder of cert-manager's CRDs in its module.
func certManagerDefinitions() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		return "", fmt.Errorf("find cert-manager's module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "deploy", "crds"), nil
}

// world is one test's namespace and its view of the API server.
type world struct {
	client.Client // uncached, as cluster-admin
	t             *testing.T
	ctx           context.Context //nolint:containedctx // one test, one context
	env           *apiServer
	namespace     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, withCertManager)
}

func newWorldIn(t *testing.T, env *apiServer) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	scheme := NewScheme()
	for _, add := range []func(*runtime.Scheme) error{storagev1.AddToScheme, autoscalingv1.AddToScheme, rbacv1.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Client: admin, t: t, ctx: ctx, env: env}
	w.namespace = w.newNamespace()
	return w
}

func (w *world) newNamespace() string {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	w.must(w.Create(w.ctx, namespace))
	return namespace.Name
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// operatorSettings are what a test changes of an operator; zero is usual.
type operatorSettings struct {
	namespaces []string
	config     *rest.Config
	wrap       func(client.Client) client.Client
	transport  func(http.RoundTripper) http.RoundTripper
	now        func() time.Time
	lease      string
	image      string
	// wait is how soon to look again at what no watch announces.
	wait time.Duration
}

// operator is a running operator.
type operator struct {
	manager ctrl.Manager
	// agent is the User-Agent of its requests, and of no other operator's.
	agent string
	stop  func()
	// ended gets what the manager's Start returned.
	ended chan error
	now   func() time.Time
	image string
}

// start runs an operator for the test's namespace until stop or the test's end.
func (w *world) start(settings operatorSettings) *operator {
	w.t.Helper()
	op := w.build(settings)
	ctx, cancel := context.WithCancel(w.ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		op.ended <- op.manager.Start(ctx)
	}()
	op.stop = func() { cancel(); <-finished }
	w.t.Cleanup(op.stop)
	if !op.manager.GetCache().WaitForCacheSync(ctx) {
		w.t.Fatal("the operator's cache did not fill")
	}
	// What is watched is known only when the controllers have started; until
	// then a reconcile beside theirs could read nothing.
	for _, list := range []client.ObjectList{
		&matrixv1.HomeserverList{}, &appsv1.StatefulSetList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&corev1.PersistentVolumeClaimList{}, &networkingv1.IngressList{}, &networkingv1.NetworkPolicyList{},
	} {
		w.eventually(func() error { return op.manager.GetClient().List(ctx, list, client.InNamespace(w.namespace)) })
	}
	return op
}

func (w *world) build(settings operatorSettings) *operator {
	w.t.Helper()
	if settings.namespaces == nil {
		settings.namespaces = []string{w.namespace}
	}
	base := settings.config
	if base == nil {
		base = w.env.Config
	}
	cfg := rest.CopyConfig(base)
	cfg.QPS, cfg.Burst = -1, -1
	cfg.UserAgent = "operator-" + string(uuid.NewUUID())
	if settings.transport != nil {
		cfg.Wrap(settings.transport)
	}
	if settings.image == "" {
		settings.image = testImage
	}
	if settings.wait == 0 {
		settings.wait = 200 * time.Millisecond
	}
	skip, grace := true, time.Second
	mgr, err := NewManager(w.ctx, cfg, ManagerOptions{
		Namespaces: settings.namespaces, Image: settings.image, LeaseNamespace: settings.lease,
		Now: settings.now, WrapClient: settings.wrap,
		WaitInterval: settings.wait, StalledInterval: 300 * time.Millisecond,
		Manager: ctrl.Options{
			Metrics:                 metricsserver.Options{BindAddress: "0"},
			HealthProbeBindAddress:  "0",
			GracefulShutdownTimeout: &grace,
			Controller:              config.Controller{SkipNameValidation: &skip},
		},
	})
	w.must(err)
	return &operator{manager: mgr, agent: cfg.UserAgent, ended: make(chan error, 1), now: settings.now, image: settings.image}
}

// reconcileNow runs one reconcile of hs beside the manager's own, with its
// caches.
func (w *world) reconcileNow(op *operator, hs *matrixv1.Homeserver) (ctrl.Result, error) {
	w.t.Helper()
	r := &HomeserverReconciler{
		Client: op.manager.GetClient(), Live: op.manager.GetAPIReader(), Image: op.image, Now: op.now,
		Recorder: op.manager.GetEventRecorder("foyer-test"), again: intervals{wait: time.Hour, stalled: time.Hour},
	}
	return reconcile.AsReconciler(op.manager.GetClient(), r).Reconcile(w.ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(hs)})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// eventually waits until check returns nil.
func (w *world) eventually(check func() error) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			w.t.Fatalf("waited in vain: %v", err)
		case <-tick.C:
		}
	}
}

// expectation is what a condition should be; an empty message fits any.
type expectation struct {
	kind    string
	status  metav1.ConditionStatus
	reason  string
	message string
}

func ready(reason string) expectation {
	return expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionFalse, reason: reason}
}

func stalled(reason string) expectation {
	return expectation{kind: matrixv1.ConditionStalled, status: metav1.ConditionTrue, reason: reason}
}

// waitFor waits until hs has all the conditions, and returns it.
func (w *world) waitFor(hs *matrixv1.Homeserver, wanted ...expectation) *matrixv1.Homeserver {
	w.t.Helper()
	var seen matrixv1.Homeserver
	w.eventually(func() error {
		if err := w.Get(w.ctx, client.ObjectKeyFromObject(hs), &seen); err != nil {
			return err
		}
		for _, want := range wanted {
			got := meta.FindStatusCondition(seen.Status.Conditions, want.kind)
			if got == nil || got.Status != want.status || got.Reason != want.reason || !strings.Contains(got.Message, want.message) || got.ObservedGeneration != seen.Generation {
				return fmt.Errorf("want %+v of generation %d, have %s", want, seen.Generation, describe(seen.Status.Conditions))
			}
		}
		return nil
	})
	return &seen
}

func describe(conditions []metav1.Condition) string {
	var lines []string
	for _, c := range conditions {
		lines = append(lines, fmt.Sprintf("%s=%s/%s@%d %q", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message))
	}
	return strings.Join(lines, "\n  ")
}
