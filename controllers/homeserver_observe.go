// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	manifest "github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list

// observeWorkload reads back the StatefulSet, its pods and, while pods are
// missing, why they could not be created.
func (r *HomeserverReconciler) observeWorkload(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	name := s.names.StatefulSet()
	var set appsv1.StatefulSet
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: name.Name}, &set)
	if apierrors.IsNotFound(err) {
		s.workload = &workload{} // just applied; the cache will tell
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("get StatefulSet %s: %w", name.Name, err)
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(name.Namespace), client.MatchingLabels(s.names.Selector())); err != nil {
		return ctrl.Result{}, fmt.Errorf("list pods: %w", err)
	}
	owned := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !metav1.IsControlledBy(&pod, &set) })
	slices.SortFunc(owned, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	seen := &workload{statefulSet: &set, pods: owned}
	if int32(len(owned)) < seen.desired() {
		if seen.rejection, err = r.rejection(ctx, &set); err != nil {
			return ctrl.Result{}, err
		}
	}
	s.workload = seen
	return ctrl.Result{}, nil
}

// rejection returns why the last pod of set could not be created; empty when
// no Event says so. A StatefulSet has no condition for it.
func (r *HomeserverReconciler) rejection(ctx context.Context, set *appsv1.StatefulSet) (string, error) {
	var list corev1.EventList
	err := r.Live.List(ctx, &list, client.InNamespace(set.Namespace), client.MatchingFields{
		"involvedObject.uid": string(set.UID), "reason": "FailedCreate",
	})
	if err != nil {
		return "", fmt.Errorf("list Events of StatefulSet %s: %w", set.Name, err)
	}
	var message string
	var latest time.Time
	for i := range list.Items {
		if at := eventTime(&list.Items[i]); message == "" || at.After(latest) {
			message, latest = list.Items[i].Message, at
		}
	}
	return message, nil
}

func eventTime(event *corev1.Event) time.Time {
	if event.Series != nil {
		return event.Series.LastObservedTime.Time
	}
	if !event.LastTimestamp.IsZero() {
		return event.LastTimestamp.Time
	}
	return event.EventTime.Time
}

// observeReferences looks at the certificate and at the Secrets that the spec
// names. What it finds wrong does not keep the server from running.
func (r *HomeserverReconciler) observeReferences(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	for _, reference := range s.homeserver.Spec.ImagePullSecrets {
		secret, err := r.secret(ctx, s, reference.Name)
		if err != nil {
			return ctrl.Result{}, err
		}
		if secret == nil && s.secrets == nil {
			s.secrets = problem(matrixv1.ReasonSecretMissing, "Secret %s, named in spec.imagePullSecrets, does not exist: create it in this namespace", reference.Name)
		}
	}
	if err := r.observeIssued(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.observeProvided(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	s.observed = true
	return ctrl.Result{}, nil
}

// +kubebuilder:rbac:groups=cert-manager.io,resources=issuers,verbs=get
// +kubebuilder:rbac:groups=cert-manager.io,resources=clusterissuers,verbs=get,roleName=foyer-operator-cluster

// observeIssued mirrors the state of the Certificates that cert-manager is
// asked for.
func (r *HomeserverReconciler) observeIssued(ctx context.Context, s *homeserverScope) error {
	tls := s.homeserver.Spec.TLS
	if tls == nil || tls.IssuerRef == nil {
		return nil
	}
	if !s.certManager {
		s.certificate = stalledProblem(matrixv1.ReasonCertManagerMissing, "spec.tls.issuerRef needs cert-manager, which is not installed in this cluster: install it, or use spec.tls.secretName")
		return nil
	}
	for _, obj := range s.objects {
		if !isCertificate(obj) || s.certificate != nil {
			continue
		}
		var certificate certmanagerv1.Certificate
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(obj), &certificate); err != nil {
			return fmt.Errorf("get Certificate %s: %w", obj.GetName(), err)
		}
		s.certificate = mirrorCertificate(&certificate)
	}
	if s.certificate == nil {
		return nil
	}
	return r.explainIssuer(ctx, s, tls.IssuerRef)
}

// explainIssuer says so when the issuer is what a certificate waits for.
func (r *HomeserverReconciler) explainIssuer(ctx context.Context, s *homeserverScope, reference *matrixv1.IssuerReference) error {
	if reference.Group != certmanagerv1.SchemeGroupVersion.Group {
		return nil // an external issuer: its kind is not known here
	}
	issuer := &metav1.PartialObjectMetadata{}
	issuer.SetGroupVersionKind(schema.GroupVersionKind{
		Group: reference.Group, Version: certmanagerv1.SchemeGroupVersion.Version, Kind: string(reference.Kind),
	})
	key := types.NamespacedName{Name: reference.Name}
	if reference.Kind == matrixv1.IssuerKindIssuer {
		key.Namespace = s.homeserver.Namespace
	}
	err := r.Live.Get(ctx, key, issuer)
	if apierrors.IsNotFound(err) {
		s.certificate = problem(matrixv1.ReasonIssuerMissing, "%s %s, named in spec.tls.issuerRef, does not exist: create it or name another", reference.Kind, reference.Name)
		return nil
	}
	if reference.Kind == matrixv1.IssuerKindClusterIssuer && apierrors.IsForbidden(err) {
		return nil // an operator of some namespaces may not look at these
	}
	if err != nil {
		return fmt.Errorf("get %s %s: %w", reference.Kind, reference.Name, err)
	}
	return nil
}

// observeProvided checks the TLS Secrets that the user maintains.
func (r *HomeserverReconciler) observeProvided(ctx context.Context, s *homeserverScope) error {
	for _, wanted := range providedCertificates(s.homeserver) {
		secret, err := r.secret(ctx, s, wanted.secret)
		if err != nil {
			return err
		}
		if s.certificate == nil {
			s.certificate = r.examine(s, wanted, secret)
		}
	}
	return nil
}

// examine tells what is wrong with a TLS Secret, if anything, and notes when
// its certificate ends. secret is nil if there is none.
func (r *HomeserverReconciler) examine(s *homeserverScope, wanted provided, secret *corev1.Secret) *outcome {
	if secret == nil {
		return problem(matrixv1.ReasonSecretMissing, "Secret %s with the certificate of %s does not exist: create it, of type kubernetes.io/tls, in this namespace", wanted.secret, wanted.host)
	}
	now := r.now()
	if end, ok := certificateEnd(secret); ok && now.Before(end) && (s.renewal.IsZero() || end.Before(s.renewal)) {
		s.renewal = end
	}
	return checkCertificate(secret, wanted.host, now)
}

// provided is a certificate that the user maintains.
type provided struct {
	secret, host string
}

func providedCertificates(hs *matrixv1.Homeserver) []provided {
	var out []provided
	if tls := hs.Spec.TLS; tls != nil && tls.SecretName != "" {
		out = append(out, provided{tls.SecretName, hs.Spec.Host})
	}
	name := manifest.WellKnownTLSSecretName(hs)
	if name == "" || slices.Contains(issuedSecrets(hs), name) {
		return out
	}
	return append(out, provided{name, manifest.ServerHost(hs)})
}

// issuedSecrets are the Secrets that cert-manager writes.
func issuedSecrets(hs *matrixv1.Homeserver) []string {
	if hs.Spec.TLS == nil || hs.Spec.TLS.IssuerRef == nil {
		return nil
	}
	names := naming.ForHomeserver(hs)
	return []string{names.Certificate().Name, names.WellKnownCertificate().Name}
}

// lookAgain asks to be called again where no watch tells of the next change:
// while something is wrong, and when a certificate nears its end.
func (r *HomeserverReconciler) lookAgain(_ context.Context, s *homeserverScope) (ctrl.Result, error) {
	problems := []*outcome{s.volume, s.certificate, s.secrets}
	if s.workload.statefulSet != nil {
		problems = append(problems, diagnose(*s.workload))
	}
	if slices.ContainsFunc(problems, func(found *outcome) bool { return found != nil }) {
		return ctrl.Result{RequeueAfter: r.again.wait}, nil
	}
	if s.renewal.IsZero() {
		return ctrl.Result{}, nil
	}
	// Never more often than hourly: a clock that is wrong must not make a loop.
	next := s.renewal.Sub(r.now())
	if next > renewalNotice {
		next -= renewalNotice
	}
	return ctrl.Result{RequeueAfter: max(next, time.Hour)}, nil
}
