// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	builders "github.com/foyer-matrix/foyer/internal/manifest"
	manifest "github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// finalizerData holds a Homeserver until its data is deleted. Only objects
// with deletionPolicy Delete have it, so that an absent operator never keeps
// anyone from deleting the others.
const finalizerData = "matrix.foyer.im/data"

// HomeserverReconciler drives Homeservers towards their specs.
type HomeserverReconciler struct {
	// Client writes, and reads from the cache; it needs the indexes and the
	// cache options of this package.
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	// Recorder takes Events.
	Recorder events.EventRecorder
	// Image of the homeserver where the spec names none.
	Image string
	// Now is the clock; nil is time.Now. It decides about certificates and
	// stamps conditions, nothing else.
	Now func() time.Time

	again intervals
	// watching guards watchCertificates, which starts the watch on
	// Certificates; nil without a manager, and once it has been started.
	watching          sync.Mutex
	watchCertificates func() error
	// certManagerAbsent: it was, when it was last looked for.
	certManagerAbsent atomic.Bool
}

// homeserverScope is what the steps of one reconcile found.
type homeserverScope struct {
	homeserver *matrixv1.Homeserver
	names      naming.Homeserver
	applier    *applier

	// Set by ensureCredentials: what was found and what is used.
	existing    credentials.Existing
	claim       *corev1.PersistentVolumeClaim
	credentials *credentials.Homeserver

	// Set by buildObjects.
	objects     []client.Object
	ignoredKeys []string // of spec.config
	certManager bool     // its API is served

	// Set by keepData: what is wrong with the volume, if anything.
	volume *outcome

	// Set by lastStatus: what the last reconcile left, whatever the cache shows.
	last *matrixv1.HomeserverStatus

	// Set by observeWorkload; nil before.
	workload *workload

	// Set by observeReferences: what is wrong with the certificate, and with a
	// Secret that the server can do without, if anything.
	observed    bool
	certificate *outcome
	secrets     *outcome
	// renewal is when the user's certificate should be looked at again.
	renewal time.Time
}

// +kubebuilder:rbac:groups=matrix.foyer.im,resources=homeservers,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=matrix.foyer.im,resources=homeservers/status,verbs=patch
// +kubebuilder:rbac:groups=matrix.foyer.im,resources=homeservers/finalizers,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile drives one Homeserver towards its spec.
func (r *HomeserverReconciler) Reconcile(ctx context.Context, hs *matrixv1.Homeserver) (ctrl.Result, error) {
	s := r.scope(hs)
	if !hs.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.finalize(ctx, s)
	}
	var result ctrl.Result
	err := paused(hs)
	if err == nil {
		result, err = runSteps(ctx, s,
			r.claimNames,        // server name and host, cluster-wide
			r.holdFinalizer,     // only with deletionPolicy Delete
			r.ensureCredentials, // read, checked, or generated once
			r.buildObjects,      // pure
			r.keepData,          // credentials and volume, never a second time
			r.applyObjects,      // everything else; what is no longer wanted goes
			r.observeWorkload,   // read back what runs
			r.observeReferences, // certificates and Secrets that the spec names
			r.lookAgain,         // when no watch tells of the next change
		)
	}
	before := hs.DeepCopy()
	hs.Status = homeserverStatus(s, err, r.now())
	return conclude(ctx, conclusion{
		status: r.Client.Status(), recorder: r.Recorder, again: r.again,
		before: before, after: hs, was: before.Status.Conditions, is: hs.Status.Conditions,
		result: result, err: err,
	})
}

func (r *HomeserverReconciler) scope(hs *matrixv1.Homeserver) *homeserverScope {
	names := naming.ForHomeserver(hs)
	return &homeserverScope{
		homeserver: hs,
		names:      names,
		applier:    &applier{client: r.Client, live: r.Live, owner: hs, labels: names.Labels()},
	}
}

func (r *HomeserverReconciler) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// paused is an outcome while the user wants the object left alone.
func paused(hs *matrixv1.Homeserver) error {
	if hs.Annotations[matrixv1.AnnotationPaused] != "true" {
		return nil
	}
	return &outcome{reason: matrixv1.ReasonPaused, message: "the annotation " + matrixv1.AnnotationPaused + " keeps the operator from doing anything here but deleting: remove it to go on"}
}

// claimNames lets the oldest of those that want a server name or a host have it.
func (r *HomeserverReconciler) claimNames(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	claimant := claimant{cached: r.Client, live: r.Live}
	holder, err := claimant.conflict(ctx, s.homeserver, indexServerName, s.homeserver.Spec.ServerName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if holder != nil {
		return ctrl.Result{}, invalid(matrixv1.ReasonServerNameConflict, "an older Homeserver"+place(s.homeserver, holder)+" has the same serverName; two servers of one name would break each other's rooms: delete one of them")
	}
	holder, err = claimant.conflict(ctx, s.homeserver, indexHost, s.homeserver.Spec.Host)
	if err != nil {
		return ctrl.Result{}, err
	}
	if holder != nil {
		return ctrl.Result{}, invalid(matrixv1.ReasonHostConflict, "an older Homeserver"+place(s.homeserver, holder)+" serves the same host: choose another host for one of them")
	}
	return ctrl.Result{}, nil
}

// place names the holder of a claim to those who can see its namespace anyway.
func place(hs, holder *matrixv1.Homeserver) string {
	if hs.Namespace == holder.Namespace {
		return " (" + holder.Name + ")"
	}
	return " in another namespace"
}

// holdFinalizer puts the finalizer where data has to be deleted with the
// object, and takes it away where it has not.
func (r *HomeserverReconciler) holdFinalizer(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	hs := s.homeserver
	wanted := hs.Spec.DeletionPolicy == matrixv1.DeletionDelete
	if controllerutil.ContainsFinalizer(hs, finalizerData) == wanted {
		return ctrl.Result{}, nil
	}
	before := hs.DeepCopy()
	if wanted {
		controllerutil.AddFinalizer(hs, finalizerData)
	} else {
		controllerutil.RemoveFinalizer(hs, finalizerData)
	}
	err := r.Client.Patch(ctx, hs, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("patch finalizer: %w", err)
	}
	return ctrl.Result{}, nil
}

// buildObjects calls the builders. Without cert-manager there is no kind
// Certificate, so none is asked for.
func (r *HomeserverReconciler) buildObjects(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	ignored, err := manifest.ProtectedKeys(s.homeserver)
	if err == nil {
		s.ignoredKeys = ignored
		s.objects, err = manifest.Homeserver(manifest.Inputs{
			Homeserver: s.homeserver, Credentials: *s.credentials, Image: r.Image,
		})
	}
	var unusable *builders.ConfigError
	if errors.As(err, &unusable) {
		return ctrl.Result{}, invalid(matrixv1.ReasonConfigInvalid, unusable.Error())
	}
	if err != nil {
		return ctrl.Result{}, invalid(matrixv1.ReasonInvalidSpec, err.Error())
	}
	s.certManager, err = r.certManagerServed(ctx, s.homeserver)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !s.certManager {
		s.objects = slices.DeleteFunc(s.objects, isCertificate)
	}
	return ctrl.Result{}, nil
}

func isCertificate(obj client.Object) bool {
	_, ok := obj.(*certmanagerv1.Certificate)
	return ok
}

// certManagerServed tells whether cert-manager's API is there, and starts the
// watch on its Certificates the first time that it is. It asks the API server,
// because what discovery said once is true no more after cert-manager is
// removed. While it is absent only objects that need it ask.
func (r *HomeserverReconciler) certManagerServed(ctx context.Context, hs *matrixv1.Homeserver) (bool, error) {
	if r.certManagerAbsent.Load() && (hs.Spec.TLS == nil || hs.Spec.TLS.IssuerRef == nil) {
		return false, nil
	}
	err := r.Live.List(ctx, &certmanagerv1.CertificateList{}, client.InNamespace(hs.Namespace), client.Limit(1))
	absent := meta.IsNoMatchError(err) || apierrors.IsNotFound(err)
	if err != nil && !absent {
		return false, fmt.Errorf("look for cert-manager: %w", err)
	}
	r.certManagerAbsent.Store(absent)
	if absent {
		return false, nil
	}
	r.watching.Lock()
	defer r.watching.Unlock()
	if r.watchCertificates == nil {
		return true, nil
	}
	if err := r.watchCertificates(); err != nil {
		return false, fmt.Errorf("watch Certificates: %w", err)
	}
	r.watchCertificates = nil
	return true, nil
}

// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services;serviceaccounts;secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;list;watch;create;patch;delete

// applyObjects applies what the builders returned, and deletes what they do
// not return any more.
func (r *HomeserverReconciler) applyObjects(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	for _, obj := range s.objects {
		if holdsData(obj) {
			continue // keepData did
		}
		done, err := s.applier.apply(ctx, obj)
		if err != nil {
			return ctrl.Result{}, err
		}
		if err := r.tell(ctx, s, obj, done); err != nil {
			return ctrl.Result{}, err
		}
	}
	lists := []client.ObjectList{
		&appsv1.StatefulSetList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&networkingv1.IngressList{}, &networkingv1.NetworkPolicyList{}, secretList(),
	}
	if s.certManager {
		lists = append(lists, &certmanagerv1.CertificateList{})
	}
	return ctrl.Result{}, s.applier.prune(ctx, s.objects, lists...)
}

// secretList lists Secrets without their content.
func secretList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	return list
}

// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;create;patch;delete

// finalize deletes the data of a Homeserver that is being deleted with
// deletionPolicy Delete. Everything else is left to the garbage collector.
func (r *HomeserverReconciler) finalize(ctx context.Context, s *homeserverScope) error {
	if !controllerutil.ContainsFinalizer(s.homeserver, finalizerData) {
		return nil
	}
	// What the cache shows may be an object that is gone already and has been
	// created again since: only a live look may lead to a deletion.
	var live matrixv1.Homeserver
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.homeserver), &live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Homeserver: %w", err)
	}
	if live.UID != s.homeserver.UID || live.DeletionTimestamp.IsZero() || !controllerutil.ContainsFinalizer(&live, finalizerData) {
		return nil
	}
	if live.Spec.DeletionPolicy == matrixv1.DeletionDelete {
		if err := r.deleteData(ctx, s); err != nil {
			return err
		}
	}
	before := live.DeepCopy()
	controllerutil.RemoveFinalizer(&live, finalizerData)
	err = r.Client.Patch(ctx, &live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove finalizer: %w", err)
	}
	return nil
}

func (r *HomeserverReconciler) deleteData(ctx context.Context, s *homeserverScope) error {
	data := []client.Object{
		&corev1.PersistentVolumeClaim{ObjectMeta: s.names.DataClaim()},
		&corev1.Secret{ObjectMeta: s.names.SigningKeySecret()},
		&corev1.Secret{ObjectMeta: s.names.AdminsSecret()},
		&corev1.Secret{ObjectMeta: s.names.RegistrationTokenSecret()},
	}
	var failures []error
	for _, obj := range data {
		live, err := s.applier.current(ctx, r.Live, obj)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if live == nil || !holdsData(live) || !s.applier.labelled(live) {
			continue
		}
		failures = append(failures, deleteExactly(ctx, r.Client, live))
	}
	return errors.Join(failures...)
}

// SetupWithManager registers the controller, its watches and its indexes.
func (r *HomeserverReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := indexHomeservers(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if r.again == (intervals{}) {
		r.again = defaultIntervals()
	}
	find := references{cached: mgr.GetClient()}
	child := handler.EnqueueRequestsFromMapFunc(find.ofChild)
	built, err := ctrl.NewControllerManagedBy(mgr).
		For(&matrixv1.Homeserver{}).
		Watches(&matrixv1.Homeserver{}, handler.EnqueueRequestsFromMapFunc(find.rivals)).
		Watches(&appsv1.StatefulSet{}, child).
		Watches(&corev1.Pod{}, child).
		Watches(&corev1.Service{}, child).
		Watches(&corev1.ServiceAccount{}, child).
		Watches(&corev1.PersistentVolumeClaim{}, child).
		Watches(&networkingv1.Ingress{}, child).
		Watches(&networkingv1.NetworkPolicy{}, child).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(find.ofSecret)).
		Build(reconcile.AsReconciler(mgr.GetClient(), r))
	if err != nil {
		return fmt.Errorf("build the Homeserver controller: %w", err)
	}
	r.watchCertificates = watchCertificates(built, mgr.GetCache(), find)
	return nil
}

// watchCertificates returns a function that starts the watch on Certificates.
// It is called by a reconcile, once they are known to exist: the controller
// would not start before a watch on an absent kind, or one that is just being
// removed, is up. For the same reason Certificates are never read from the
// cache, which would wait as long.
func watchCertificates(c controller.Controller, informers cache.Cache, find references) func() error {
	return func() error {
		each := handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, obj *certmanagerv1.Certificate) []reconcile.Request {
			return find.ofChild(ctx, obj)
		})
		return c.Watch(source.Kind(informers, &certmanagerv1.Certificate{}, each))
	}
}
