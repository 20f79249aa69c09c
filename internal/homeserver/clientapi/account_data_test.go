// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestH59AccountData(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(_ *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		id := room(alice)
		for _, typ := range []string{"m.push_rules", "m.fully_read"} {
			alice.Put(client+"/user/{user}/account_data/"+typ, `{}`).Refused(405, "M_BAD_JSON")
			alice.Put(client+"/user/{user}/rooms/"+id+"/account_data/"+typ, `{}`).Refused(405, "M_BAD_JSON")
		}
		other := url.PathEscape(alice.UserID)
		bob.Put(client+"/user/"+other+"/account_data/x", `{}`).Refused(403, "M_FORBIDDEN")
		bob.Get(client+"/user/"+other+"/account_data/x").Refused(403, "M_FORBIDDEN")
		bob.Put(client+"/user/"+other+"/rooms/"+id+"/account_data/x", `{}`).Refused(403, "M_FORBIDDEN")
		bob.Get(client+"/user/"+other+"/rooms/"+id+"/account_data/x").Refused(403, "M_FORBIDDEN")
		alice.Put(client+"/user/{user}/account_data/x", `{`).Refused(400, "M_NOT_JSON")
		alice.Put(client+"/user/{user}/account_data/x", `5`).Refused(400, "M_BAD_JSON")
		alice.Get(client+"/user/{user}/account_data/x").Refused(404, "M_NOT_FOUND")
		alice.Get(client+"/user/{user}/rooms/"+id+"/account_data/x").Refused(404, "M_NOT_FOUND")
		alice.Put(client+"/user/{user}/rooms/nonsense/account_data/x", `{}`).Refused(400, "M_INVALID_PARAM")
		bob.Put(client+"/user/{user}/rooms/"+id+"/account_data/x", `{}`).Refused(404, "M_NOT_FOUND")
	})
}

func TestAccountDataIsKept(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(_ *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		id := room(alice)
		alice.Put(client+"/user/{user}/account_data/org.x%2Fy", `{"a": "1\u0000"}`).OK().Equal(`{}`)
		alice.Get(client + "/user/{user}/account_data/org.x%2Fy").OK().Equal(`{"a":"1\u0000"}`)
		alice.Put(client+"/user/{user}/rooms/"+id+"/account_data/m.tag", `{"tags":{}}`).OK()
		alice.Get(client + "/user/{user}/rooms/" + id + "/account_data/m.tag").OK().Equal(`{"tags":{}}`)
		alice.Get(client+"/user/{user}/account_data/m.tag").Refused(404, "M_NOT_FOUND")
	})
}
