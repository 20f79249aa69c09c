// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Homeserver is one Matrix homeserver: the program, its data, its address and
// its certificate.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=hs,categories=matrix
// +kubebuilder:printcolumn:name="Server Name",type=string,JSONPath=`.spec.serverName`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Type",type=string,priority=1,JSONPath=`.spec.implementation`
// +kubebuilder:printcolumn:name="Replicas",type=integer,priority=1,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Homeserver struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what you want.
	// +required
	Spec HomeserverSpec `json:"spec"`
	// status is what the operator found.
	// +optional
	Status HomeserverStatus `json:"status,omitempty"`
}

// HomeserverList is a list of Homeservers.
//
// +kubebuilder:object:root=true
type HomeserverList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Homeservers.
	Items []Homeserver `json:"items"`
}

// HomeserverSpec is what the user wants of a homeserver.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas <= 1",message="more than one replica needs a Database (Postgres), which this version cannot reference yet: an embedded SQLite database has one writer"
// +kubebuilder:validation:XValidation:rule="!has(self.wellKnown) || !has(self.wellKnown.enabled) || !self.wellKnown.enabled || (!self.serverName.startsWith('[') && !self.serverName.matches('^[0-9.]+(:[0-9]+)?$'))",message="wellKnown cannot be served on a server name that is an IP address"
// +kubebuilder:validation:XValidation:rule="!has(self.admins) || self.admins.all(a, a.size() + self.serverName.size() <= 253)",message="a user id @admin:serverName must not be longer than 255 characters"
type HomeserverSpec struct {
	// serverName is the domain part of every user id (@someone:serverName).
	// It can never change: rooms on other servers hold it for ever. A host
	// name, or an IP address, in lower case, with an optional port; at most
	// 230 characters. Maps to serverName of the server's configuration.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=230
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="serverName cannot be changed: create another Homeserver"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*|[[][0-9a-f:.]{2,45}[]])(:[0-9]{1,5})?$')",message="serverName must be a host name or IP address in lower case with an optional port, such as campus.example or campus.example:8448; no scheme, no path"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('[') || !self.contains(']') || isIP(self.substring(1, self.indexOf(']')))",message="serverName is not a valid IPv6 address in brackets"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^:]+:[0-9]+$|[]]:[0-9]+$') || (int(self.substring(self.lastIndexOf(':') + 1)) >= 1 && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535)",message="the port of serverName must be between 1 and 65535"
	ServerName string `json:"serverName"`

	// host is the DNS name under which clients reach the server, such as
	// matrix.campus.example; it may equal serverName. The public address is
	// https://host. Maps to publicBaseURL of the server's configuration, to
	// the Ingress and to the certificate.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="host must be a DNS name in lower case, such as matrix.campus.example; no wildcard, no port"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+[.])*[0-9]+$')",message="host must be a DNS name, not an IP address"
	Host string `json:"host"`

	// implementation is the homeserver program. This version runs Builtin
	// only. It cannot be changed later. Default Builtin.
	// +optional
	// +kubebuilder:default=Builtin
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="implementation cannot be changed: the programs do not share a database"
	// +kubebuilder:validation:XValidation:rule="self == 'Builtin'",message="this version of Foyer runs the Builtin homeserver only; Synapse, Dendrite, Tuwunel and Custom are not available yet"
	Implementation Implementation `json:"implementation,omitempty"`

	// replicas is the number of equal server processes. More than one needs a
	// Postgres database. To stop the server, use suspend. Default 1, at most 50.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	Replicas *int32 `json:"replicas,omitempty"`

	// storage is the volume that holds the database and the media.
	// +optional
	// +kubebuilder:default={}
	Storage Storage `json:"storage,omitempty"`

	// ingress routes host into the cluster.
	// +optional
	// +kubebuilder:default={}
	Ingress Ingress `json:"ingress,omitempty"`

	// wellKnown serves the delegation files on the server name itself.
	// +optional
	WellKnown *WellKnown `json:"wellKnown,omitempty"`

	// tls says where the certificate of host comes from. Absent: TLS is the
	// ingress controller's business (its default certificate, or a proxy
	// before it); the public address is https all the same.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// federation lets users talk to users of other homeservers.
	// +optional
	Federation *Federation `json:"federation,omitempty"`

	// registration says who may create an account.
	// +optional
	// +kubebuilder:default={}
	Registration Registration `json:"registration,omitempty"`

	// admins are the localparts (the part of a user id between @ and :) of
	// server administrators. Each account is created at start when absent,
	// with a generated password kept in the Secret named by
	// status.adminSecretName, under the localpart as key. Removing a name here
	// does not delete the account. Default [admin], at most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:default={admin}
	// +kubebuilder:validation:MaxItems=1000
	Admins []Localpart `json:"admins,omitempty"`

	// rooms holds defaults for new rooms.
	// +optional
	Rooms *Rooms `json:"rooms,omitempty"`

	// media limits uploads.
	// +optional
	Media *Media `json:"media,omitempty"`

	// rateLimits protects the server from floods. Changes apply without a restart.
	// +optional
	RateLimits *RateLimits `json:"rateLimits,omitempty"`

	// logLevel says how much the server logs: Debug, Info, Warn or Error.
	// Changes apply without a restart. Default Info.
	// +optional
	// +kubebuilder:default=Info
	LogLevel LogLevel `json:"logLevel,omitempty"`

	// resources of the server's container. Default: requests cpu 100m and
	// memory 128Mi, limits memory 1Gi.
	// +optional
	// +kubebuilder:default={requests: {cpu: "100m", memory: "128Mi"}, limits: {memory: "1Gi"}}
	Resources Resources `json:"resources,omitempty"`

	// pod holds scheduling options, labels and annotations of the pod.
	// +optional
	Pod *PodOptions `json:"pod,omitempty"`

	// image overrides the server's container image, for example to pin a
	// version or to use a registry mirror. Default: the operator's own image,
	// so that both always match.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9._]{0,127})?(@sha256:[0-9a-f]{64})?$')",message="image must be an image reference such as registry.example/foyer:1.2.3, without spaces"
	Image string `json:"image,omitempty"`

	// imagePullPolicy is Always, IfNotPresent or Never. Default IfNotPresent.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +kubebuilder:default=IfNotPresent
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are Secrets in the same namespace that hold registry
	// credentials. At most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// deletionPolicy says what happens to the volume and to the generated
	// Secrets when the Homeserver is deleted. Retain keeps them, so that the
	// same manifest brings the same server back; Delete removes them for ever.
	// Default Retain.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops the server's pods and keeps everything else. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// config is merged into the server's configuration file, for settings
	// that have no field here. Keys as documented for the server's
	// configuration. Keys that the operator must own (addresses, paths,
	// names) are ignored and reported in the condition ConfigValid.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MaxProperties=64
	Config *runtime.RawExtension `json:"config,omitempty"`
}

// Implementation is a homeserver program.
// +kubebuilder:validation:Enum=Builtin;Synapse;Dendrite;Tuwunel;Custom
type Implementation string

// The implementations. Only ImplementationBuiltin is available so far.
const (
	// ImplementationBuiltin is Foyer's own homeserver.
	ImplementationBuiltin  Implementation = "Builtin"
	ImplementationSynapse  Implementation = "Synapse"
	ImplementationDendrite Implementation = "Dendrite"
	ImplementationTuwunel  Implementation = "Tuwunel"
	ImplementationCustom   Implementation = "Custom"
)

// Localpart is the part of a user id between @ and :.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[a-z0-9_][-a-z0-9._]*$`
type Localpart string

// Storage is the volume of a homeserver.
//
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName)",message="storageClassName cannot be added or removed later: a volume cannot change its class"
type Storage struct {
	// size of the volume for the database and the media, for example 50Gi.
	// It can grow when the StorageClass allows it, never shrink. At least
	// 100Mi. Default 10Gi.
	// +optional
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('100Mi')) >= 0",message="size must be at least 100Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",message="size cannot shrink: volumes can only grow"
	Size resource.Quantity `json:"size,omitempty"`
	// storageClassName selects the kind of volume; network file systems such
	// as NFS cannot hold the database. It cannot be changed. Default: the
	// cluster's default StorageClass.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="storageClassName cannot be changed: a volume cannot change its class"
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// WellKnown serves /.well-known/matrix/client and /server on the server name.
type WellKnown struct {
	// enabled routes https://SERVERNAME/.well-known/matrix/ to the server, so
	// that clients and other servers find host. Enable it when the server
	// name's DNS record leads to this cluster; otherwise have your web server
	// answer with the bodies shown in status.wellKnown. Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// secretName is a Secret of type kubernetes.io/tls whose certificate
	// covers the server name. Default: with tls.issuerRef a certificate of its
	// own, otherwise the Secret of tls.secretName.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	SecretName string `json:"secretName,omitempty"`
}

// ServerPattern is a server name, with * for any run of characters and ? for one.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=230
// +kubebuilder:validation:Pattern=`^[-a-z0-9.:*?\[\]]+$`
type ServerPattern string

// Federation says which other homeservers may be talked to.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.allowed) && self.allowed.size() > 0 && has(self.denied) && self.denied.size() > 0)",message="give allowed or denied, not both: with allowed every other server is denied already"
type Federation struct {
	// enabled opens the server-server API (port 8448 of the federation
	// Service). Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// allowed lists the only servers that may be talked to; * and ? are
	// wildcards. Empty: all servers. At most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Allowed []ServerPattern `json:"allowed,omitempty"`
	// denied lists servers that are never talked to; * and ? are wildcards.
	// At most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Denied []ServerPattern `json:"denied,omitempty"`
}

// RegistrationMode says who may create an account.
// +kubebuilder:validation:Enum=Closed;Token;Open
type RegistrationMode string

// The registration modes.
const (
	// RegistrationClosed: only administrators create accounts.
	RegistrationClosed RegistrationMode = "Closed"
	// RegistrationToken: whoever has a registration token.
	RegistrationToken RegistrationMode = "Token"
	// RegistrationOpen: anyone.
	RegistrationOpen RegistrationMode = "Open"
)

// Registration says who may create an account.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Open' || (has(self.openAcknowledged) && self.openAcknowledged)",message="mode Open lets anyone on the network create accounts and send spam from your server: set openAcknowledged to true if that is what you want, or use mode Token"
// +kubebuilder:validation:XValidation:rule="!has(self.tokenSecretRef) || (has(self.mode) && self.mode == 'Token')",message="tokenSecretRef needs mode Token"
type Registration struct {
	// mode is Closed (administrators create accounts), Token (whoever has a
	// registration token) or Open (anyone; needs openAcknowledged). Default
	// Closed. Maps to registration.mode of the server's configuration.
	// +optional
	// +kubebuilder:default=Closed
	Mode RegistrationMode `json:"mode,omitempty"`
	// openAcknowledged must be true for mode Open. Default false.
	// +optional
	OpenAcknowledged bool `json:"openAcknowledged,omitempty"`
	// tokenSecretRef holds registration tokens, one a line, for mode Token.
	// Default: one token is generated in the Secret named by
	// status.registrationTokenSecretName.
	// +optional
	TokenSecretRef *SecretKeyReference `json:"tokenSecretRef,omitempty"`
}

// RoomVersion is a Matrix room version.
// +kubebuilder:validation:Enum="1";"2";"3";"4";"5";"6";"7";"8";"9";"10";"11";"12"
type RoomVersion string

// Rooms holds defaults for new rooms.
type Rooms struct {
	// defaultVersion is the room version of rooms whose creator does not ask
	// for another, "1" to "12". Default "12". Maps to rooms.defaultVersion of
	// the server's configuration.
	// +optional
	// +kubebuilder:default="12"
	DefaultVersion RoomVersion `json:"defaultVersion,omitempty"`
}

// Media limits uploads.
type Media struct {
	// maxUploadSize is the largest file that may be uploaded, between 1Ki and
	// 10Gi; the ingress controller may have a lower limit of its own. Default
	// 100Mi. Maps to media.maxUploadBytes of the server's configuration.
	// +optional
	// +kubebuilder:default="100Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('10Gi')) <= 0",message="maxUploadSize must be between 1Ki and 10Gi"
	MaxUploadSize resource.Quantity `json:"maxUploadSize,omitempty"`
}

// RateLimit is a token bucket: burst at once, perMinute in the long run.
type RateLimit struct {
	// perMinute is how many are allowed a minute in the long run, 1 to 600000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600000
	PerMinute int32 `json:"perMinute,omitempty"`
	// burst is how many may come at once, 1 to 100000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Burst int32 `json:"burst,omitempty"`
}

// RateLimits protect the server. They count per user, or per client address
// for what happens before signing in. Map to rateLimits of the server's
// configuration.
type RateLimits struct {
	// disabled switches all limits off, for load tests. Default false.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// message limits sending events. Default 600 a minute, burst 100.
	// +optional
	Message *RateLimit `json:"message,omitempty"`
	// login limits attempts to sign in. Default 30 a minute, burst 10.
	// +optional
	Login *RateLimit `json:"login,omitempty"`
	// registration limits new accounts. Default 12 a minute, burst 5.
	// +optional
	Registration *RateLimit `json:"registration,omitempty"`
	// join limits joining rooms. Default 60 a minute, burst 20.
	// +optional
	Join *RateLimit `json:"join,omitempty"`
	// invite limits invitations. Default 60 a minute, burst 30.
	// +optional
	Invite *RateLimit `json:"invite,omitempty"`
	// media limits uploads and downloads. Default 300 a minute, burst 50.
	// +optional
	Media *RateLimit `json:"media,omitempty"`
}

// HomeserverStatus is what the operator found.
type HomeserverStatus struct {
	// observedGeneration is the generation of the spec that this status
	// describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions say how it is and what to do next. Ready is the summary.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// url is the public address of the server, for clients.
	// +optional
	URL string `json:"url,omitempty"`
	// version is the version of the program that runs (the tag of its image).
	// +optional
	Version string `json:"version,omitempty"`
	// replicas is the number of pods that exist.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// readyReplicas is the number of pods that serve.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	// adminSecretName is the Secret that holds the administrators' first
	// passwords, one key for each localpart.
	// +optional
	AdminSecretName string `json:"adminSecretName,omitempty"`
	// registrationTokenSecretName is the Secret that holds the registration
	// tokens, when mode is Token.
	// +optional
	RegistrationTokenSecretName string `json:"registrationTokenSecretName,omitempty"`
	// wellKnown holds the answers to serve on the server name by other means.
	// +optional
	WellKnown *WellKnownStatus `json:"wellKnown,omitempty"`
	// signingKey is the public part of the server's signing key. When the
	// Secret later holds another key the server is not started with it.
	// +optional
	SigningKey *SigningKeyStatus `json:"signingKey,omitempty"`
	// volumeUID is the UID of the PersistentVolumeClaim that holds the data.
	// When the claim is gone, no blank one takes its place.
	// +optional
	VolumeUID string `json:"volumeUID,omitempty"`
}

// WellKnownStatus holds the bodies of the delegation files.
type WellKnownStatus struct {
	// client is the JSON for https://SERVERNAME/.well-known/matrix/client,
	// to be sent with the header Access-Control-Allow-Origin: *.
	// +optional
	Client string `json:"client,omitempty"`
	// server is the JSON for https://SERVERNAME/.well-known/matrix/server;
	// empty while federation is off.
	// +optional
	Server string `json:"server,omitempty"`
}

// SigningKeyStatus is the public part of a signing key.
type SigningKeyStatus struct {
	// id is the key's id, such as ed25519:a1b2.
	// +optional
	ID string `json:"id,omitempty"`
	// publicKey in unpadded base64.
	// +optional
	PublicKey string `json:"publicKey,omitempty"`
}
