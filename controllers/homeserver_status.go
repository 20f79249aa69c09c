// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	manifest "github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// homeserverStatus is the status after a reconcile that found s and ended with
// err. What was not looked at this time stays as it was.
func homeserverStatus(s *homeserverScope, err error, now time.Time) matrixv1.HomeserverStatus {
	hs := s.homeserver
	status := *hs.Status.DeepCopy()
	status.ObservedGeneration = hs.Generation
	fresh := mergeConditions(hs.Status.Conditions, homeserverConditions(s, err), hs.Generation, now)
	status.Conditions = append(fresh, kept(s, fresh)...)
	status.URL = manifest.URL(hs)
	if answers, err := manifest.WellKnown(hs); err == nil {
		status.WellKnown = &answers
	}
	if s.credentials != nil {
		public := s.credentials.SigningKey.Public()
		status.SigningKey = &public
		status.AdminSecretName = ""
		if len(s.credentials.AdminPasswords) > 0 {
			status.AdminSecretName = s.names.AdminsSecret().Name
		}
		status.RegistrationTokenSecretName = ""
		if hs.Spec.Registration.Mode == matrixv1.RegistrationToken {
			status.RegistrationTokenSecretName = credentials.RegistrationTokensReference(hs).Name
		}
	}
	if s.claim != nil {
		status.VolumeUID = string(s.claim.UID)
	}
	workloadStatus(&status, s.workload)
	return status
}

func workloadStatus(status *matrixv1.HomeserverStatus, seen *workload) {
	if seen == nil || seen.statefulSet == nil {
		return
	}
	status.Replicas = seen.statefulSet.Status.Replicas
	status.ReadyReplicas = seen.statefulSet.Status.ReadyReplicas
	for i := range seen.pods {
		for _, container := range seen.pods[i].Spec.Containers {
			if container.Name == naming.ContainerHomeserver && podReady(&seen.pods[i]) {
				status.Version = manifest.Version(container.Image)
			}
		}
	}
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// kept are the old conditions about what this reconcile did not get to look at.
func kept(s *homeserverScope, fresh []metav1.Condition) []metav1.Condition {
	unseen := []string{}
	if s.credentials == nil {
		unseen = append(unseen, matrixv1.ConditionSecretsReady)
	}
	if s.objects == nil {
		unseen = append(unseen, matrixv1.ConditionConfigValid)
	}
	if s.workload == nil {
		unseen = append(unseen, matrixv1.ConditionStorageReady, matrixv1.ConditionWorkloadAvailable,
			matrixv1.ConditionUpgradeBlocked, matrixv1.ConditionArchitectureSupported)
	}
	if !s.observed && s.homeserver.Spec.TLS != nil {
		unseen = append(unseen, matrixv1.ConditionCertificateReady)
	}
	var out []metav1.Condition
	for _, name := range unseen {
		was := meta.FindStatusCondition(s.homeserver.Status.Conditions, name)
		if was != nil && meta.FindStatusCondition(fresh, name) == nil {
			out = append(out, *was)
		}
	}
	return out
}

// homeserverConditions says in conditions what a reconcile found.
func homeserverConditions(s *homeserverScope, err error) []metav1.Condition {
	ready := readiness(s, err)
	conditions := []metav1.Condition{ready}
	if reconciling(ready, s, err) {
		conditions = append(conditions, condition(matrixv1.ConditionReconciling, true, reconcilingReason(ready, err), reconcilingMessage(ready, err)))
	}
	if blocking := stalledBy(s, err); blocking != nil {
		conditions = append(conditions, condition(matrixv1.ConditionStalled, true, blocking.reason, blocking.message))
	}
	return append(conditions, details(s, err)...)
}

func condition(kind string, holds bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// readiness is the summary: the most pressing of all that was found.
func readiness(s *homeserverScope, err error) metav1.Condition {
	o := outcomeOf(err)
	switch {
	case o != nil && o.reason == matrixv1.ReasonPaused:
		return metav1.Condition{Type: matrixv1.ConditionReady, Status: metav1.ConditionUnknown, Reason: o.reason, Message: o.message}
	case o != nil:
		return condition(matrixv1.ConditionReady, false, o.reason, o.message)
	case err != nil:
		return afterError(s)
	}
	if blocking := stalledBy(s, nil); blocking != nil {
		return condition(matrixv1.ConditionReady, false, blocking.reason, blocking.message)
	}
	if s.homeserver.Spec.Suspend {
		return condition(matrixv1.ConditionReady, false, matrixv1.ReasonSuspended, "spec.suspend keeps the server stopped; its data is kept")
	}
	for _, found := range []*outcome{unavailable(s), s.certificate} {
		if found != nil {
			return condition(matrixv1.ConditionReady, false, found.reason, found.message)
		}
	}
	return condition(matrixv1.ConditionReady, true, matrixv1.ReasonReady, "the server serves "+manifest.URL(s.homeserver))
}

// afterError keeps what is known of the server when the operator itself met an
// error, such as an API server that is down: the server may well run on.
func afterError(s *homeserverScope) metav1.Condition {
	hs := s.homeserver
	was := meta.FindStatusCondition(hs.Status.Conditions, matrixv1.ConditionReady)
	if was != nil && was.ObservedGeneration == hs.Generation {
		return metav1.Condition{Type: was.Type, Status: was.Status, Reason: was.Reason, Message: was.Message}
	}
	return condition(matrixv1.ConditionReady, false, matrixv1.ReasonReconcileError, errorMessage)
}

const errorMessage = "the operator met an error and tries again; its log says which"

// unavailable is what keeps the workload from serving; nil when it serves.
func unavailable(s *homeserverScope) *outcome {
	if s.workload == nil {
		return problem(matrixv1.ReasonProgressing, "the server's objects are being applied")
	}
	return diagnose(*s.workload)
}

// stalledBy is what only the user can end; nil when there is no such thing.
func stalledBy(s *homeserverScope, err error) *outcome {
	candidates := []*outcome{outcomeOf(err)}
	if err == nil {
		candidates = []*outcome{unavailable(s), s.volume, s.certificate}
	}
	for _, found := range candidates {
		if found != nil && found.stalled {
			return found
		}
	}
	return nil
}

// reconciling tells whether the operator still works towards the spec.
func reconciling(ready metav1.Condition, s *homeserverScope, err error) bool {
	switch {
	case ready.Reason == matrixv1.ReasonPaused || ready.Reason == matrixv1.ReasonSuspended:
		return false
	case err != nil && outcomeOf(err) == nil:
		return true
	}
	return ready.Status != metav1.ConditionTrue && stalledBy(s, err) == nil
}

func reconcilingReason(ready metav1.Condition, err error) string {
	if err != nil && outcomeOf(err) == nil {
		return matrixv1.ReasonReconcileError
	}
	return ready.Reason
}

func reconcilingMessage(ready metav1.Condition, err error) string {
	if err != nil && outcomeOf(err) == nil {
		return errorMessage
	}
	return ready.Message
}

// details are the specific conditions of what was looked at.
func details(s *homeserverScope, err error) []metav1.Condition {
	var conditions []metav1.Condition
	o := outcomeOf(err)
	if o != nil && concernsSecrets(o.reason) && s.credentials == nil {
		conditions = append(conditions, condition(matrixv1.ConditionSecretsReady, false, o.reason, o.message))
	}
	if s.credentials != nil {
		conditions = append(conditions, secretsReady(s))
	}
	switch {
	case o != nil && o.reason == matrixv1.ReasonConfigInvalid:
		conditions = append(conditions, condition(matrixv1.ConditionConfigValid, false, o.reason, o.message))
	case s.objects != nil:
		conditions = append(conditions, configValid(s))
	}
	if o != nil && o.reason == matrixv1.ReasonDataLost {
		conditions = append(conditions, condition(matrixv1.ConditionStorageReady, false, o.reason, o.message))
	}
	if s.workload != nil {
		conditions = append(conditions, storageReady(s))
		conditions = append(conditions, workloadConditions(s)...)
	}
	if s.observed && hasCertificate(s) {
		conditions = append(conditions, certificateReady(s))
	}
	return conditions
}

func concernsSecrets(reason string) bool {
	switch reason {
	case matrixv1.ReasonSecretMissing, matrixv1.ReasonSecretKeyMissing, matrixv1.ReasonSecretInvalid, matrixv1.ReasonSigningKeyInvalid:
		return true
	}
	return false
}

func secretsReady(s *homeserverScope) metav1.Condition {
	if s.secrets != nil {
		return condition(matrixv1.ConditionSecretsReady, false, s.secrets.reason, s.secrets.message)
	}
	return condition(matrixv1.ConditionSecretsReady, true, matrixv1.ReasonValid, "every Secret that the server needs exists and is valid")
}

func configValid(s *homeserverScope) metav1.Condition {
	if found := unavailable(s); s.workload != nil && found != nil && found.reason == matrixv1.ReasonConfigInvalid {
		return condition(matrixv1.ConditionConfigValid, false, found.reason, found.message)
	}
	if len(s.ignoredKeys) > 0 {
		return condition(matrixv1.ConditionConfigValid, false, matrixv1.ReasonProtectedKey,
			"these keys of spec.config are ignored, because the operator or another field of the spec sets them: "+strings.Join(s.ignoredKeys, ", ")+"; remove them")
	}
	return condition(matrixv1.ConditionConfigValid, true, matrixv1.ReasonValid, "the configuration is as written in the spec")
}

func storageReady(s *homeserverScope) metav1.Condition {
	claim := s.claim
	switch {
	case s.volume != nil:
		return condition(matrixv1.ConditionStorageReady, false, s.volume.reason, s.volume.message)
	case claim == nil || claim.Status.Phase != corev1.ClaimBound:
		return condition(matrixv1.ConditionStorageReady, false, matrixv1.ReasonVolumePending, "the volume is not bound yet: its StorageClass may wait for the pod to be scheduled")
	case claim.Status.Capacity.Storage().Cmp(*claim.Spec.Resources.Requests.Storage()) < 0:
		return condition(matrixv1.ConditionStorageReady, true, matrixv1.ReasonResizing, "the volume serves and grows to the asked size")
	}
	return condition(matrixv1.ConditionStorageReady, true, matrixv1.ReasonBound, "the volume is bound and has the asked size")
}

func workloadConditions(s *homeserverScope) []metav1.Condition {
	found := unavailable(s)
	switch {
	case s.homeserver.Spec.Suspend:
		return []metav1.Condition{condition(matrixv1.ConditionWorkloadAvailable, false, matrixv1.ReasonSuspended, "spec.suspend keeps the server stopped")}
	case found == nil:
		return []metav1.Condition{
			condition(matrixv1.ConditionWorkloadAvailable, true, matrixv1.ReasonAvailable, "every pod that is asked for serves"),
			condition(matrixv1.ConditionArchitectureSupported, true, matrixv1.ReasonValid, "the image runs on the nodes' processors"),
		}
	}
	conditions := []metav1.Condition{condition(matrixv1.ConditionWorkloadAvailable, false, found.reason, found.message)}
	switch found.reason {
	case matrixv1.ReasonUpgradeBlocked:
		conditions = append(conditions, condition(matrixv1.ConditionUpgradeBlocked, true, found.reason, found.message))
	case matrixv1.ReasonArchitectureMismatch:
		conditions = append(conditions, condition(matrixv1.ConditionArchitectureSupported, false, found.reason, found.message))
	}
	return conditions
}

func hasCertificate(s *homeserverScope) bool {
	return s.homeserver.Spec.TLS != nil || len(providedCertificates(s.homeserver)) > 0
}

func certificateReady(s *homeserverScope) metav1.Condition {
	if s.certificate != nil {
		return condition(matrixv1.ConditionCertificateReady, false, s.certificate.reason, s.certificate.message)
	}
	return condition(matrixv1.ConditionCertificateReady, true, matrixv1.ReasonIssued, "the certificate exists and fits the host")
}
