// SPDX-License-Identifier: Apache-2.0

// Package workload builds the one hardened pod that everything the operator
// runs is made of: the restricted Pod Security Standard, a read-only root
// file system, no service account token. Builders cannot leave it out.
package workload

import (
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// userID is the non-root user and group of the image.
const userID int64 = 65532

// temporarySize bounds /tmp, which is memory or disk of the node.
const temporarySize = "1Gi"

// Pod is what differs between pods.
type Pod struct {
	// Labels and Annotations of the operator; they win over those of Options.
	Labels      map[string]string
	Annotations map[string]string
	// ServiceAccountName is the pod's identity; its token is never mounted.
	ServiceAccountName string
	// Options are the user's wishes; may be nil.
	Options *matrixv1alpha1.PodOptions
	// ImagePullSecrets of the image.
	ImagePullSecrets []matrixv1alpha1.LocalReference
	// Container is the one program; its security context and /tmp are added.
	Container corev1.Container
	// Volumes beside /tmp.
	Volumes []corev1.Volume
	// GraceSeconds is how long the program may take to end.
	GraceSeconds int64
}

// Template returns the pod template of p.
func Template(p Pod) corev1.PodTemplateSpec {
	options := p.Options
	if options == nil {
		options = &matrixv1alpha1.PodOptions{}
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      overlay(options.Labels, p.Labels),
			Annotations: overlay(options.Annotations, p.Annotations),
		},
		Spec: corev1.PodSpec{
			ServiceAccountName:            p.ServiceAccountName,
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To(p.GraceSeconds),
			SecurityContext:               podSecurity(),
			ImagePullSecrets:              pullSecrets(p.ImagePullSecrets),
			NodeSelector:                  overlay(options.NodeSelector, nil),
			Tolerations:                   options.Tolerations,
			Affinity:                      options.Affinity,
			TopologySpreadConstraints:     options.TopologySpreadConstraints,
			PriorityClassName:             options.PriorityClassName,
			Containers:                    []corev1.Container{hardened(p.Container)},
			Volumes:                       append(slices.Clone(p.Volumes), temporaryVolume()),
		},
	}
}

// hardened adds to a container what none may go without.
func hardened(c corev1.Container) corev1.Container {
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Privileged:               ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	c.VolumeMounts = append(slices.Clone(c.VolumeMounts), corev1.VolumeMount{
		Name: naming.VolumeTemporary, MountPath: naming.DirTemporary,
	})
	c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	return c
}

func podSecurity() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot:        ptr.To(true),
		RunAsUser:           ptr.To(userID),
		RunAsGroup:          ptr.To(userID),
		FSGroup:             ptr.To(userID),
		FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func temporaryVolume() corev1.Volume {
	return corev1.Volume{Name: naming.VolumeTemporary, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse(temporarySize))},
	}}
}

func pullSecrets(refs []matrixv1alpha1.LocalReference) []corev1.LocalObjectReference {
	var out []corev1.LocalObjectReference
	for _, ref := range refs {
		out = append(out, corev1.LocalObjectReference{Name: ref.Name})
	}
	return out
}

// overlay returns the user's values with ours over them; nil when both are empty.
func overlay[V ~string](users map[string]V, ours map[string]string) map[string]string {
	if len(users)+len(ours) == 0 {
		return nil
	}
	out := make(map[string]string, len(users)+len(ours))
	for key, value := range users {
		out[key] = string(value)
	}
	maps.Copy(out, ours)
	return out
}

// SecretVolume mounts every key of a Secret as a file that only the program's
// group can read.
func SecretVolume(volume, secret string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To[int32](0o440)},
	}}
}

// MemoryLimitEnv tells the Go runtime how much memory it may use, 90 % of the
// container's limit: the rest is for what the runtime does not count. Empty
// without a limit.
func MemoryLimitEnv(limits corev1.ResourceList) []corev1.EnvVar {
	memory, ok := limits[corev1.ResourceMemory]
	if !ok || memory.Value() <= 0 {
		return nil
	}
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: strconv.FormatInt(memory.Value()/10*9, 10)}}
}

// Probe asks path on the named port every periodSeconds; the pod is given up
// after failures in a row.
func Probe(path, port string, periodSeconds, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: path, Port: portName(port), Scheme: corev1.URISchemeHTTP},
		},
		PeriodSeconds:    periodSeconds,
		FailureThreshold: failures,
		TimeoutSeconds:   5,
		SuccessThreshold: 1,
	}
}
