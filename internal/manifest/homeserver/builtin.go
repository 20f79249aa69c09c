// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/manifest/workload"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// graceSeconds is longer than the server needs to end (10 s).
const graceSeconds = 30

// builtinConfig renders the configuration file of the built-in homeserver.
func builtinConfig(in Inputs) (map[string][]byte, string, error) {
	settings, err := merge(in.Homeserver, builtinSettings(in.Homeserver))
	if err != nil {
		return nil, "", err
	}
	file, err := yaml.Marshal(settings)
	if err != nil {
		return nil, "", fmt.Errorf("encode configuration: %w", err)
	}
	hash, err := startHash(settings, in.Credentials)
	if err != nil {
		return nil, "", err
	}
	return map[string][]byte{naming.KeyConfig: file}, hash, nil
}

// startHash is over what the server reads only at start. Left out is what it
// re-reads from the mounted file (rate limits and log level), so that
// changing it restarts nothing, and the administrators' passwords, which only
// matter when an account is created.
func startHash(settings config.Config, values credentials.Homeserver) (string, error) {
	settings.RateLimits, settings.LogLevel = config.RateLimits{}, ""
	encoded, err := json.Marshal([]any{settings, values.SigningKey.Public(), values.RegistrationTokens})
	if err != nil {
		return "", fmt.Errorf("hash configuration: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16]), nil
}

// builtinSettings is the spec as the server's own configuration.
func builtinSettings(hs *matrixv1alpha1.Homeserver) config.Config {
	spec := hs.Spec
	settings := config.Config{
		ServerName:     spec.ServerName,
		PublicBaseURL:  URL(hs),
		DataDir:        naming.DirData,
		SigningKeyFile: path.Join(naming.DirSigningKey, naming.KeySigningKey),
		Listen: config.Listen{
			Client:         listen(naming.PortClient),
			Internal:       listen(naming.PortInternal),
			TrustedProxies: trustedProxies(spec.Ingress.TrustedProxies),
		},
		WellKnown:    config.WellKnown{Enabled: true, Server: spec.Host + ":443"},
		Registration: config.Registration{Mode: config.RegistrationMode(spec.Registration.Mode)},
		RateLimits:   rateLimits(spec.RateLimits),
		LogLevel:     strings.ToLower(string(spec.LogLevel)),
	}
	if federates(hs) {
		settings.Listen.Federation = listen(naming.PortFederation)
		settings.Federation = config.Federation{
			Enabled: true, Allowed: texts(spec.Federation.Allowed), Denied: texts(spec.Federation.Denied),
		}
	}
	if spec.Registration.Mode == matrixv1alpha1.RegistrationToken {
		settings.Registration.TokenFile = path.Join(naming.DirRegistration, naming.KeyRegistrationTokens)
	}
	for _, admin := range spec.Admins {
		settings.Admins = append(settings.Admins, config.Admin{
			Localpart: string(admin), PasswordFile: path.Join(naming.DirAdmins, string(admin)),
		})
	}
	if spec.Rooms != nil {
		settings.Rooms.DefaultVersion = string(spec.Rooms.DefaultVersion)
	}
	if spec.Media != nil {
		settings.Media.MaxUploadBytes = spec.Media.MaxUploadSize.Value()
	}
	return settings
}

// listen is every address of the pod, IPv4 and IPv6.
func listen(port int32) string { return fmt.Sprintf(":%d", port) }

// trustedProxies defaults to the private ranges, where the ingress controller
// is: the pod's network is not known here.
func trustedProxies(users []matrixv1alpha1.CIDR) []string {
	if len(users) > 0 {
		return texts(users)
	}
	return []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}
}

func rateLimits(limits *matrixv1alpha1.RateLimits) config.RateLimits {
	if limits == nil {
		return config.RateLimits{}
	}
	return config.RateLimits{
		Disabled:     limits.Disabled,
		Message:      rateLimit(limits.Message),
		Login:        rateLimit(limits.Login),
		Registration: rateLimit(limits.Registration),
		Join:         rateLimit(limits.Join),
		Invite:       rateLimit(limits.Invite),
		Media:        rateLimit(limits.Media),
	}
}

func rateLimit(limit *matrixv1alpha1.RateLimit) config.RateLimit {
	if limit == nil {
		return config.RateLimit{}
	}
	return config.RateLimit{PerSecond: float64(limit.PerMinute) / 60, Burst: int(limit.Burst)}
}

func texts[T ~string](values []T) []string {
	var out []string
	for _, value := range values {
		out = append(out, string(value))
	}
	return out
}

// builtinPod runs "foyer homeserver" with its volume and its secrets.
func builtinPod(in Inputs, hash string) workload.Pod {
	hs := in.Homeserver
	names := naming.ForHomeserver(hs)
	return workload.Pod{
		Labels:             names.Labels(),
		Annotations:        map[string]string{naming.AnnotationConfigHash: hash},
		ServiceAccountName: names.ServiceAccount().Name,
		Options:            hs.Spec.Pod,
		ImagePullSecrets:   hs.Spec.ImagePullSecrets,
		Container:          builtinContainer(in),
		Volumes:            builtinVolumes(hs, names),
		GraceSeconds:       graceSeconds,
	}
}

func builtinContainer(in Inputs) corev1.Container {
	spec := in.Homeserver.Spec
	ports := []corev1.ContainerPort{
		{Name: naming.PortNameClient, ContainerPort: naming.PortClient, Protocol: corev1.ProtocolTCP},
		{Name: naming.PortNameInternal, ContainerPort: naming.PortInternal, Protocol: corev1.ProtocolTCP},
	}
	if federates(in.Homeserver) {
		ports = append(ports, corev1.ContainerPort{
			Name: naming.PortNameFederation, ContainerPort: naming.PortFederation, Protocol: corev1.ProtocolTCP,
		})
	}
	var mounts []corev1.VolumeMount
	for _, volume := range builtinVolumes(in.Homeserver, naming.ForHomeserver(in.Homeserver)) {
		mounts = append(mounts, corev1.VolumeMount{
			Name: volume.Name, MountPath: directories()[volume.Name], ReadOnly: volume.Name != naming.VolumeData,
		})
	}
	return corev1.Container{
		Name:            naming.ContainerHomeserver,
		Image:           Image(in.Homeserver, in.Image),
		ImagePullPolicy: spec.ImagePullPolicy,
		Args:            []string{"homeserver", "--config", path.Join(naming.DirConfig, naming.KeyConfig)},
		Env:             workload.MemoryLimitEnv(spec.Resources.Limits),
		Ports:           ports,
		Resources:       corev1.ResourceRequirements{Requests: spec.Resources.Requests, Limits: spec.Resources.Limits},
		VolumeMounts:    mounts,
		// A start may migrate the database: ten minutes until it is given up.
		StartupProbe:   workload.Probe("/healthz", naming.PortNameInternal, 2, 300),
		LivenessProbe:  workload.Probe("/healthz", naming.PortNameInternal, 10, 6),
		ReadinessProbe: workload.Probe("/readyz", naming.PortNameInternal, 5, 2),
	}
}

// directories are the mount points of the volumes of builtinVolumes.
func directories() map[string]string {
	return map[string]string{
		naming.VolumeData:         naming.DirData,
		naming.VolumeConfig:       naming.DirConfig,
		naming.VolumeSigningKey:   naming.DirSigningKey,
		naming.VolumeAdmins:       naming.DirAdmins,
		naming.VolumeRegistration: naming.DirRegistration,
	}
}

func builtinVolumes(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) []corev1.Volume {
	volumes := []corev1.Volume{
		{Name: naming.VolumeData, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: names.DataClaim().Name},
		}},
		workload.SecretVolume(naming.VolumeConfig, names.ConfigSecret().Name),
		workload.SecretVolume(naming.VolumeSigningKey, names.SigningKeySecret().Name),
	}
	if len(hs.Spec.Admins) > 0 {
		volumes = append(volumes, workload.SecretVolume(naming.VolumeAdmins, names.AdminsSecret().Name))
	}
	if hs.Spec.Registration.Mode == matrixv1alpha1.RegistrationToken {
		ref := credentials.RegistrationTokensReference(hs)
		volume := workload.SecretVolume(naming.VolumeRegistration, ref.Name)
		volume.Secret.Items = []corev1.KeyToPath{{Key: ref.Key, Path: naming.KeyRegistrationTokens}}
		volumes = append(volumes, volume)
	}
	return volumes
}

// Image returns the image that hs runs: its own, or fallback.
func Image(hs *matrixv1alpha1.Homeserver, fallback string) string {
	if hs.Spec.Image != "" {
		return hs.Spec.Image
	}
	return fallback
}

// Version returns the tag of an image, its digest when it has no tag, or
// "latest".
func Version(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[colon+1:]
	}
	if digest != "" {
		return digest
	}
	return "latest"
}
