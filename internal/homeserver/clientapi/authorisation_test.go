// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/adminapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/clientapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

// clientRoutes are the routes of the client listener, by "METHOD path".
func clientRoutes() map[string]httpapi.Route {
	c := config.Default()
	routes := map[string]httpapi.Route{}
	for _, r := range slices.Concat(clientapi.New(clientapi.Options{Config: &c}).Routes(), adminapi.New(nil).Routes()) {
		routes[r.Method+" "+r.Path] = r
	}
	return routes
}

// fill puts values into a route's path. Which ones does not matter where nobody gets to read them.
func fill(path string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(path, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		var name string
		name, path, _ = strings.Cut(rest, "}")
		value, known := values[name]
		if !known && !strings.HasSuffix(name, "?") {
			value = "x"
		}
		b.WriteString(url.PathEscape(value))
	}
}

// bodyless are the methods that are called without a body.
func bodyFor(method string) any {
	if method == http.MethodGet || method == http.MethodDelete {
		return nil
	}
	return object{}
}

// TestNoRouteAnswersWithoutAValidToken calls every route that is not public
// with every kind of token that is none.
// https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
func TestNoRouteAnswersWithoutAValidToken(t *testing.T) {
	clock := newClock()
	o := withAdmins(t, "root")
	o.Now = clock.Now
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		root, alice, gone := s.Login("root", ""), s.Register("alice"), s.Register("gone")
		access, _ := refreshableLogin(s, "PHONE")
		clock.advance(31 * time.Minute)
		out := s.Login("alice", "OUT")
		out.Post(clientV3+"/logout", object{}).OK()
		confirmed(gone, "POST", "/account/deactivate", object{}).OK()
		root.Put(adminPath("lock", alice.UserID), object{"locked": true}).OK()
		callers := []struct {
			name   string
			client *homeservertest.Client
			code   string
			soft   any
		}{
			{"nobody", s.Client(), "M_MISSING_TOKEN", nil},
			{"somebody with an invented token", holding(s, "foyer_x"), "M_UNKNOWN_TOKEN", nil},
			{"a device that signed out", out, "M_UNKNOWN_TOKEN", nil},
			{"a deactivated user", gone, "M_UNKNOWN_TOKEN", nil},
			{"a device whose token expired", holding(s, access), "M_UNKNOWN_TOKEN", true},
			{"a locked user", alice, "M_USER_LOCKED", true},
		}
		var whileLocked []string
		for name, r := range clientRoutes() {
			if r.Auth == httpapi.Public {
				continue
			}
			for _, c := range callers {
				if c.client == alice && r.WhileLocked {
					whileLocked = append(whileLocked, name)
					continue
				}
				got := c.client.Do(r.Method, fill(r.Path, nil), bodyFor(r.Method)).Refused(http.StatusUnauthorized, c.code)
				if got.Value("soft_logout") != c.soft {
					t.Errorf("%s as %s: %s, want soft_logout %v", name, c.name, got.Body, c.soft)
				}
			}
		}
		slices.Sort(whileLocked)
		if want := []string{"POST " + clientV3 + "/logout", "POST " + clientV3 + "/logout/all"}; !slices.Equal(whileLocked, want) {
			t.Errorf("a locked user may call %v, want %v", whileLocked, want)
		}
	})
}

// TestAdministrationIsForAdministrators calls what is for administrators as a user.
func TestAdministrationIsForAdministrators(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		for name, r := range clientRoutes() {
			if r.Auth != httpapi.Admin {
				if strings.Contains(r.Path, "/admin/") && name != "GET "+clientV3+"/admin/whois/{userId}" {
					t.Errorf("%s is for everybody", name)
				}
				continue
			}
			alice.Do(r.Method, fill(r.Path, map[string]string{"userId": alice.UserID}), bodyFor(r.Method)).Refused(403, "M_FORBIDDEN")
		}
	})
}

// ofUsers says what bob gets when he names alice in the path of a route.
var ofUsers = map[string]struct {
	body   any
	status int
	code   string
}{
	"GET " + clientV3 + "/admin/whois/{userId}":                             {nil, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/profile/{userId}":                                 {nil, 200, ""}, // profiles are public
	"GET " + clientV3 + "/profile/{userId}/{keyName}":                       {nil, 200, ""},
	"PUT " + clientV3 + "/profile/{userId}/{keyName}":                       {object{"displayname": "y"}, 403, "M_FORBIDDEN"},
	"DELETE " + clientV3 + "/profile/{userId}/{keyName}":                    {nil, 403, "M_FORBIDDEN"},
	"PUT " + clientV3 + "/rooms/{roomId}/typing/{userId}":                   {object{"typing": true}, 403, "M_FORBIDDEN"},
	"POST " + clientV3 + "/user/{userId}/filter":                            {object{}, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/user/{userId}/filter/{filterId}":                  {nil, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/user/{userId}/account_data/{type}":                {nil, 403, "M_FORBIDDEN"},
	"PUT " + clientV3 + "/user/{userId}/account_data/{type}":                {object{}, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/user/{userId}/rooms/{roomId}/account_data/{type}": {nil, 403, "M_FORBIDDEN"},
	"PUT " + clientV3 + "/user/{userId}/rooms/{roomId}/account_data/{type}": {object{}, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/user/{userId}/rooms/{roomId}/tags":                {nil, 403, "M_FORBIDDEN"},
	"PUT " + clientV3 + "/user/{userId}/rooms/{roomId}/tags/{tag}":          {object{}, 403, "M_FORBIDDEN"},
	"DELETE " + clientV3 + "/user/{userId}/rooms/{roomId}/tags/{tag}":       {nil, 403, "M_FORBIDDEN"},
	"GET " + clientV3 + "/presence/{userId}/status":                         {nil, 200, ""}, // they share a room
	"PUT " + clientV3 + "/presence/{userId}/status":                         {object{"presence": "online"}, 403, "M_FORBIDDEN"},
	"POST " + clientV3 + "/user/{userId}/openid/request_token":              {object{}, 403, "M_FORBIDDEN"},
	"POST " + clientV3 + "/users/{userId}/report":                           {object{"reason": "spam"}, 200, ""}, // others are what one reports
}

// TestWhatNamesAUserIsTheirOwn names another user in every route that takes
// one, then something that is no user.
func TestWhatNamesAUserIsTheirOwn(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		values := map[string]string{"userId": c.alice.UserID, "roomId": room, "keyName": "displayname"}
		malformed := map[string]string{"userId": "@ali\x00ce:test.example", "roomId": room, "keyName": "displayname"}
		elsewhere := map[string]string{"userId": "@bob:elsewhere.example", "roomId": room, "keyName": "displayname"}
		for name, r := range clientRoutes() {
			if r.Auth == httpapi.Admin || !strings.Contains(r.Path, "{userId}") {
				continue
			}
			want, known := ofUsers[name]
			if !known {
				t.Errorf("%s has no line in the table", name)
				continue
			}
			got := c.bob.Do(r.Method, fill(r.Path, values), want.body)
			if want.code == "" {
				got.OK()
			} else {
				got.Refused(want.status, want.code)
			}
			if want.status == http.StatusForbidden {
				// One's own name at another server is another user.
				c.bob.Do(r.Method, fill(r.Path, elsewhere), want.body).Refused(want.status, want.code)
			}
			c.bob.Do(r.Method, fill(r.Path, malformed), want.body).Refused(400, "M_INVALID_PARAM")
		}
	})
}

// TestWhatOthersHaveIsNotThere names what belongs to alice where bob's own is looked for.
func TestWhatOthersHaveIsNotThere(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		rule, device := clientV3+"/pushrules/global/override/alices", clientV3+"/devices/"+url.PathEscape(c.alice.DeviceID)
		c.alice.Put(rule, object{"actions": []string{}, "conditions": []string{}}).OK()
		filter := c.alice.Post(clientV3+"/user/{user}/filter", object{}).OK().String("filter_id")
		backup := clientV3 + "/room_keys/version/" + c.alice.Post(clientV3+"/room_keys/version", object{
			"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": object{},
		}).OK().String("version")
		for name, r := range map[string]*homeservertest.Response{
			"a device":             c.bob.Get(device),
			"naming a device":      c.bob.Put(device, object{"display_name": "bob's"}),
			"a push rule":          c.bob.Get(rule),
			"deleting a push rule": c.bob.Do("DELETE", rule, nil),
			"a filter":             c.bob.Get(clientV3 + "/user/{user}/filter/" + filter),
			"a backup":             c.bob.Get(backup),
			"deleting a backup":    c.bob.Do("DELETE", backup, nil),
			"keys of a backup":     c.bob.Get(clientV3 + "/room_keys/keys?version=1"),
		} {
			if r.Refused(404, "M_NOT_FOUND"); t.Failed() {
				t.Fatal(name)
			}
		}
		confirmed(c.bob, "DELETE", "/devices/"+url.PathEscape(c.alice.DeviceID), object{}).OK() // as one that is gone
		c.alice.Get(device).OK()
		c.alice.Get(rule).OK()
		c.alice.Get(backup).OK()
	})
}
