// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const turnServerPath = "/_matrix/client/v3/voip/turnServer"

func TestTURNCredentials(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "turn")
	if err := os.WriteFile(secret, []byte("north\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := homeservertest.New(t, homeservertest.Options{
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
		Configure: func(c *config.Config) {
			c.Turn.URIs = []string{"turn:turn.test.example:3478?transport=udp", "turns:[2001:db8::1]:5349"}
			c.Turn.SharedSecretFile = secret
			c.Turn.LifetimeSeconds = 3600
		},
	})
	// The password is what openssl dgst -sha1 -hmac north -binary | base64 makes of the user name.
	s.Register("alice").Get(turnServerPath).OK().Equal(`{
		"username": "1700003600:@alice:test.example", "password": "KvuPqHsJtzxzU4cHWsWw1MuWGEg=",
		"uris": ["turn:turn.test.example:3478?transport=udp", "turns:[2001:db8::1]:5349"], "ttl": 3600}`)
	s.Client().Get(turnServerPath).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
}

func TestNoTURNServer(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice").Get(turnServerPath).OK().Equal(`{}`)
	s.Client().Get(turnServerPath).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
}
