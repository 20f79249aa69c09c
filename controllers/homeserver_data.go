// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
)

// The volume and the signing key vouch for each other, so that the loss of one
// is noticed by the other even when the Homeserver was deleted and created
// again, and its status with it. Both annotations are there before a pod is.
const (
	// annotationSigningKey on the volume claim holds the public signing key of
	// the server whose data it is.
	annotationSigningKey = "matrix.foyer.im/signing-key"
	// annotationVolume on the Secret of the signing key holds the UID of the
	// claim that was made for the server.
	annotationVolume = "matrix.foyer.im/volume"
)

// ensureCredentials reads the Secrets and generates what never existed. It
// writes nothing: a crash before keepData leaves nothing behind.
func (r *HomeserverReconciler) ensureCredentials(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	tokens := credentials.RegistrationTokensReference(s.homeserver).Name
	existing := credentials.Existing{}
	var err error
	if existing.SigningKey, err = r.secret(ctx, s, s.names.SigningKeySecret().Name); err != nil {
		return ctrl.Result{}, err
	}
	if existing.Admins, err = r.secret(ctx, s, s.names.AdminsSecret().Name); err != nil {
		return ctrl.Result{}, err
	}
	if s.homeserver.Spec.Registration.Mode == matrixv1.RegistrationToken {
		if existing.RegistrationTokens, err = r.secret(ctx, s, tokens); err != nil {
			return ctrl.Result{}, err
		}
	}
	if s.claim, err = r.dataClaim(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if err := ownedData(s, existing); err != nil {
		return ctrl.Result{}, err
	}
	s.existing = existing
	values, err := credentials.ForHomeserver(withKnownKey(s.homeserver, s.claim), existing)
	if err != nil {
		return ctrl.Result{}, credentialOutcome(err)
	}
	s.credentials = &values
	return ctrl.Result{}, nil
}

// ownedData refuses to take anything from, or write to, a volume or generated
// Secrets that someone else made.
func ownedData(s *homeserverScope, existing credentials.Existing) error {
	if s.claim != nil && !s.applier.labelled(s.claim) {
		return notOwned("PersistentVolumeClaim", s.claim.Name)
	}
	generated := []*corev1.Secret{existing.SigningKey, existing.Admins}
	if s.homeserver.Spec.Registration.TokenSecretRef == nil {
		generated = append(generated, existing.RegistrationTokens)
	}
	for _, secret := range generated {
		if secret != nil && (!s.applier.labelled(secret) || !holdsData(secret)) {
			return notOwned("Secret", secret.Name)
		}
	}
	return nil
}

// secret reads a Secret past the cache, which does not hold their content;
// nil when it does not exist.
func (r *HomeserverReconciler) secret(ctx context.Context, s *homeserverScope, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.homeserver.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Secret %s: %w", name, err)
	}
	return &secret, nil
}

// dataClaim reads the volume claim; nil when there is none, which only a live
// look may say.
func (r *HomeserverReconciler) dataClaim(ctx context.Context, s *homeserverScope) (*corev1.PersistentVolumeClaim, error) {
	key := client.ObjectKey{Namespace: s.homeserver.Namespace, Name: s.names.DataClaim().Name}
	var claim corev1.PersistentVolumeClaim
	err := r.Client.Get(ctx, key, &claim)
	if apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, key, &claim)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get PersistentVolumeClaim %s: %w", key.Name, err)
	}
	return &claim, nil
}

// withKnownKey returns hs with the signing key that its volume knows in its
// status. The volume is trusted more than the status, which a recreated
// Homeserver has lost and which others may write.
func withKnownKey(hs *matrixv1.Homeserver, claim *corev1.PersistentVolumeClaim) *matrixv1.Homeserver {
	if claim == nil {
		return hs
	}
	id, public, found := strings.Cut(claim.Annotations[annotationSigningKey], " ")
	if !found {
		return hs
	}
	known := hs.DeepCopy()
	known.Status.SigningKey = &matrixv1.SigningKeyStatus{ID: id, PublicKey: public}
	return known
}

// credentialOutcome says what is wrong with a Secret. A missing one may still
// be applied; anything else needs the user.
func credentialOutcome(err error) error {
	var wrong *credentials.Problem
	switch {
	case !errors.As(err, &wrong):
		return err
	case wrong.Reason == matrixv1.ReasonSecretMissing:
		return waitFor(wrong.Reason, wrong.Error())
	}
	return invalid(wrong.Reason, wrong.Error())
}

// keepData creates the volume and the Secrets of credentials when they never
// existed, keeps their labels and the volume's size as asked, and lets each
// vouch for the other. A volume that existed and is gone is not replaced.
//
// Order matters for a crash between two writes: the Secret, the volume with
// the key's name on it, then the volume's name on the Secret. No pod runs
// before the last.
func (r *HomeserverReconciler) keepData(ctx context.Context, s *homeserverScope) (ctrl.Result, error) {
	if lost := lostVolume(s); lost != nil {
		return ctrl.Result{}, lost
	}
	derive(s)
	if s.claim == nil {
		if err := r.applyCredentials(ctx, s); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.applyVolume(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	claim, err := r.dataClaim(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if claim == nil {
		return ctrl.Result{}, waitFor(matrixv1.ReasonVolumePending, "the volume claim was deleted while it was being set up; looking again")
	}
	s.claim = claim
	return ctrl.Result{}, r.applyCredentials(ctx, s)
}

// lostVolume is an outcome when the volume that held the data is gone.
func lostVolume(s *homeserverScope) error {
	name := s.names.DataClaim().Name
	switch {
	case s.claim != nil && s.claim.Status.Phase == corev1.ClaimLost:
		return invalid(matrixv1.ReasonDataLost, "the disk behind PersistentVolumeClaim "+name+" is gone: restore the claim from a backup; no blank one takes its place")
	case s.claim != nil || s.existing.SigningKey == nil || s.existing.SigningKey.Annotations[annotationVolume] == "":
		return nil
	}
	return invalid(matrixv1.ReasonDataLost, "PersistentVolumeClaim "+name+", which held this server's data, is gone: restore it, with its labels, from a backup; no blank one takes its place. "+
		"To begin again without the data, remove the annotation "+annotationVolume+" from Secret "+s.existing.SigningKey.Name)
}

// derive notes on the volume and on each Secret of credentials what it was
// made from, so that nothing else is overwritten or made anew: see pin.
func derive(s *homeserverScope) {
	for _, obj := range s.objects {
		switch obj := obj.(type) {
		case *corev1.PersistentVolumeClaim:
			if s.claim != nil {
				obj.UID = s.claim.UID
			}
		case *corev1.Secret:
			for _, read := range []*corev1.Secret{s.existing.SigningKey, s.existing.Admins, s.existing.RegistrationTokens} {
				if read != nil && read.Name == obj.Name {
					obj.UID, obj.ResourceVersion = read.UID, read.ResourceVersion
				}
			}
		}
	}
}

// applyCredentials applies the Secrets of credentials.
func (r *HomeserverReconciler) applyCredentials(ctx context.Context, s *homeserverScope) error {
	for _, obj := range s.objects {
		secret, ok := obj.(*corev1.Secret)
		if !ok || !holdsData(secret) {
			continue
		}
		if s.claim != nil && secret.Name == s.names.SigningKeySecret().Name {
			annotate(secret, annotationVolume, string(s.claim.UID))
		}
		done, err := s.applier.apply(ctx, secret)
		if err != nil {
			return err
		}
		if err := r.tell(ctx, s, secret, done); err != nil {
			return err
		}
	}
	return nil
}

// applyVolume applies the volume claim. That it cannot grow is noted and does
// not keep the rest from being applied.
func (r *HomeserverReconciler) applyVolume(ctx context.Context, s *homeserverScope) error {
	for _, obj := range s.objects {
		claim, ok := obj.(*corev1.PersistentVolumeClaim)
		if !ok {
			continue
		}
		public := s.credentials.SigningKey.Public()
		annotate(claim, annotationSigningKey, public.ID+" "+public.PublicKey)
		if s.claim != nil && s.claim.DeletionTimestamp != nil {
			s.volume = stalledProblem(matrixv1.ReasonDataLost, "PersistentVolumeClaim %s has been deleted by hand and disappears as soon as the server's pod ends: make a backup now", claim.Name)
			return nil
		}
		done, err := s.applier.apply(ctx, claim)
		switch s.volume = growth(err); {
		case s.volume == nil && err != nil:
			return err
		case s.volume == nil:
			return r.tell(ctx, s, claim, done)
		}
	}
	return nil
}

// growth tells whether err is the API server's refusal to let a volume grow.
func growth(err error) *outcome {
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "must support resize"):
		return stalledProblem(matrixv1.ReasonVolumeNotExpandable, "the StorageClass of the volume does not allow it to grow to spec.storage.size: set allowVolumeExpansion: true on the StorageClass if its provisioner can do it, or move the data to a larger volume")
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "spec is immutable"):
		return problem(matrixv1.ReasonVolumePending, "the volume is not bound yet, so it cannot grow to spec.storage.size")
	}
	return nil
}

func annotate(obj client.Object, key, value string) {
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	obj.SetAnnotations(annotations)
}
