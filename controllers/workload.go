// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// workload is what was seen of a StatefulSet and its pods.
type workload struct {
	statefulSet *appsv1.StatefulSet
	// pods in the order of their names.
	pods []corev1.Pod
	// rejection is the text of the last Event that says why a pod could not be
	// created; empty when there is none.
	rejection string
}

// desired is how many pods are asked for.
func (w workload) desired() int32 {
	if w.statefulSet == nil || w.statefulSet.Spec.Replicas == nil {
		return 1
	}
	return *w.statefulSet.Spec.Replicas
}

// available tells whether every pod that is asked for serves, in the version
// that is asked for.
func (w workload) available() bool {
	s := w.statefulSet
	return s != nil && s.Status.ObservedGeneration >= s.Generation &&
		s.Status.ReadyReplicas >= w.desired() && s.Status.UpdatedReplicas >= w.desired()
}

// diagnose tells what keeps a workload from being available; nil when it is.
// A problem that needs the user comes before one that may pass.
func diagnose(w workload) *outcome {
	if w.available() {
		return nil
	}
	var found *outcome
	for i := range w.pods {
		if o := diagnosePod(&w.pods[i]); o != nil && (found == nil || (o.stalled && !found.stalled)) {
			found = o
		}
	}
	switch {
	case found != nil:
		return found
	case w.statefulSet != nil && int32(len(w.pods)) < w.desired() && w.rejection != "":
		return diagnoseRejection(w.rejection)
	case slices.ContainsFunc(w.pods, running):
		return problem(matrixv1.ReasonNotReady, "the server's pod runs but does not pass its readiness check yet")
	}
	return problem(matrixv1.ReasonProgressing, "the server's pod is being started")
}

func running(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning
}

// diagnosePod tells what is wrong with one pod; nil when nothing is known.
func diagnosePod(pod *corev1.Pod) *outcome {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			return diagnoseScheduling(pod, condition.Message)
		}
	}
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for i := range statuses {
		if o := diagnoseContainer(pod, &statuses[i]); o != nil {
			return o
		}
	}
	return nil
}

// causes are the words by which the scheduler says why no node fits.
var causes = []string{"Insufficient cpu", "Insufficient memory", "Insufficient ephemeral-storage", "Too many pods", "node affinity/selector", "untolerated taint", "volume node affinity conflict"}

func diagnoseScheduling(pod *corev1.Pod, message string) *outcome {
	lower := strings.ToLower(message)
	if strings.Contains(lower, "persistentvolumeclaim") || strings.Contains(lower, "storageclass") {
		return problem(matrixv1.ReasonVolumePending, "the volume cannot be provisioned: check spec.storage.storageClassName, the cluster's default StorageClass and its provisioner (`kubectl describe pvc -n %s`)", pod.Namespace)
	}
	var found []string
	for _, cause := range causes {
		if strings.Contains(message, cause) {
			found = append(found, cause)
		}
	}
	if len(found) == 0 {
		found = []string{"see its events"}
	}
	return problem(matrixv1.ReasonUnschedulable, "no node takes pod %s (%s): free resources, add a node, or change spec.resources or spec.pod", pod.Name, strings.Join(found, ", "))
}

func diagnoseContainer(pod *corev1.Pod, status *corev1.ContainerStatus) *outcome {
	if status.Ready {
		return nil
	}
	if waiting := status.State.Waiting; waiting != nil {
		if o := diagnoseWaiting(status, waiting); o != nil {
			return o
		}
	}
	ended := status.State.Terminated
	if ended == nil {
		ended = status.LastTerminationState.Terminated
	}
	if ended == nil || ended.ExitCode == 0 {
		return nil
	}
	return diagnoseExit(pod, ended)
}

func diagnoseWaiting(status *corev1.ContainerStatus, waiting *corev1.ContainerStateWaiting) *outcome {
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError":
		if strings.Contains(waiting.Message, "no match for platform") || strings.Contains(waiting.Message, "no matching manifest") {
			return problem(matrixv1.ReasonArchitectureMismatch, "the image of container %s does not exist for this node's processor: use an image that is built for it, or choose other nodes in spec.pod.nodeSelector", status.Name)
		}
		return problem(matrixv1.ReasonImagePullFailed, "the image of container %s cannot be pulled: check spec.image, that the registry can be reached, and spec.imagePullSecrets", status.Name)
	case "CreateContainerConfigError":
		return problem(matrixv1.ReasonProgressing, "container %s waits for a Secret or ConfigMap that it mounts", status.Name)
	}
	return nil
}

// diagnoseExit words the end of the server's process. The built-in homeserver
// says why in one line of its termination message: "<Reason>: <text>".
func diagnoseExit(pod *corev1.Pod, ended *corev1.ContainerStateTerminated) *outcome {
	if ended.Reason == "OOMKilled" {
		return problem(matrixv1.ReasonCrashLoop, "the server was killed because it used more memory than spec.resources.limits.memory: raise it")
	}
	if strings.Contains(ended.Message, "exec format error") {
		return problem(matrixv1.ReasonArchitectureMismatch, "the image is built for another processor than this node's: use an image that is built for it, or choose other nodes in spec.pod.nodeSelector")
	}
	reason, text, found := strings.Cut(ended.Message, ":")
	if report, known := exits[strings.TrimSpace(reason)]; found && known {
		return &outcome{stalled: report.stalled, reason: report.reason, message: report.advice + said(text)}
	}
	return problem(matrixv1.ReasonCrashLoop, "the server ended with exit code %d: read why with `kubectl logs --previous -n %s %s`", ended.ExitCode, pod.Namespace, pod.Name)
}

// exitReport is what an exit reason of the built-in homeserver means here.
type exitReport struct {
	stalled bool
	reason  string
	advice  string
}

// exits is keyed by the reasons that the built-in homeserver writes.
var exits = map[string]exitReport{
	"ConfigInvalid":       {true, matrixv1.ReasonConfigInvalid, "the server refuses its configuration: correct spec.config"},
	"StorageUnsupported":  {true, matrixv1.ReasonStorageUnsupported, "the volume is a network file system, on which the database would be damaged: use a StorageClass of local or block volumes"},
	"SchemaTooNew":        {true, matrixv1.ReasonUpgradeBlocked, "the image is older than the data: set spec.image (or the operator) back to the newer version; going back needs a backup from before the upgrade"},
	"SigningKeyInvalid":   {true, matrixv1.ReasonSigningKeyInvalid, "the server refuses its signing key: restore the Secret from a backup"},
	"ServerNameMismatch":  {true, matrixv1.ReasonServerNameMismatch, "the volume holds the data of another server name: use an empty volume, or the server name that the data belongs to"},
	"DataCorrupt":         {true, matrixv1.ReasonDataCorrupt, "the database is damaged: stop the server with spec.suspend and restore the volume from a backup"},
	"DatabaseUnreachable": {false, matrixv1.ReasonDatabaseUnreachable, "the server does not reach its database: check that it runs and accepts the password"},
	"Locked":              {false, matrixv1.ReasonLocked, "another process still uses the volume; waiting until it ends"},
}

// credentials in a URL: scheme://user:password@host.
var userinfo = regexp.MustCompile(`//[^/@\s]+@`)

// said appends what the server said, in one short line without control
// characters or credentials.
func said(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, userinfo.ReplaceAllString(text, "//"))
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200])
	}
	if text == "" {
		return ""
	}
	return " (it says: " + text + ")"
}

// exceeded is how quota admission words its refusal.
var exceeded = regexp.MustCompile(`exceeded quota: ([a-z0-9][-a-z0-9.]*)|failed quota: ([a-z0-9][-a-z0-9.]*)`)

// exceededQuota returns the name of the ResourceQuota that message blames.
func exceededQuota(message string) string {
	match := exceeded.FindStringSubmatch(message)
	if match == nil {
		return ""
	}
	return match[1] + match[2]
}

func quotaMessage(quota string) string {
	return "ResourceQuota " + quota + " of this namespace leaves no room: raise it, or lower spec.resources or spec.storage.size"
}

func diagnoseRejection(message string) *outcome {
	if quota := exceededQuota(message); quota != "" {
		return problem(matrixv1.ReasonQuotaExceeded, "%s", quotaMessage(quota))
	}
	if strings.Contains(message, "PodSecurity") {
		return problem(matrixv1.ReasonPodRejected, "the Pod Security level of this namespace refuses the server's pod: it meets the restricted standard by itself, so look for what a webhook adds to it")
	}
	return problem(matrixv1.ReasonPodRejected, "admission control refuses the server's pod: see `kubectl describe statefulset`")
}
