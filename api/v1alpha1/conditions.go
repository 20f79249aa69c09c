// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types. Ready is always present; Reconciling and Stalled only
// while they are true (the kstatus convention); the others once known.
const (
	// ConditionReady is the summary: the server serves what the spec asks for.
	ConditionReady = "Ready"
	// ConditionReconciling is true while the operator works towards the spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is true when nothing will change until the user acts.
	ConditionStalled = "Stalled"
	// ConditionWorkloadAvailable: enough pods of the StatefulSet serve.
	ConditionWorkloadAvailable = "WorkloadAvailable"
	// ConditionConfigValid: the configuration is as the user wrote it. False
	// with ReasonProtectedKey while keys of spec.config are ignored.
	ConditionConfigValid = "ConfigValid"
	// ConditionSecretsReady: every Secret that is needed exists and is valid.
	ConditionSecretsReady = "SecretsReady"
	// ConditionStorageReady: the volume exists, is bound and has the asked size.
	ConditionStorageReady = "StorageReady"
	// ConditionCertificateReady: the certificate for host exists and fits.
	// Only present when spec.tls is set.
	ConditionCertificateReady = "CertificateReady"
	// ConditionUpgradeBlocked is true when the image is older than the data.
	ConditionUpgradeBlocked = "UpgradeBlocked"
	// ConditionArchitectureSupported is false when the image does not run on
	// the node's processor.
	ConditionArchitectureSupported = "ArchitectureSupported"
)

// Reasons of a good or a passing state.
const (
	// ReasonReady: everything runs as asked.
	ReasonReady = "Ready"
	// ReasonProgressing: objects were applied and the pods are starting.
	ReasonProgressing = "Progressing"
	// ReasonSuspended: spec.suspend is true; nothing runs by wish.
	ReasonSuspended = "Suspended"
	// ReasonPaused: the annotation AnnotationPaused stops the operator.
	ReasonPaused = "Paused"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonAvailable: the pods serve.
	ReasonAvailable = "Available"
	// ReasonValid: the checked thing is in order.
	ReasonValid = "Valid"
	// ReasonBound: the volume is bound.
	ReasonBound = "Bound"
	// ReasonResizing: the volume is growing.
	ReasonResizing = "Resizing"
	// ReasonIssued: the certificate exists and fits.
	ReasonIssued = "Issued"
	// ReasonPending: something outside is waited for.
	ReasonPending = "Pending"
	// ReasonReconcileError: an unexpected error; it is tried again.
	ReasonReconcileError = "ReconcileError"
)

// Reasons for which the user must act (Stalled is true).
const (
	// ReasonServerNameConflict: an older Homeserver has the same serverName.
	ReasonServerNameConflict = "ServerNameConflict"
	// ReasonHostConflict: an older object serves the same host.
	ReasonHostConflict = "HostConflict"
	// ReasonInvalidSpec: the stored spec breaks a rule of the API.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonSecretMissing: a referenced Secret does not exist.
	ReasonSecretMissing = "SecretMissing"
	// ReasonSecretKeyMissing: a Secret lacks a key, or its value is empty.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonSecretInvalid: a Secret's value cannot be used.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonSigningKeyInvalid: the signing key is garbage, gone or not the
	// one the server used before. None is generated in its place.
	ReasonSigningKeyInvalid = "SigningKeyInvalid"
	// ReasonNotOwned: an object of a name that the operator needs exists and
	// belongs to someone else; it is left alone.
	ReasonNotOwned = "NotOwned"
	// ReasonStorageUnsupported: the volume is a network file system.
	ReasonStorageUnsupported = "StorageUnsupported"
	// ReasonDataLost: the volume that held the data is gone.
	ReasonDataLost = "DataLost"
	// ReasonVolumeNotExpandable: the StorageClass does not allow growing.
	ReasonVolumeNotExpandable = "VolumeNotExpandable"
	// ReasonCertManagerMissing: tls.issuerRef is set but cert-manager is not installed.
	ReasonCertManagerMissing = "CertManagerMissing"
	// ReasonNotAllowed: a reference crosses a border that its target did not open.
	ReasonNotAllowed = "NotAllowed"
	// ReasonUpgradeBlocked: the image is older than the data; old pods stay.
	ReasonUpgradeBlocked = "UpgradeBlocked"
)

// Reasons of ConditionConfigValid being false.
const (
	// ReasonProtectedKey: keys of spec.config that the operator owns were ignored.
	ReasonProtectedKey = "ProtectedKey"
	// ReasonConfigInvalid: spec.config has unknown keys or wrong types.
	ReasonConfigInvalid = "ConfigInvalid"
)

// Reasons of ConditionCertificateReady being false, beside those that
// cert-manager's Certificate reports, which are mirrored.
const (
	// ReasonKeyMismatch: tls.key does not belong to tls.crt.
	ReasonKeyMismatch = "KeyMismatch"
	// ReasonWrongHost: the certificate does not cover the host.
	ReasonWrongHost = "WrongHost"
	// ReasonExpired: the certificate is no longer or not yet valid.
	ReasonExpired = "Expired"
	// ReasonIssuerMissing: the issuer named in tls.issuerRef does not exist.
	ReasonIssuerMissing = "IssuerMissing"
	// ReasonCertificatePending: cert-manager has not issued it yet.
	ReasonCertificatePending = "CertificatePending"
)

// Reasons why pods do not run.
const (
	// ReasonImagePullFailed: the image is absent or may not be pulled.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonCrashLoop: the server ends again and again.
	ReasonCrashLoop = "CrashLoop"
	// ReasonUnschedulable: no node takes the pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonVolumePending: the volume cannot be provisioned or attached.
	ReasonVolumePending = "VolumePending"
	// ReasonQuotaExceeded: a ResourceQuota refuses an object.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonPodRejected: admission (Pod Security, a webhook) refuses the pod.
	ReasonPodRejected = "PodRejected"
	// ReasonForbidden: the operator itself may not do something; the message
	// names the verb and the resource.
	ReasonForbidden = "Forbidden"
	// ReasonServerNameMismatch: the volume holds another server's data.
	ReasonServerNameMismatch = "ServerNameMismatch"
	// ReasonDataCorrupt: the database is damaged.
	ReasonDataCorrupt = "DataCorrupt"
	// ReasonDatabaseUnreachable: the server does not reach its database.
	ReasonDatabaseUnreachable = "DatabaseUnreachable"
	// ReasonLocked: another process still uses the volume.
	ReasonLocked = "Locked"
	// ReasonNotReady: pods run but do not pass their readiness check.
	ReasonNotReady = "NotReady"
	// ReasonArchitectureMismatch: the image is for another processor.
	ReasonArchitectureMismatch = "ArchitectureMismatch"
)

// Annotations that users set on the kinds of this API.
const (
	// AnnotationPaused with the value "true" makes the operator leave an
	// object alone; deletion is still carried out.
	AnnotationPaused = "matrix.foyer.im/paused"
)
