// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

func unschedulable(message string) func(*corev1.PodStatus) {
	return func(status *corev1.PodStatus) {
		status.Phase = corev1.PodPending
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}}
	}
}

func killed(reason string) func(*corev1.PodStatus) {
	return func(status *corev1.PodStatus) {
		crashed(137, "")(status)
		status.ContainerStatuses[0].LastTerminationState.Terminated.Reason = reason
	}
}

func startingUp(status *corev1.PodStatus) {
	status.Phase = corev1.PodRunning
	status.ContainerStatuses = []corev1.ContainerStatus{{Name: naming.ContainerHomeserver, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

func TestDiagnose(t *testing.T) {
	const refusedByQuota = `create Pod x-0 in StatefulSet x failed error: pods "x-0" is forbidden: exceeded quota: students, requested: pods=1, used: pods=9, limited: pods=9`
	for name, test := range map[string]struct {
		pod       func(*corev1.PodStatus) // nil: there is no pod
		rejection string
		reason    string
		stalled   bool
		says      string
	}{
		"no pod yet":                       {nil, "", matrixv1.ReasonProgressing, false, ""},
		"running but not ready":            {startingUp, "", matrixv1.ReasonNotReady, false, ""},
		"image absent":                     {waiting("ErrImagePull", "not found"), "", matrixv1.ReasonImagePullFailed, false, "spec.image"},
		"image pull backs off":             {waiting("ImagePullBackOff", ""), "", matrixv1.ReasonImagePullFailed, false, ""},
		"image name is wrong":              {waiting("InvalidImageName", ""), "", matrixv1.ReasonImagePullFailed, false, ""},
		"image for another processor":      {waiting("ErrImagePull", "no match for platform in manifest"), "", matrixv1.ReasonArchitectureMismatch, false, ""},
		"program for another processor":    {crashed(255, "exec /foyer: exec format error"), "", matrixv1.ReasonArchitectureMismatch, false, ""},
		"waits for a Secret":               {waiting("CreateContainerConfigError", ""), "", matrixv1.ReasonProgressing, false, "Secret"},
		"no memory on any node":            {unschedulable("0/3 nodes are available: 3 Insufficient memory."), "", matrixv1.ReasonUnschedulable, false, "Insufficient memory"},
		"volume is not provisioned":        {unschedulable("0/1 nodes: pod has unbound immediate PersistentVolumeClaims."), "", matrixv1.ReasonVolumePending, false, "StorageClass"},
		"ended for no known reason":        {crashed(3, `{"level":"ERROR"}`), "", matrixv1.ReasonCrashLoop, false, "exit code 3"},
		"killed for its memory":            {killed("OOMKilled"), "", matrixv1.ReasonCrashLoop, false, "limits.memory"},
		"configuration refused":            {crashed(78, "ConfigInvalid: listen.client: bad address"), "", matrixv1.ReasonConfigInvalid, true, "listen.client: bad address"},
		"network file system":              {crashed(78, "StorageUnsupported: nfs"), "", matrixv1.ReasonStorageUnsupported, true, "network file system"},
		"image older than the data":        {crashed(78, "SchemaTooNew: schema 12, this program knows 9"), "", matrixv1.ReasonUpgradeBlocked, true, "schema 12"},
		"signing key refused":              {crashed(78, "SigningKeyInvalid: no seed"), "", matrixv1.ReasonSigningKeyInvalid, true, ""},
		"data of another server":           {crashed(78, "ServerNameMismatch: other.example"), "", matrixv1.ReasonServerNameMismatch, true, ""},
		"database damaged":                 {crashed(1, "DataCorrupt: page 3"), "", matrixv1.ReasonDataCorrupt, true, ""},
		"database unreachable":             {crashed(1, "DatabaseUnreachable: dial postgres://foyer:hunter2@db:5432"), "", matrixv1.ReasonDatabaseUnreachable, false, "postgres://db:5432"},
		"volume in use":                    {crashed(1, "Locked: by another process"), "", matrixv1.ReasonLocked, false, ""},
		"a reason that is not in the list": {crashed(1, "Whatever: happened"), "", matrixv1.ReasonCrashLoop, false, ""},
		"quota":                            {nil, refusedByQuota, matrixv1.ReasonQuotaExceeded, false, "ResourceQuota students"},
		"pod security":                     {nil, `pods "x-0" is forbidden: violates PodSecurity "restricted:latest": ...`, matrixv1.ReasonPodRejected, false, "Pod Security"},
		"some webhook":                     {nil, `admission webhook "x" denied the request: no`, matrixv1.ReasonPodRejected, false, "describe statefulset"},
	} {
		t.Run(name, func(t *testing.T) {
			w := workload{statefulSet: &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](1)}}, rejection: test.rejection}
			if test.pod != nil {
				pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "x-0"}}
				test.pod(&pod.Status)
				w.pods = []corev1.Pod{pod}
			}
			got := diagnose(w)
			if got == nil || got.reason != test.reason || got.stalled != test.stalled || !strings.Contains(got.message, test.says) {
				t.Fatalf("got %+v", got)
			}
			if again := diagnose(w); *again != *got {
				t.Errorf("another message the second time: %q", again.message)
			}
			if strings.Contains(got.message, "hunter2") {
				t.Errorf("the message holds a password: %s", got.message)
			}
		})
	}
}

func TestDiagnoseIsContentWithAnAvailableWorkload(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Generation: 4}, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](1)}}
	set.Status = appsv1.StatefulSetStatus{ObservedGeneration: 4, ReadyReplicas: 1, UpdatedReplicas: 1}
	if got := diagnose(workload{statefulSet: set}); got != nil {
		t.Errorf("got %+v", got)
	}
	set.Status.ObservedGeneration = 3 // the status is of an older spec
	if got := diagnose(workload{statefulSet: set}); got == nil || got.reason != matrixv1.ReasonProgressing {
		t.Errorf("got %+v", got)
	}
}

// endsWith lets the running server of a new Homeserver end with message, and
// expects the conditions, which go when the server runs again.
func endsWith(t *testing.T, message string, wanted ...expectation) {
	t.Helper()
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	pod := read(w, w.podOf(hs))
	w.report(hs, 0)
	w.pod(hs, crashed(78, message))
	w.waitFor(hs, wanted...)
	if read(w, w.podOf(hs)).UID != pod.UID {
		t.Error("the operator replaced the pod")
	}
	seen := w.runToReady(hs)
	if text := describe(seen.Status.Conditions); strings.Contains(text, wanted[0].reason) {
		t.Errorf("a condition outlived its cause: %s", text)
	}
}

func TestK24_VolumeOnANetworkFileSystemIsStalled(t *testing.T) {
	endsWith(t, "StorageUnsupported: /data is on nfs", stalled(matrixv1.ReasonStorageUnsupported), ready(matrixv1.ReasonStorageUnsupported))
}

func TestK56_ImageOlderThanTheSchemaIsBlockedAndThePodStays(t *testing.T) {
	endsWith(t, "SchemaTooNew: schema 12, this program knows 9", stalled(matrixv1.ReasonUpgradeBlocked), ready(matrixv1.ReasonUpgradeBlocked),
		expectation{kind: matrixv1.ConditionUpgradeBlocked, status: metav1.ConditionTrue, reason: matrixv1.ReasonUpgradeBlocked, message: "schema 12"})
}

func TestConfigurationThatTheServerRefusesIsStalled(t *testing.T) {
	endsWith(t, "ConfigInvalid: no", stalled(matrixv1.ReasonConfigInvalid),
		expectation{kind: matrixv1.ConditionConfigValid, status: metav1.ConditionFalse, reason: matrixv1.ReasonConfigInvalid})
}

func TestK46_AbsentImageAndOneForAnotherProcessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	w.bind(hs)
	w.pod(hs, waiting("ImagePullBackOff", "Back-off pulling image"))
	w.waitFor(hs, ready(matrixv1.ReasonImagePullFailed))
	w.pod(hs, waiting("ErrImagePull", "no match for platform in manifest: not found"))
	architecture := expectation{kind: matrixv1.ConditionArchitectureSupported, status: metav1.ConditionFalse, reason: matrixv1.ReasonArchitectureMismatch}
	w.waitFor(hs, ready(matrixv1.ReasonArchitectureMismatch), architecture)
	w.runToReady(hs)
	architecture.status, architecture.reason = metav1.ConditionTrue, matrixv1.ReasonValid
	seen := w.waitFor(hs, architecture)
	if seen.Status.Version != "1.2.3" {
		t.Errorf("the version is %q", seen.Status.Version)
	}
}

func TestK47_QuotaAndPodSecurityThatRefuseThePodAreReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		message, reason string
	}{
		"quota":        {`create Pod x-0 in StatefulSet x failed error: pods "x-0" is forbidden: exceeded quota: students, requested: pods=1`, matrixv1.ReasonQuotaExceeded},
		"pod security": {`create Pod x-0 in StatefulSet x failed error: pods "x-0" is forbidden: violates PodSecurity "restricted:latest"`, matrixv1.ReasonPodRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(operatorSettings{})
			hs := w.createHomeserver("campus")
			set := exists(w, statefulSetOf(hs))
			w.must(w.Create(w.ctx, &corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "refused-"},
				InvolvedObject: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: set.Namespace, Name: set.Name, UID: set.UID},
				Type:           corev1.EventTypeWarning, Reason: "FailedCreate", Message: test.message, LastTimestamp: metav1.Now(),
			}))
			w.waitFor(hs, ready(test.reason))
			w.runToReady(hs)
		})
	}
}

func TestK47_QuotaThatRefusesAnObjectIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The controller that counts does not run here, so the quota counts itself.
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "students"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"persistentvolumeclaims": quantity("0")}},
	}
	w.must(w.Create(w.ctx, quota))
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{"persistentvolumeclaims": quantity("0")}}
	w.must(w.Status().Update(w.ctx, quota))
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	w.waitFor(hs, expectation{kind: matrixv1.ConditionReady, status: metav1.ConditionFalse, reason: matrixv1.ReasonQuotaExceeded, message: "students"})
	w.must(w.Delete(w.ctx, quota))
	w.runToReady(hs)
}
