// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

const minimal = "serverName: test.example\ndataDir: /data\n"

func TestDefaultsFillWhatIsNotSet(t *testing.T) {
	c, err := load(t, minimal+"rateLimits: {login: {burst: 3}}\nlisten: {client: ':8008'}\n")
	if err != nil {
		t.Fatal(err)
	}
	c.Complete()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.ServerName, want.DataDir, want.Listen.Client = "test.example", "/data", ":8008"
	want.RateLimits.Login.Burst = 3
	want.SigningKeyFile, want.Media.Dir, want.PublicBaseURL = "/data/signing.key", "/data/media", "http://localhost:8008"
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsMarshalledIsRead(t *testing.T) {
	c := Default()
	c.ServerName, c.DataDir = "test.example", "/data"
	c.Admins = []Admin{{Localpart: "root", PasswordFile: "/admins/root"}}
	c.Listen.TrustedProxies = []string{"10.0.0.0/8"}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := load(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"an unknown key", minimal + "serverNmae: x\n", `unknown field "serverNmae"`},
		{"an unknown key inside", minimal + "listen: {clinet: x}\n", `unknown field "clinet"`},
		{"a key twice", minimal + "dataDir: /other\n", `"dataDir" already set`},
		{"a word for a number", minimal + "media: {maxUploadBytes: lots}\n", "maxUploadBytes"},
		{"no server name", "dataDir: /data\n", "serverName"},
		{"a URL for a server name", "serverName: https://x\ndataDir: /data\n", "serverName"},
		{"no data directory", "serverName: test.example\n", "dataDir"},
		{"a base URL that is none", minimal + "publicBaseURL: matrix.example\n", "publicBaseURL"},
		{"an upload limit of nothing", minimal + "media: {maxUploadBytes: -1}\n", "media.maxUploadBytes"},
		{"a quota of nothing", minimal + "media: {maxUserBytes: 0}\n", "media.maxUserBytes"},
		{"a TURN server that is none", minimal + "turn: {uris: ['turn:a', 'stun:b'], sharedSecretFile: /s}\n", "turn.uris[1]"},
		{"a TURN server at an address that is none", minimal + "turn: {uris: ['turn:[::x]'], sharedSecretFile: /s}\n", "turn.uris[0]"},
		{"a TURN server without a secret", minimal + "turn: {uris: ['turns:a:5349?transport=tcp']}\n", "turn.sharedSecretFile"},
		{"TURN credentials that have ended", minimal + "turn: {lifetimeSeconds: -1}\n", "turn.lifetimeSeconds"},
		{"a room version from the future", minimal + "rooms: {defaultVersion: '99'}\n", "rooms.defaultVersion"},
		{"a log level that does not exist", minimal + "logLevel: loud\n", "logLevel"},
		{"a durability that does not exist", minimal + "database: {synchronous: 'OFF'}\n", "database.synchronous"},
		{"a database of another kind", minimal + "database: {url: 'mysql://u:hunter2@x/y'}\n", "database.url"},
		{"an address without a port", minimal + "listen: {client: localhost}\n", "listen.client"},
		{"a proxy that is no range", minimal + "listen: {trustedProxies: [10.0.0.0/8, proxy]}\n", "listen.trustedProxies[1]"},
		{"a network that is no range", minimal + "outbound: {allowedNetworks: [10.0.0.0/8, cluster]}\n", "outbound.allowedNetworks[1]"},
		{"a registration mode that does not exist", minimal + "registration: {mode: Maybe}\n", "registration.mode"},
		{"an administrator with a bad name", minimal + "admins: [{localpart: Root}]\n", "admins[0].localpart"},
		{"an administrator twice", minimal + "admins: [{localpart: a}, {localpart: a}]\n", "admins[1].localpart"},
		{"a burst below nothing", minimal + "rateLimits: {join: {burst: -1}}\n", "rateLimits.join.burst"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := load(t, test.text)
			if err == nil {
				c.Complete()
				err = c.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v does not mention %s", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	c := Config{Media: Media{MaxUploadBytes: 1}}
	err := c.Validate()
	for _, want := range []string{"serverName", "dataDir", "publicBaseURL", "rooms.defaultVersion", "listen.client"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %s", err, want)
		}
	}
}

func TestReachableAddresses(t *testing.T) {
	for listen, want := range map[string]string{
		":8008": "localhost:8008", "0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80",
		"127.0.0.1:8008": "127.0.0.1:8008", "matrix.example:1": "matrix.example:1",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
