// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/config/crd"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

const minimalText = "apiVersion: matrix.foyer.im/v1alpha1\nkind: Homeserver\nmetadata: {name: minimal}\n" +
	"spec: {serverName: campus.example, host: matrix.campus.example}\n"

func minimal(t *testing.T) *matrixv1alpha1.Homeserver {
	t.Helper()
	return load(t, []byte(minimalText))
}

func build(t *testing.T, hs *matrixv1alpha1.Homeserver) []client.Object {
	t.Helper()
	objects, err := homeserver.Homeserver(homeserver.Inputs{
		Homeserver: hs, Credentials: credentials.Placeholders(hs), Image: image,
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func find[T client.Object](t *testing.T, objects []client.Object) T {
	t.Helper()
	for _, object := range objects {
		if found, ok := object.(T); ok {
			return found
		}
	}
	t.Fatalf("no %T was built", *new(T))
	return *new(T)
}

func podOf(t *testing.T, objects []client.Object) corev1.PodTemplateSpec {
	t.Helper()
	return find[*appsv1.StatefulSet](t, objects).Spec.Template
}

// settingsOf reads the configuration as the server does.
func settingsOf(t *testing.T, objects []client.Object) config.Config {
	t.Helper()
	for _, object := range objects {
		secret, ok := object.(*corev1.Secret)
		if !ok || len(secret.Data[naming.KeyConfig]) == 0 {
			continue
		}
		file := filepath.Join(t.TempDir(), naming.KeyConfig)
		if err := os.WriteFile(file, secret.Data[naming.KeyConfig], 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		settings.Complete()
		return settings
	}
	t.Fatal("no configuration was built")
	return config.Config{}
}

func sampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samples, "homeserver_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", samples, err)
	}
	return files
}

func inputFiles(t *testing.T) []string {
	t.Helper()
	more, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more = slices.DeleteFunc(more, func(file string) bool { return strings.HasSuffix(file, ".golden.yaml") })
	return append(sampleFiles(t), more...)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// load returns the Homeserver among the documents of text, as an API server
// would store it.
func load(t *testing.T, text []byte) *matrixv1alpha1.Homeserver {
	t.Helper()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			t.Fatal("the file holds no Homeserver")
		}
		if err != nil {
			t.Fatal(err)
		}
		object, err := crd.Decode(document)
		if err != nil {
			t.Fatal(err)
		}
		if object.GetKind() != "Homeserver" {
			continue
		}
		if err := admit(t, object); err != nil {
			t.Fatal(err)
		}
		hs := &matrixv1alpha1.Homeserver{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, hs); err != nil {
			t.Fatal(err)
		}
		return hs
	}
}

func enum(t *testing.T) []matrixv1alpha1.Implementation {
	t.Helper()
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	field := definitions[0].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["implementation"]
	var names []matrixv1alpha1.Implementation
	for _, value := range field.Enum {
		names = append(names, matrixv1alpha1.Implementation(strings.Trim(string(value.Raw), `"`)))
	}
	return names
}

// admissionOnce compiles the rules once for all tests.
var admissionOnce = sync.OnceValues(crd.NewAdmission)

func admit(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	admission, err := admissionOnce()
	if err != nil {
		t.Fatal(err)
	}
	return admission.Admit(t.Context(), object)
}

// escape keeps JSON escapes as they are and escapes quotes.
func escape(value string) string { return strings.ReplaceAll(value, `"`, `\"`) }

func unescape(t *testing.T, value string) string {
	t.Helper()
	var text string
	if err := json.Unmarshal([]byte(`"`+value+`"`), &text); err != nil {
		t.Fatal(err)
	}
	return text
}
