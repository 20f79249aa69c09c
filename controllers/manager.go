// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// leaseName is the Lease that operators of one namespace compete for.
const leaseName = "foyer-operator"

// ManagerOptions say how an operator runs.
type ManagerOptions struct {
	// Namespaces to watch; none means all.
	Namespaces []string
	// Image of homeservers whose spec names none.
	Image string
	// LeaseNamespace holds the lease of the leader; empty: no leader election,
	// which is for tests and for running outside of a cluster.
	LeaseNamespace string
	// Manager are further options; scheme, cache, client and leader election
	// are filled in.
	Manager ctrl.Options
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// WrapClient, if set, gets the client that writes and returns the one that
	// is used. For tests.
	WrapClient func(client.Client) client.Client
	// WaitInterval and StalledInterval, if set, replace how soon is looked
	// again at what no watch announces.
	WaitInterval, StalledInterval time.Duration
}

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=foyer-system,resources=leases,verbs=get;create;update

// NewManager returns a manager with every controller of the operator, ready to
// be started.
func NewManager(ctx context.Context, config *rest.Config, options ManagerOptions) (ctrl.Manager, error) {
	settings := options.Manager
	settings.Scheme = NewScheme()
	settings.Cache = CacheOptions(options.Namespaces)
	wrap := options.WrapClient
	if options.LeaseNamespace != "" {
		fence, err := elect(&settings, config, options.LeaseNamespace)
		if err != nil {
			return nil, err
		}
		wrap = chain(wrap, fence)
	}
	settings.NewClient = func(config *rest.Config, clientOptions client.Options) (client.Client, error) {
		made, err := client.New(config, clientOptions)
		if err != nil || wrap == nil {
			return made, err
		}
		return wrap(made), nil
	}
	mgr, err := ctrl.NewManager(config, settings)
	if err != nil {
		return nil, fmt.Errorf("create the manager: %w", err)
	}
	if err := addControllers(ctx, mgr, options); err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add the readiness check: %w", err)
	}
	return mgr, nil
}

func addControllers(ctx context.Context, mgr ctrl.Manager, options ManagerOptions) error {
	homeservers := &HomeserverReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder(naming.FieldOwner),
		Image: options.Image, Now: options.Now, again: defaultIntervals(),
	}
	if options.WaitInterval > 0 {
		homeservers.again.wait = options.WaitInterval
	}
	if options.StalledInterval > 0 {
		homeservers.again.stalled = options.StalledInterval
	}
	return homeservers.SetupWithManager(ctx, mgr)
}

func chain(inner, outer func(client.Client) client.Client) func(client.Client) client.Client {
	if inner == nil {
		return outer
	}
	return func(c client.Client) client.Client { return outer(inner(c)) }
}

// elect sets settings up for leader election, and returns the fence that
// refuses the writes of a leader whose lease was taken.
func elect(settings *ctrl.Options, config *rest.Config, namespace string) (func(client.Client) client.Client, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	identity := host + "_" + string(uuid.NewUUID())
	election := rest.AddUserAgent(config, "leader-election")
	election.Timeout = 5 * time.Second // one request that hangs must not cost the lead
	leases, err := coordinationclient.NewForConfig(election)
	if err != nil {
		return nil, fmt.Errorf("client for leases: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, leaseName, nil, leases, resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return nil, fmt.Errorf("lock for leader election: %w", err)
	}
	settings.LeaderElection = true
	settings.LeaderElectionID = leaseName
	settings.LeaderElectionResourceLockInterface = lock
	settings.LeaderElectionReleaseOnCancel = true // the program ends right after
	reader, err := client.New(config, client.Options{Scheme: settings.Scheme})
	if err != nil {
		return nil, fmt.Errorf("client for the fence: %w", err)
	}
	held := LeaseHeldBy(reader, types.NamespacedName{Namespace: namespace, Name: leaseName}, identity)
	return func(inner client.Client) client.Client { return Fence(inner, held) }, nil
}

// NewScheme returns a scheme with the kinds that the operator works with, and
// no others: the whole of client-go's costs memory.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, coordinationv1.AddToScheme,
		eventsv1.AddToScheme, certmanagerv1.AddToScheme, matrixv1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// CacheOptions keep the operator's memory small: of other kinds than its own
// only objects with its labels, without the records of other field managers,
// and of Secrets no content at all. namespaces limits what is watched; none
// means the whole cluster.
func CacheOptions(namespaces []string) cache.Options {
	ours := cache.ByObject{
		Label:     labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy}),
		Transform: slim,
	}
	options := cache.Options{
		// A read of a kind that is not watched is a mistake: it would start
		// to watch all of them.
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            slim,
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.StatefulSet{}: ours, &corev1.Pod{}: ours, &corev1.Service{}: ours, &corev1.ServiceAccount{}: ours,
			&corev1.PersistentVolumeClaim{}: ours, &networkingv1.Ingress{}: ours, &networkingv1.NetworkPolicy{}: ours,
		},
	}
	if len(namespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			options.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return options
}

// slim drops what the operator never reads: records of the fields that others
// manage, autoscalers' excepted, and, of Secrets, annotations, in which kubectl
// keeps a copy of the content.
func slim(obj any) (any, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return obj, nil //nolint:nilerr // a tombstone: nothing to drop
	}
	var records []metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == naming.FieldOwner || entry.Subresource == "scale" {
			records = append(records, entry)
		}
	}
	object.SetManagedFields(records)
	if _, secret := obj.(*metav1.PartialObjectMetadata); secret {
		object.SetAnnotations(nil)
	}
	return obj, nil
}
