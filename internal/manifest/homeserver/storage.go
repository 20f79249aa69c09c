// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/manifest/workload"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// dataClaim is an object of its own and not a template of the StatefulSet:
// templates are immutable, so the volume could not grow.
func dataClaim(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: names.DataClaim(),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: hs.Spec.Storage.StorageClassName,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: hs.Spec.Storage.Size},
			},
		},
	}
}

func statefulSet(hs *matrixv1alpha1.Homeserver, names naming.Homeserver, pod workload.Pod) *appsv1.StatefulSet {
	replicas := ptr.Deref(hs.Spec.Replicas, 1)
	if hs.Spec.Suspend {
		replicas = 0
	}
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: names.StatefulSet(),
		Spec: appsv1.StatefulSetSpec{
			Replicas:            ptr.To(replicas),
			ServiceName:         names.PodsService().Name,
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			Selector:            &metav1.LabelSelector{MatchLabels: names.Selector()},
			Template:            workload.Template(pod),
		},
	}
}

func configSecret(names naming.Homeserver, files map[string][]byte) *corev1.Secret {
	return secret(names.ConfigSecret(), files)
}

// credentialSecrets are the Secrets that are written once and kept.
func credentialSecrets(in Inputs, names naming.Homeserver) []client.Object {
	values := in.Credentials
	objects := []client.Object{secret(names.SigningKeySecret(), map[string][]byte{
		naming.KeySigningKey: []byte(values.SigningKey.Line()),
	})}
	if len(values.AdminPasswords) > 0 {
		passwords := make(map[string][]byte, len(values.AdminPasswords))
		for localpart, password := range values.AdminPasswords {
			passwords[localpart] = []byte(password)
		}
		objects = append(objects, secret(names.AdminsSecret(), passwords))
	}
	if generatesToken(in.Homeserver) {
		objects = append(objects, secret(names.RegistrationTokenSecret(), map[string][]byte{
			naming.KeyRegistrationTokens: []byte(values.RegistrationTokensText()),
		}))
	}
	return objects
}

// generatesToken tells whether the operator keeps the registration token.
func generatesToken(hs *matrixv1alpha1.Homeserver) bool {
	registration := hs.Spec.Registration
	return registration.Mode == matrixv1alpha1.RegistrationToken && registration.TokenSecretRef == nil
}

func secret(meta metav1.ObjectMeta, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta,
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}
