// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestRegisterLoginWhoamiLogout(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		if alice.UserID != "@alice:test.example" {
			t.Fatalf("user id %q", alice.UserID)
		}
		again := s.Login("alice", "PHONE")
		again.Get("/_matrix/client/v3/account/whoami").OK().
			Equal(`{"user_id":"@alice:test.example","device_id":"PHONE","is_guest":false}`)
		again.Post("/_matrix/client/v3/logout", nil).OK().Equal(`{}`)
		again.Get("/_matrix/client/v3/account/whoami").Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
		alice.Get("/_matrix/client/v3/account/whoami").OK()
		s.Restart()
		alice.Get("/_matrix/client/v3/account/whoami").OK()
	})
}
