// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// found is the scope of a reconcile that went all the way and found a server
// that serves.
func found(change ...func(*homeserverScope)) *homeserverScope {
	hs := &matrixv1.Homeserver{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "campus", Generation: 7}}
	hs.Spec.ServerName, hs.Spec.Host = "campus.example", "matrix.campus.example"
	s := &homeserverScope{homeserver: hs, names: naming.ForHomeserver(hs)}
	s.credentials = &credentials.Homeserver{SigningKey: credentials.NewSigningKey(), AdminPasswords: map[string]string{"admin": "x"}}
	s.objects = []client.Object{&corev1.Service{}}
	s.claim = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{UID: "claim"}}
	s.claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: quantity("1Gi")}
	s.claim.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: s.claim.Spec.Resources.Requests}
	s.workload = &workload{statefulSet: &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{ReadyReplicas: 1, UpdatedReplicas: 1}}}
	s.observed = true
	for _, f := range change {
		f(s)
	}
	return s
}

// stopped is a scope that ended at its first step.
func stopped(was ...metav1.Condition) *homeserverScope {
	s := found()
	s.homeserver.Status.Conditions = was
	s.credentials, s.objects, s.claim, s.workload, s.observed = nil, nil, nil, nil, false
	return s
}

func TestHomeserverConditions(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "x", errors.New(`User "op" cannot patch resource "services" in API group "" in the namespace "ns"`))
	wasReady := metav1.Condition{Type: matrixv1.ConditionReady, Status: metav1.ConditionTrue, Reason: matrixv1.ReasonReady, Message: "fine", ObservedGeneration: 7}
	for name, test := range map[string]struct {
		scope *homeserverScope
		err   error
		want  string // conditions as type=status/reason, sorted
	}{
		"all is well": {
			found(), nil,
			"ArchitectureSupported=True/Valid ConfigValid=True/Valid Ready=True/Ready SecretsReady=True/Valid StorageReady=True/Bound WorkloadAvailable=True/Available",
		},
		"the pods start": {
			found(func(s *homeserverScope) { s.workload.statefulSet.Status.ReadyReplicas = 0 }), nil,
			"ConfigValid=True/Valid Ready=False/Progressing Reconciling=True/Progressing SecretsReady=True/Valid StorageReady=True/Bound WorkloadAvailable=False/Progressing",
		},
		"protected keys are ignored and do not matter": {
			found(func(s *homeserverScope) { s.ignoredKeys = []string{"listen"} }), nil,
			"ArchitectureSupported=True/Valid ConfigValid=False/ProtectedKey Ready=True/Ready SecretsReady=True/Valid StorageReady=True/Bound WorkloadAvailable=True/Available",
		},
		"the certificate is missing": {
			found(func(s *homeserverScope) {
				s.homeserver.Spec.TLS = &matrixv1.TLS{SecretName: "cert"}
				s.certificate = problem(matrixv1.ReasonSecretMissing, "x")
			}), nil,
			"ArchitectureSupported=True/Valid CertificateReady=False/SecretMissing ConfigValid=True/Valid Ready=False/SecretMissing Reconciling=True/SecretMissing SecretsReady=True/Valid StorageReady=True/Bound WorkloadAvailable=True/Available",
		},
		"cert-manager is missing": {
			found(func(s *homeserverScope) {
				s.homeserver.Spec.TLS = &matrixv1.TLS{IssuerRef: &matrixv1.IssuerReference{Name: "x"}}
				s.certificate = stalledProblem(matrixv1.ReasonCertManagerMissing, "x")
			}), nil,
			"ArchitectureSupported=True/Valid CertificateReady=False/CertManagerMissing ConfigValid=True/Valid Ready=False/CertManagerMissing SecretsReady=True/Valid Stalled=True/CertManagerMissing StorageReady=True/Bound WorkloadAvailable=True/Available",
		},
		"the volume cannot grow": {
			found(func(s *homeserverScope) { s.volume = stalledProblem(matrixv1.ReasonVolumeNotExpandable, "x") }), nil,
			"ArchitectureSupported=True/Valid ConfigValid=True/Valid Ready=False/VolumeNotExpandable SecretsReady=True/Valid Stalled=True/VolumeNotExpandable StorageReady=False/VolumeNotExpandable WorkloadAvailable=True/Available",
		},
		"the volume grows": {
			found(func(s *homeserverScope) {
				s.claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: quantity("2Gi")}
			}), nil,
			"ArchitectureSupported=True/Valid ConfigValid=True/Valid Ready=True/Ready SecretsReady=True/Valid StorageReady=True/Resizing WorkloadAvailable=True/Available",
		},
		"it is suspended": {
			found(func(s *homeserverScope) { s.homeserver.Spec.Suspend = true }), nil,
			"ConfigValid=True/Valid Ready=False/Suspended SecretsReady=True/Valid StorageReady=True/Bound WorkloadAvailable=False/Suspended",
		},
		"a pull secret is missing and does not matter": {
			found(func(s *homeserverScope) { s.secrets = problem(matrixv1.ReasonSecretMissing, "x") }), nil,
			"ArchitectureSupported=True/Valid ConfigValid=True/Valid Ready=True/Ready SecretsReady=False/SecretMissing StorageReady=True/Bound WorkloadAvailable=True/Available",
		},
		"the server name is taken": {
			stopped(), invalid(matrixv1.ReasonServerNameConflict, "x"),
			"Ready=False/ServerNameConflict Stalled=True/ServerNameConflict",
		},
		"the signing key is gone": {
			stopped(wasReady), fmt.Errorf("step: %w", invalid(matrixv1.ReasonSigningKeyInvalid, "x")),
			"Ready=False/SigningKeyInvalid SecretsReady=False/SigningKeyInvalid Stalled=True/SigningKeyInvalid",
		},
		"a token Secret is missing": {
			stopped(), waitFor(matrixv1.ReasonSecretMissing, "x"),
			"Ready=False/SecretMissing Reconciling=True/SecretMissing SecretsReady=False/SecretMissing",
		},
		"the data is gone": {
			stopped(), invalid(matrixv1.ReasonDataLost, "x"),
			"Ready=False/DataLost Stalled=True/DataLost StorageReady=False/DataLost",
		},
		"it is paused": {
			stopped(), paused(&matrixv1.Homeserver{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{matrixv1.AnnotationPaused: "true"}}}),
			"Ready=Unknown/Paused",
		},
		"the API server failed and the server had been ready": {
			stopped(wasReady), errors.New("boom hunter2"),
			"Ready=True/Ready Reconciling=True/ReconcileError",
		},
		"the API server failed at first sight": {
			stopped(), errors.New("boom hunter2"),
			"Ready=False/ReconcileError Reconciling=True/ReconcileError",
		},
		"a permission is missing": {
			stopped(), fmt.Errorf("apply: %w", denied),
			"Ready=False/Forbidden Reconciling=True/Forbidden",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			conditions := homeserverConditions(test.scope, test.err)
			for _, c := range conditions {
				got = append(got, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
				if c.Message == "" || strings.Contains(c.Message, "hunter2") {
					t.Errorf("%s says %q", c.Type, c.Message)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != test.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, " "), test.want)
			}
			if again := homeserverConditions(test.scope, test.err); !slices.Equal(again, conditions) {
				t.Error("the second time is different")
			}
		})
	}
}

func TestStatusKeepsWhatWasNotLookedAtAndTheTimesOfTransitions(t *testing.T) {
	long := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	was := []metav1.Condition{
		{Type: matrixv1.ConditionReady, Status: metav1.ConditionFalse, Reason: "X", LastTransitionTime: long, ObservedGeneration: 6},
		{Type: matrixv1.ConditionWorkloadAvailable, Status: metav1.ConditionTrue, Reason: matrixv1.ReasonAvailable, LastTransitionTime: long, ObservedGeneration: 6},
		{Type: matrixv1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "X", LastTransitionTime: long, ObservedGeneration: 6},
	}
	now := long.Add(time.Hour)
	status := homeserverStatus(stopped(was...), waitFor(matrixv1.ReasonSecretMissing, "x"), now)
	byType := map[string]metav1.Condition{}
	for _, c := range status.Conditions {
		byType[c.Type] = c
	}
	if got := byType[matrixv1.ConditionReady]; !got.LastTransitionTime.Equal(&long) || got.ObservedGeneration != 7 || got.Reason != matrixv1.ReasonSecretMissing {
		t.Errorf("Ready is %+v", got)
	}
	if got := byType[matrixv1.ConditionWorkloadAvailable]; got != was[1] {
		t.Errorf("what was not looked at became %+v", got)
	}
	if _, there := byType[matrixv1.ConditionStalled]; there {
		t.Error("Stalled is still there")
	}
	if got := byType[matrixv1.ConditionReconciling]; !got.LastTransitionTime.Time.Equal(now) {
		t.Errorf("Reconciling is of %s", got.LastTransitionTime)
	}
}

func TestStatusIsTheSameTheSecondTime(t *testing.T) {
	s := found()
	first := homeserverStatus(s, nil, time.Unix(1000, 500))
	s.homeserver.Status = first
	second := homeserverStatus(s, nil, time.Unix(99000, 0))
	if fmt.Sprint(first) == "" || describe(first.Conditions) != describe(second.Conditions) || !slices.Equal(first.Conditions, second.Conditions) {
		t.Errorf("%+v\n%+v", first, second)
	}
	if first.URL != "https://matrix.campus.example" || first.VolumeUID != "claim" || first.AdminSecretName != "campus-homeserver-admins" || first.WellKnown == nil {
		t.Errorf("%+v", first)
	}
}
