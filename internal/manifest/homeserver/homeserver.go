// SPDX-License-Identifier: Apache-2.0

// Package homeserver builds the objects that run one Homeserver.
package homeserver

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/manifest/workload"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// Inputs is everything that the objects of one Homeserver depend on.
type Inputs struct {
	// Homeserver, with the defaults of the CRD filled in.
	Homeserver *matrixv1alpha1.Homeserver
	// Credentials were found in the cluster or generated just now.
	Credentials credentials.Homeserver
	// Image of the server, unless the spec names another.
	Image string
}

// implementation is what differs between homeserver programs.
type implementation struct {
	// config returns the files of the configuration Secret and the pod's
	// hash over what the program reads only at start.
	config func(in Inputs) (files map[string][]byte, hash string, err error)
	// pod returns the pod, given that hash.
	pod func(in Inputs, hash string) workload.Pod
}

// implementations is the table of the programs that exist; the API refuses
// the others.
func implementations() map[matrixv1alpha1.Implementation]implementation {
	return map[matrixv1alpha1.Implementation]implementation{
		matrixv1alpha1.ImplementationBuiltin: {config: builtinConfig, pod: builtinPod},
	}
}

// Implementations returns the programs that can be built.
func Implementations() []matrixv1alpha1.Implementation {
	var names []matrixv1alpha1.Implementation
	for name := range implementations() {
		names = append(names, name)
	}
	return names
}

// Homeserver returns every object of one Homeserver, dependencies first.
// Objects without an owner reference of their own: the caller adds it, except
// where naming.LabelData has the value naming.DataRetain.
//
// Returns a *manifest.ConfigError when spec.config cannot be used.
func Homeserver(in Inputs) ([]client.Object, error) {
	hs := in.Homeserver
	program, ok := implementations()[hs.Spec.Implementation]
	if !ok {
		return nil, fmt.Errorf("implementation %q is not available", hs.Spec.Implementation)
	}
	files, hash, err := program.config(in)
	if err != nil {
		return nil, err
	}
	names := naming.ForHomeserver(hs)
	objects := []client.Object{serviceAccount(names), configSecret(names, files)}
	objects = append(objects, credentialSecrets(in, names)...)
	objects = append(objects, dataClaim(hs, names))
	objects = append(objects, services(hs, names)...)
	objects = append(objects, networkPolicy(hs, names), statefulSet(hs, names, program.pod(in, hash)))
	objects = append(objects, certificates(hs, names)...)
	return append(objects, ingresses(hs, names)...), nil
}

func serviceAccount(names naming.Homeserver) *corev1.ServiceAccount {
	no := false
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   names.ServiceAccount(),
		AutomountServiceAccountToken: &no,
	}
}

func services(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) []client.Object {
	ports := []corev1.ServicePort{
		workload.ServicePort(naming.PortNameClient, naming.PortClient),
		workload.ServicePort(naming.PortNameInternal, naming.PortInternal),
	}
	objects := []client.Object{
		workload.Service(names.ClientService(), names.Selector(), ports[0]),
		workload.Headless(workload.Service(names.PodsService(), names.Selector(), ports...)),
	}
	if federates(hs) {
		objects = append(objects, workload.Service(names.FederationService(), names.Selector(),
			workload.ServicePort(naming.PortNameFederation, naming.PortFederation)))
	}
	return objects
}

func networkPolicy(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) client.Object {
	public := []int32{naming.PortClient}
	if federates(hs) {
		public = append(public, naming.PortFederation)
	}
	return workload.NetworkPolicy(names.NetworkPolicy(), names.Selector(), public, []int32{naming.PortInternal})
}

// federates tells whether the server-server API is open.
func federates(hs *matrixv1alpha1.Homeserver) bool {
	return hs.Spec.Federation != nil && hs.Spec.Federation.Enabled
}
