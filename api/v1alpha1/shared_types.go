// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// LocalReference names an object in the namespace of the object that refers
// to it. There is no namespace field on purpose: nobody can reach into
// another namespace through the operator.
type LocalReference struct {
	// name of the object, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
	// key inside the Secret whose value is used.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// IssuerKind is the kind of a cert-manager issuer.
// +kubebuilder:validation:Enum=Issuer;ClusterIssuer
type IssuerKind string

// The issuer kinds.
const (
	// IssuerKindIssuer is an issuer in the namespace of the Homeserver.
	IssuerKindIssuer IssuerKind = "Issuer"
	// IssuerKindClusterIssuer is an issuer for the whole cluster.
	IssuerKindClusterIssuer IssuerKind = "ClusterIssuer"
)

// IssuerReference names the cert-manager issuer that signs a certificate.
type IssuerReference struct {
	// name of the Issuer (same namespace) or ClusterIssuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// kind of the issuer: Issuer or ClusterIssuer. Default Issuer.
	// +optional
	// +kubebuilder:default=Issuer
	Kind IssuerKind `json:"kind,omitempty"`
	// group of the issuer; another value than the default selects an external
	// issuer for cert-manager. Default cert-manager.io.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// TLS says where the certificate for the public host comes from.
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) != has(self.secretName)",message="give exactly one of issuerRef (cert-manager obtains the certificate) and secretName (you provide it)"
type TLS struct {
	// issuerRef lets cert-manager obtain and renew the certificate. The
	// operator writes a Certificate object; cert-manager must be installed.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`
	// secretName is a Secret of type kubernetes.io/tls in the same namespace
	// (keys tls.crt and tls.key) that you maintain. Its certificate must cover
	// spec.host.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	SecretName string `json:"secretName,omitempty"`
}

// Ingress says how the public host is routed into the cluster.
type Ingress struct {
	// enabled creates an Ingress for spec.host. Switch it off to route
	// traffic by other means to the client Service. Default true.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
	// className selects the ingress controller (spec.ingressClassName of the
	// Ingress). Default: the cluster's default IngressClass.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ClassName *string `json:"className,omitempty"`
	// annotations are copied to the Ingress, for example an upload limit of
	// the ingress controller. Annotations that inject raw proxy configuration
	// (snippets, raw routes) are refused. At most 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('snippet') && !k.contains('/config-') && !k.endsWith('/skipper-routes'))",message="annotations that inject raw proxy configuration (snippets, config-*, skipper-routes) are not allowed: they could read the traffic and the credentials of others"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="annotation keys must be of the form name or domain/name"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !self[k].matches('[\\\\x00-\\\\x1f\\\\x7f]'))",message="annotation values must be one line without control characters"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
	// trustedProxies are the networks (CIDR) of the proxies whose
	// X-Forwarded-For header is believed, so that rate limits count the real
	// client. Narrow it to the pods' network when clients have private
	// addresses themselves. Default: the private ranges of IPv4 and IPv6. At
	// most 32. Maps to listen.trustedProxies of the server's configuration.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	TrustedProxies []CIDR `json:"trustedProxies,omitempty"`
}

// CIDR is a network, such as 10.0.0.0/8 or fd00::/8.
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a network such as 10.0.0.0/8 or fd00::/8"
type CIDR string

// AnnotationValue is the value of an annotation.
// +kubebuilder:validation:MaxLength=1024
type AnnotationValue string

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
type LabelValue string

// Resources are compute resources of a container.
type Resources struct {
	// requests is what the scheduler reserves, for example cpu: 500m and
	// memory: 1Gi.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// limits is what the container can never exceed. The server sizes its
	// caches and the Go garbage collector (GOMEMLIMIT) from limits.memory.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// PodOptions say where pods run and what they carry. Only what is listed here
// can be set: the security settings of pods are fixed, to the restricted Pod
// Security Standard.
type PodOptions struct {
	// nodeSelector keeps the pod on nodes with these labels. At most 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`
	// tolerations allow nodes with matching taints. At most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity attracts the pod to, or keeps it from, nodes and other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// topologySpreadConstraints spread replicas over zones or nodes. At most 8.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// priorityClassName decides who is evicted first. Default: the cluster's default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// labels are added to the pod. The operator's own labels
	// (app.kubernetes.io/..., matrix.foyer.im/...) win over equal keys. At most 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="label keys must be of the form name or domain/name"
	Labels map[string]LabelValue `json:"labels,omitempty"`
	// annotations are added to the pod; the operator's own win over equal
	// keys. At most 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="annotation keys must be of the form name or domain/name"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// DeletionPolicy says what happens to data when its owner is deleted.
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionRetain keeps the volume and the generated Secrets.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete removes the volume and the generated Secrets, for ever.
	DeletionDelete DeletionPolicy = "Delete"
)

// LogLevel says how much a program logs.
// +kubebuilder:validation:Enum=Debug;Info;Warn;Error
type LogLevel string

// The log levels.
const (
	LogLevelDebug LogLevel = "Debug"
	LogLevelInfo  LogLevel = "Info"
	LogLevelWarn  LogLevel = "Warn"
	LogLevelError LogLevel = "Error"
)
