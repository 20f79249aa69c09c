// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/manifest"
	"github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	samples = "../../../config/samples"
	image   = "registry.example/foyer:1.2.3"
)

// Every sample, and every further input in testdata, builds exactly what its
// golden file shows.
func TestGolden(t *testing.T) {
	for _, file := range inputFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			hs := load(t, read(t, file))
			got, err := manifest.YAML(build(t, hs))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, golden)), string(got)); diff != "" {
				t.Errorf("%s differs (-want +got); go test -update writes it anew:\n%s", golden, diff)
			}
		})
	}
}

func TestBuildingTwiceGivesTheSameBytes(t *testing.T) {
	for _, file := range inputFiles(t) {
		first, err := manifest.YAML(build(t, load(t, read(t, file))))
		if err != nil {
			t.Fatal(err)
		}
		second, err := manifest.YAML(build(t, load(t, read(t, file))))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two builds differ", file)
		}
	}
}

// A program without a sample is not shown to work; one in the enum without a
// builder must be refused by the API.
func TestImplementationsOfSamplesTableAndAPIAgree(t *testing.T) {
	var sampled []matrixv1alpha1.Implementation
	for _, file := range sampleFiles(t) {
		used := load(t, read(t, file)).Spec.Implementation
		if !slices.Contains(sampled, used) {
			sampled = append(sampled, used)
		}
	}
	built := homeserver.Implementations()
	slices.Sort(built)
	slices.Sort(sampled)
	if diff := cmp.Diff(built, sampled); diff != "" {
		t.Errorf("programs with a builder and with a sample differ:\n%s", diff)
	}
	for _, name := range enum(t) {
		hs := minimal(t)
		hs.Spec.Implementation = name
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(hs)
		if err != nil {
			t.Fatal(err)
		}
		err = admit(t, &unstructured.Unstructured{Object: object})
		if accepted := err == nil; accepted != slices.Contains(built, name) {
			t.Errorf("%s: has a builder: %t, the API says: %v", name, slices.Contains(built, name), err)
		}
	}
}

// The server must be able to read what the operator writes.
func TestConfigurationOfEverySampleIsValidForTheServer(t *testing.T) {
	for _, file := range inputFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			settings := settingsOf(t, build(t, load(t, read(t, file))))
			if err := settings.Validate(); err != nil {
				t.Errorf("the server would refuse it: %v", err)
			}
		})
	}
}

func TestWhatRestartsThePod(t *testing.T) {
	yes := true
	for _, test := range []struct {
		name     string
		change   func(*matrixv1alpha1.Homeserver)
		restarts bool
	}{
		{"another log level does not", func(hs *matrixv1alpha1.Homeserver) { hs.Spec.LogLevel = matrixv1alpha1.LogLevelDebug }, false},
		{"other rate limits do not", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.RateLimits = &matrixv1alpha1.RateLimits{Disabled: true}
		}, false},
		{"another storage size does not", func(hs *matrixv1alpha1.Homeserver) { hs.Spec.Storage.Size.Add(hs.Spec.Storage.Size) }, false},
		{"an annotation of the Ingress does not", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.Ingress.Annotations = map[string]matrixv1alpha1.AnnotationValue{"a": "b"}
		}, false},
		{"delegation does not", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.WellKnown = &matrixv1alpha1.WellKnown{Enabled: yes}
		}, false},
		{"another host does", func(hs *matrixv1alpha1.Homeserver) { hs.Spec.Host = "other.example" }, true},
		{"another administrator does", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.Admins = append(hs.Spec.Admins, "second")
		}, true},
		{"another registration mode does", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.Registration.Mode = matrixv1alpha1.RegistrationToken
		}, true},
		{"another upload limit does", func(hs *matrixv1alpha1.Homeserver) {
			hs.Spec.Media = &matrixv1alpha1.Media{MaxUploadSize: hs.Spec.Storage.Size}
		}, true},
		{"another image does", func(hs *matrixv1alpha1.Homeserver) { hs.Spec.Image = "other.example/foyer:2" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := minimal(t), minimal(t)
			test.change(after)
			same := cmp.Equal(podOf(t, build(t, before)), podOf(t, build(t, after)))
			if same == test.restarts {
				t.Errorf("pod template unchanged: %t", same)
			}
		})
	}
}

func TestSuspendedServerHasNoPodsAndKeepsTheRest(t *testing.T) {
	running, suspended := minimal(t), minimal(t)
	suspended.Spec.Suspend = true
	before, after := build(t, running), build(t, suspended)
	if len(before) != len(after) {
		t.Errorf("%d objects become %d", len(before), len(after))
	}
	if replicas := find[*appsv1.StatefulSet](t, after).Spec.Replicas; replicas == nil || *replicas != 0 {
		t.Errorf("replicas %v, want 0", replicas)
	}
}

// K15: labels of ours cannot be replaced, or Services would lose their pods.
func TestK15OwnLabelsWinOverTheUsers(t *testing.T) {
	hs := minimal(t)
	hs.Spec.Pod = &matrixv1alpha1.PodOptions{
		Labels:      map[string]matrixv1alpha1.LabelValue{naming.LabelInstance: "stolen", "team": "it"},
		Annotations: map[string]matrixv1alpha1.AnnotationValue{naming.AnnotationConfigHash: "fixed"},
	}
	pod := find[*appsv1.StatefulSet](t, build(t, hs)).Spec.Template
	if got := pod.Labels[naming.LabelInstance]; got != "minimal" {
		t.Errorf("instance label %q", got)
	}
	if pod.Labels["team"] != "it" {
		t.Error("the user's other label is lost")
	}
	if pod.Annotations[naming.AnnotationConfigHash] == "fixed" {
		t.Error("the user froze the configuration hash")
	}
}

// K17: the restricted Pod Security Standard, whatever the options say.
func TestK17PodIsRestricted(t *testing.T) {
	for _, file := range inputFiles(t) {
		pod := find[*appsv1.StatefulSet](t, build(t, load(t, read(t, file)))).Spec.Template.Spec
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || *pod.AutomountServiceAccountToken || !*pod.SecurityContext.RunAsNonRoot {
			t.Errorf("%s: the pod is not restricted", file)
		}
		for _, volume := range pod.Volumes {
			if volume.HostPath != nil {
				t.Errorf("%s: volume %s is on the host", file, volume.Name)
			}
		}
		for _, container := range pod.Containers {
			s := container.SecurityContext
			if *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Contains(s.Capabilities.Drop, "ALL") {
				t.Errorf("%s: container %s is not restricted", file, container.Name)
			}
		}
	}
}

// Secrets are in Secrets, and nowhere else.
func TestNoSecretValueOutsideOfSecrets(t *testing.T) {
	hs := minimal(t)
	hs.Spec.Registration.Mode = matrixv1alpha1.RegistrationToken
	values, err := credentials.ForHomeserver(hs, credentials.Existing{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := homeserver.Homeserver(homeserver.Inputs{Homeserver: hs, Credentials: values, Image: image})
	if err != nil {
		t.Fatal(err)
	}
	canaries := []string{values.AdminPasswords["admin"], values.RegistrationTokens[0], strings.Fields(values.SigningKey.Line())[2]}
	holders := map[string]int{}
	for _, object := range objects {
		text, err := manifest.YAML([]client.Object{object})
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range canaries {
			if bytes.Contains(text, []byte(canary)) {
				holders[object.GetName()]++
				if _, ok := object.(*corev1.Secret); !ok {
					t.Errorf("%T %s holds a secret value", object, object.GetName())
				}
			}
		}
	}
	want := map[string]int{"minimal-homeserver-admins": 1, "minimal-homeserver-registration-token": 1, "minimal-homeserver-signing-key": 1}
	if diff := cmp.Diff(want, holders); diff != "" {
		t.Errorf("holders of secret values:\n%s", diff)
	}
}
