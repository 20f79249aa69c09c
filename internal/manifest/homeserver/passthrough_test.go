// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/manifest"
	"github.com/foyer-matrix/foyer/internal/manifest/homeserver"
)

// K13: whatever a value looks like, the server reads it back as that value.
func TestK13ValuesStayData(t *testing.T) {
	for _, value := range []string{
		`\n key: x`, `&anchor`, `*alias`, `!!binary x`, `{{ .Values }}`, `# no comment`, `- item`, `"`, `'`, `: `, `null`, `yes`, `\u0000`, `\u2028`,
	} {
		hs := minimal(t)
		raw := `{"wellKnown":{"server":"` + escape(value) + `"}}`
		hs.Spec.Config = &runtime.RawExtension{Raw: []byte(raw)}
		settings := settingsOf(t, build(t, hs))
		if want := unescape(t, escape(value)); settings.WellKnown.Server != want {
			t.Errorf("%q is read as %q", want, settings.WellKnown.Server)
		}
	}
}

// K14: protected keys are reported, ours are used, and no spelling or shape
// gets past.
func TestK14ProtectedKeys(t *testing.T) {
	for _, test := range []struct {
		name   string
		config string
		want   []string
	}{
		{"a protected key", `{"serverName":"evil.example"}`, []string{"serverName"}},
		{"a key below a protected one", `{"listen":{"client":":1"}}`, []string{"listen"}},
		{"a protected key below an open one", `{"database":{"url":"postgres://x","synchronous":"NORMAL"}}`, []string{"database.url"}},
		{"null above a protected key", `{"database":null}`, []string{"database"}},
		{"a list above a protected key", `{"wellKnown":[]}`, []string{"wellKnown"}},
		{"several, sorted", `{"serverName":"x","dataDir":"/","admins":[]}`, []string{"admins", "dataDir", "serverName"}},
		{"an open key", `{"wellKnown":{"server":"a.example:1"}}`, nil},
		{"nothing", `{}`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			hs := minimal(t)
			hs.Spec.Config = &runtime.RawExtension{Raw: []byte(test.config)}
			got, err := homeserver.ProtectedKeys(hs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("protected keys:\n%s", diff)
			}
			settings, plain := settingsOf(t, build(t, hs)), settingsOf(t, build(t, minimal(t)))
			settings.Database.Synchronous, settings.WellKnown.Server = plain.Database.Synchronous, plain.WellKnown.Server
			if diff := cmp.Diff(plain, settings); diff != "" {
				t.Errorf("a protected setting changed:\n%s", diff)
			}
		})
	}
}

func TestUnusableConfigIsAnErrorForTheUser(t *testing.T) {
	for _, test := range []struct{ name, config string }{
		{"an unknown key", `{"colour":"red"}`},
		{"a protected key in other letter case, which the server would read", `{"DataDir":"/"}`},
		{"a wrong type", `{"database":{"synchronous":5}}`},
		{"a value that the server refuses", `{"database":{"synchronous":"SOMETIMES"}}`},
		{"no object", `"text"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			hs := minimal(t)
			hs.Spec.Config = &runtime.RawExtension{Raw: []byte(test.config)}
			_, err := homeserver.Homeserver(homeserver.Inputs{
				Homeserver: hs, Credentials: credentials.Placeholders(hs), Image: image,
			})
			var problem *manifest.ConfigError
			if !errors.As(err, &problem) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestVersionIsTheTag(t *testing.T) {
	for image, want := range map[string]string{
		"foyer":                               "latest",
		"foyer:1.2.3":                         "1.2.3",
		"registry.example:5000/foyer":         "latest",
		"registry.example:5000/foyer:1":       "1",
		"registry.example/foyer:1@sha256:abc": "1",
		"registry.example/foyer@sha256:abc":   "sha256:abc",
	} {
		if got := homeserver.Version(image); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}
