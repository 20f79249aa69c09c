// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"strings"
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

func TestH31AccountDataHasBounds(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		here, there := room(alice), room(alice)
		large := object{"x": strings.Repeat("x", 500<<10)}
		put := func(room, typ string, content object) *homeservertest.Response {
			return alice.Put(client+"/user/{user}/"+room+"account_data/"+typ, content)
		}
		for i := range 8 {
			put("", fmt.Sprint("large", i), large).OK()
		}
		put("", "large8", large).Refused(403, "M_RESOURCE_LIMIT_EXCEEDED")
		put("", "large7", large).OK() // in the place of itself
		put("", "small", object{}).OK()
		put("rooms/"+here+"/", "large8", large).OK() // each room has its own
		put("", "largest", object{"x": strings.Repeat("x", 512<<10)}).Refused(413, "M_TOO_LARGE")

		for i := range 1000 {
			put("rooms/"+there+"/", fmt.Sprint("type", i), object{}).OK()
		}
		put("rooms/"+there+"/", "type1000", object{}).Refused(403, "M_RESOURCE_LIMIT_EXCEEDED")
		put("rooms/"+there+"/", "type999", object{"new": 1}).OK()
		if got := alice.Get(client + "/user/{user}/rooms/" + there + "/account_data/type999").OK().Value("new"); got != 1.0 {
			t.Errorf("the last piece is %v", got)
		}
	})
}

func TestH31FiltersHaveBounds(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		define := func(i int) string {
			return alice.Post(client+"/user/{user}/filter", object{"room": object{"timeline": object{"not_types": []string{fmt.Sprint(i)}}}}).OK().String("filter_id")
		}
		first := define(0)
		if again := define(0); again != first {
			t.Errorf("the same filter is %s, then %s", first, again)
		}
		var last string
		for i := range 200 {
			last = define(i + 1)
		}
		alice.Get(client+"/user/{user}/filter/"+first).Refused(404, "M_NOT_FOUND") // the oldest gave way
		alice.Get(client + "/user/{user}/filter/" + last).OK()
		alice.Post(client+"/user/{user}/filter", object{"event_fields": []string{strings.Repeat("x", 64<<10)}}).Refused(413, "M_TOO_LARGE")
	})
}
