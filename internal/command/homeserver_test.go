// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func TestHomeserverFlagsOverrideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "serverName: file.example\ndataDir: /file\nregistration: {mode: Open}\ndatabase: {urlFile: /url}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := homeserverFlags{config: path}.load()
	if err != nil {
		t.Fatal(err)
	}
	if c.ServerName != "file.example" || c.DataDir != "/file" || c.Registration.Mode != config.RegistrationOpen || c.Database.URLFile != "/url" {
		t.Errorf("from the file: %+v", c)
	}
	c, err = homeserverFlags{
		config: path, serverName: "flag.example", data: "/flag", listen: "0.0.0.0:1234",
		database: "postgres://host/name", registration: "closed",
	}.load()
	if err != nil {
		t.Fatal(err)
	}
	if c.ServerName != "flag.example" || c.DataDir != "/flag" || c.Listen.Client != "0.0.0.0:1234" ||
		c.Database != (config.Database{URL: "postgres://host/name", Synchronous: "FULL"}) || c.Registration.Mode != config.RegistrationClosed ||
		c.SigningKeyFile != "/flag/signing.key" {
		t.Errorf("from the flags: %+v", c)
	}
}

func TestHomeserverRefusesAndExits(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing said", nil, "serverName"},
		{"a bad server name", []string{"--server-name", "a/b", "--data", "/x"}, "serverName"},
		{"a bad mode", []string{"--server-name", "a", "--data", "/x", "--registration", "maybe"}, "--registration"},
		{"a file that is not there", []string{"--config", "/nowhere.yaml"}, "/nowhere.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := Homeserver()
			cmd.SetArgs(test.args)
			err := cmd.ExecuteContext(t.Context())
			var coded interface{ ExitCode() int }
			if !errors.As(err, &coded) || coded.ExitCode() != exitConfig {
				t.Fatalf("error %v does not end in exit code %d", err, exitConfig)
			}
			if !strings.HasPrefix(err.Error(), "ConfigInvalid: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		homeserver.ErrConfig: exitConfig, homeserver.ErrSigningKey: exitConfig, store.ErrServerNameMismatch: exitConfig,
		store.ErrUnavailable: 1, store.ErrLocked: 1, errors.New("anything"): 1,
	} {
		var coded interface{ ExitCode() int }
		if !errors.As(explain(fmt.Errorf("start: %w", err)), &coded) || coded.ExitCode() != want {
			t.Errorf("%v: want exit code %d", err, want)
		}
	}
	if err := explain(nil); err != nil {
		t.Errorf("a good end became %v", err)
	}
}

func TestTheRegistrationTokenIsPrintedAndKept(t *testing.T) {
	c := config.Config{DataDir: filepath.Join(t.TempDir(), "data"), Registration: config.Registration{Mode: config.RegistrationToken}}
	var first, second bytes.Buffer
	one, two := c, c
	if err := errors.Join(provideToken(&one, &first), provideToken(&two, &second)); err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(strings.TrimSpace(first.String()), "Registration token: ")
	if !ok || len(token) < 20 || first.String() != second.String() {
		t.Errorf("printed %q, then %q", first.String(), second.String())
	}
	text, err := os.ReadFile(one.Registration.TokenFile)
	if err != nil || strings.TrimSpace(string(text)) != token {
		t.Errorf("the file holds %q (%v)", text, err)
	}
	c.Registration.TokenFile = "/own"
	var none bytes.Buffer
	if err := provideToken(&c, &none); err != nil || none.Len() > 0 || c.Registration.TokenFile != "/own" {
		t.Errorf("a configured file was replaced: %q %v", none.String(), err)
	}
}
