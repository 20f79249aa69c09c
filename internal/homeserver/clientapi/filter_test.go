// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestH56Filters(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(_ *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		alice.Get(client+"/sync?filter="+url.QueryEscape(`{"room":`)).Refused(400, "M_BAD_JSON")
		alice.Get(client+"/sync?filter="+url.QueryEscape(`{"room":5}`)).Refused(400, "M_BAD_JSON")
		alice.Get(client+"/sync?filter=77").Refused(404, "M_NOT_FOUND")
		alice.Get(client+"/sync?filter=nonsense").Refused(404, "M_NOT_FOUND")
		alice.Post(client+"/user/{user}/filter", `{"room":`).Refused(400, "M_NOT_JSON")
		alice.Post(client+"/user/{user}/filter", `[]`).Refused(400, "M_BAD_JSON")
		alice.Post(client+"/user/{user}/filter", `{"room":{"timeline":{"limit":"x"}}}`).Refused(400, "M_BAD_JSON")
		bob.Post(client+"/user/"+url.PathEscape(alice.UserID)+"/filter", `{}`).Refused(403, "M_FORBIDDEN")
		alice.Get(client+"/user/{user}/filter/77").Refused(404, "M_NOT_FOUND")
		alice.Get(client+"/user/{user}/filter/x").Refused(404, "M_NOT_FOUND")
	})
}

func TestFiltersAreKept(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		id := alice.Post(client+"/user/{user}/filter", `{"room": {"timeline": {"limit": 3}}}`).OK().String("filter_id")
		again := alice.Post(client+"/user/{user}/filter", `{"room":{"timeline":{"limit":3}}}`).OK().String("filter_id")
		other := alice.Post(client+"/user/{user}/filter", `{"room":{"timeline":{"limit":4}}}`).OK().String("filter_id")
		if id == "" || id[0] == '{' || again != id || other == id {
			t.Errorf("ids %q, %q for the same, %q for another", id, again, other)
		}
		alice.Get(client + "/user/{user}/filter/" + id).OK().Equal(`{"room":{"timeline":{"limit":3}}}`)
		alice.Get(client + "/sync?filter=" + id).OK()
	})
}
