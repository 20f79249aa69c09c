// SPDX-License-Identifier: Apache-2.0

package naming

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

// Ports of a homeserver's pod and Services.
const (
	// PortClient serves the client-server API.
	PortClient int32 = 8008
	// PortFederation serves the server-server API.
	PortFederation int32 = 8448
	// PortInternal serves /healthz, /readyz and /metrics; it is on no Ingress.
	PortInternal int32 = 9090

	PortNameClient     = "client"
	PortNameFederation = "federation"
	PortNameInternal   = "internal"
)

// Containers, volumes and files of a homeserver's pod.
const (
	ContainerHomeserver = "homeserver"

	VolumeData         = "data"
	VolumeTemporary    = "tmp"
	VolumeConfig       = "config"
	VolumeSigningKey   = "signing-key"
	VolumeAdmins       = "admins"
	VolumeRegistration = "registration"

	DirData         = "/data"
	DirTemporary    = "/tmp"
	DirConfig       = "/etc/foyer"
	DirSigningKey   = "/run/secrets/foyer/signing-key"
	DirAdmins       = "/run/secrets/foyer/admins"
	DirRegistration = "/run/secrets/foyer/registration"
)

// Keys of a homeserver's Secrets; they are the file names in its pod too.
const (
	// KeyConfig holds the configuration file.
	KeyConfig = "config.yaml"
	// KeySigningKey holds the signing key, one line.
	KeySigningKey = "signing.key"
	// KeyRegistrationTokens holds registration tokens, one a line.
	KeyRegistrationTokens = "tokens"
)

// Homeserver names the children of one Homeserver.
type Homeserver struct {
	namespace string
	base      string
	data      string
}

// ForHomeserver returns the names of hs's children.
func ForHomeserver(hs *matrixv1alpha1.Homeserver) Homeserver {
	data := DataRetain
	if hs.Spec.DeletionPolicy == matrixv1alpha1.DeletionDelete {
		data = DataDelete
	}
	return Homeserver{namespace: hs.Namespace, base: Base(hs.Name), data: data}
}

// Labels are on every child.
func (h Homeserver) Labels() map[string]string {
	labels := h.Selector()
	labels[LabelPartOf] = PartOf
	labels[LabelManagedBy] = ManagedBy
	return labels
}

// Selector labels select the pods; they never change.
func (h Homeserver) Selector() map[string]string {
	return map[string]string{
		LabelName:      "homeserver",
		LabelInstance:  h.base,
		LabelComponent: "homeserver",
	}
}

// Suffixes of the children; see TestSuffixesAreSuffixFree.
const (
	suffixMain              = "-homeserver"
	suffixFederation        = "-homeserver-federation"
	suffixPods              = "-homeserver-pods"
	suffixWellKnown         = "-homeserver-well-known"
	suffixTLS               = "-homeserver-tls"
	suffixWellKnownTLS      = "-homeserver-well-known-tls"
	suffixConfig            = "-homeserver-config"
	suffixSigningKey        = "-homeserver-signing-key"
	suffixAdmins            = "-homeserver-admins"
	suffixRegistrationToken = "-homeserver-registration-token" //nolint:gosec // the name of a Secret, no secret
	suffixData              = "-homeserver-data"
)

// StatefulSet runs the server.
func (h Homeserver) StatefulSet() metav1.ObjectMeta { return h.child(suffixMain) }

// ServiceAccount is the identity of the pods; it has no rights and no token.
func (h Homeserver) ServiceAccount() metav1.ObjectMeta { return h.child(suffixMain) }

// NetworkPolicy limits what reaches the pods and what they reach.
func (h Homeserver) NetworkPolicy() metav1.ObjectMeta { return h.child(suffixMain) }

// ClientService serves the client-server API.
func (h Homeserver) ClientService() metav1.ObjectMeta { return h.child(suffixMain) }

// FederationService serves the server-server API.
func (h Homeserver) FederationService() metav1.ObjectMeta { return h.child(suffixFederation) }

// PodsService is the headless Service that gives each pod a DNS name.
func (h Homeserver) PodsService() metav1.ObjectMeta { return h.child(suffixPods) }

// Ingress routes the host.
func (h Homeserver) Ingress() metav1.ObjectMeta { return h.child(suffixMain) }

// WellKnownIngress routes the delegation files on the server name.
func (h Homeserver) WellKnownIngress() metav1.ObjectMeta { return h.child(suffixWellKnown) }

// Certificate is the cert-manager Certificate of the host; the Secret that
// cert-manager writes has the same name.
func (h Homeserver) Certificate() metav1.ObjectMeta { return h.child(suffixTLS) }

// WellKnownCertificate is the same for the server name.
func (h Homeserver) WellKnownCertificate() metav1.ObjectMeta { return h.child(suffixWellKnownTLS) }

// ConfigSecret holds the rendered configuration under KeyConfig.
func (h Homeserver) ConfigSecret() metav1.ObjectMeta { return h.child(suffixConfig) }

// SigningKeySecret holds the signing key under KeySigningKey.
func (h Homeserver) SigningKeySecret() metav1.ObjectMeta { return h.kept(suffixSigningKey) }

// AdminsSecret holds the administrators' first passwords, by localpart.
func (h Homeserver) AdminsSecret() metav1.ObjectMeta { return h.kept(suffixAdmins) }

// RegistrationTokenSecret holds the generated registration token under
// KeyRegistrationTokens.
func (h Homeserver) RegistrationTokenSecret() metav1.ObjectMeta {
	return h.kept(suffixRegistrationToken)
}

// DataClaim is the PersistentVolumeClaim of the database and the media.
func (h Homeserver) DataClaim() metav1.ObjectMeta { return h.kept(suffixData) }

func (h Homeserver) child(suffix string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: h.namespace, Name: h.base + suffix, Labels: h.Labels()}
}

// kept is a child that is never pruned, and outlives its owner unless the
// deletion policy is Delete.
func (h Homeserver) kept(suffix string) metav1.ObjectMeta {
	meta := h.child(suffix)
	meta.Labels[LabelData] = h.data
	return meta
}
