// SPDX-License-Identifier: Apache-2.0

package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/command"
)

func render(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := command.Render()
	var out bytes.Buffer
	cmd.SetArgs(append([]string{"-f", "-"}, args...))
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage = true
	cmd.SilenceErrors = true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

const (
	one = `apiVersion: matrix.foyer.im/v1alpha1
kind: Homeserver
metadata: {name: one}
spec: {serverName: one.example, host: matrix.one.example}
`
	tokens = `apiVersion: matrix.foyer.im/v1alpha1
kind: Homeserver
metadata: {name: two}
spec:
  serverName: two.example
  host: matrix.two.example
  registration: {mode: Token, tokenSecretRef: {name: mine, key: tokens}}
`
	mine = `apiVersion: v1
kind: Secret
metadata: {name: mine}
stringData: {tokens: "welcome"}
`
	namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: matrix}\n"
)

func TestRenderPrintsEveryObjectOfSeveralDocuments(t *testing.T) {
	out, err := render(t, namespace+"---\n"+one+"---\n"+mine+"---\n"+tokens, "--homeserver-image", "registry.example/foyer:9")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: one-homeserver\n", "name: two-homeserver\n", "kind: StatefulSet", "registry.example/foyer:9", "serverName: two.example"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	for _, unwanted := range []string{"kind: Namespace", "creationTimestamp", "null", "status:"} {
		if strings.Contains(out, unwanted) {
			t.Errorf("the output holds %q", unwanted)
		}
	}
}

// K59: a Secret that is missing ends with an error that names it.
func TestK59MissingSecretIsNamed(t *testing.T) {
	_, err := render(t, one+"---\n"+tokens)
	if err == nil || !strings.Contains(err.Error(), "homeserver two") || !strings.Contains(err.Error(), "secret mine") {
		t.Errorf("got %v", err)
	}
	_, err = render(t, tokens+"---\n"+strings.ReplaceAll(mine, "tokens:", "other:"))
	if err == nil || !strings.Contains(err.Error(), "secret mine, key tokens") {
		t.Errorf("without the key: %v", err)
	}
	out, err := render(t, tokens, "--allow-missing-secrets")
	if err != nil || !strings.Contains(out, "secretName: mine") {
		t.Errorf("with --allow-missing-secrets: %v", err)
	}
}

func TestRenderRefusesWhatTheAPIServerRefuses(t *testing.T) {
	for name, test := range map[string]struct{ input, want string }{
		"a rule":             {strings.ReplaceAll(one, "host: matrix.one.example", "host: 10.0.0.1"), "host must be a DNS name, not an IP address"},
		"an unknown field":   {strings.ReplaceAll(one, "serverName:", "servername: x, serverName:"), "unknown fields: spec.servername"},
		"a missing field":    {strings.ReplaceAll(one, "serverName: one.example, ", ""), "spec.serverName: Required value"},
		"a key twice":        {one + "spec: {}\n", "already set"},
		"an unknown version": {strings.ReplaceAll(one, "v1alpha1", "v9"), "is not a kind of this version of Foyer"},
		"a bad object name":  {strings.ReplaceAll(one, "name: one", "name: One_"), "metadata.name"},
		"nothing":            {namespace, "no object of this API"},
		"no YAML":            {"a: [", "document 1"},
		"no kind":            {"a: b", "it has no kind"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(t, test.input)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestRenderUsesTheSecretsOfTheFile(t *testing.T) {
	admins := "apiVersion: v1\nkind: Secret\nmetadata: {name: one-homeserver-admins}\nstringData: {admin: from-the-file}\n"
	out, err := render(t, one+"---\n"+admins)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "admin: from-the-file") {
		t.Error("the password of the file is not used")
	}
	if !strings.Contains(out, "ed25519 placeholder ") {
		t.Error("the signing key is no placeholder")
	}
}

func TestEverySampleRenders(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, err := render(t, string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if second, err := render(t, string(text)); err != nil || first != second {
			t.Errorf("%s: rendered twice it differs (%v)", file, err)
		}
	}
}
