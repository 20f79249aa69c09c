// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

// TestErrorsThatTheSpecificationLists has those that no other test comes by.
func TestErrorsThatTheSpecificationLists(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		rule := clientV3 + "/pushrules/global/override/"
		for _, test := range []struct {
			name, method, path string
			body               any
			status             int
			code               string
		}{
			{"a login token by a body that is no object", "POST", getTokenPath, "[]", 400, "M_BAD_JSON"},
			{"an alias without a server", "GET", clientV3 + "/directory/room/%23kitchen", nil, 400, "M_INVALID_PARAM"},
			{"the visibility of a room that is none", "GET", clientV3 + "/directory/list/room/" + url.PathEscape("!none:test.example"), nil, 404, "M_NOT_FOUND"},
			{"deleting a profile field whose name is none", "DELETE", clientV3 + "/profile/{user}/a%20b", nil, 400, "M_INVALID_PARAM"},
			{"deleting a push rule that is none", "DELETE", rule + "none", nil, 404, "M_NOT_FOUND"},
			{"the actions of a push rule that is none", "GET", rule + "none/actions", nil, 404, "M_NOT_FOUND"},
			{"whether a push rule is enabled that is none", "GET", rule + "none/enabled", nil, 404, "M_NOT_FOUND"},
			{"actions for a push rule that is none", "PUT", rule + "none/actions", object{"actions": []string{}}, 404, "M_NOT_FOUND"},
			{"enabling a push rule that is none", "PUT", rule + "none/enabled", object{"enabled": true}, 404, "M_NOT_FOUND"},
			{"media without a token", "GET", "/_matrix/media/v3/download/test.example/x", nil, 404, "M_NOT_FOUND"},
			{"media under a name without a token", "GET", "/_matrix/media/v3/download/test.example/x/y", nil, 404, "M_NOT_FOUND"},
			{"a thumbnail without a token", "GET", "/_matrix/media/v3/thumbnail/test.example/x?width=1&height=1", nil, 404, "M_NOT_FOUND"},
		} {
			t.Run(test.name, func(t *testing.T) {
				c.alice.With(t).Do(test.method, test.path, test.body).Refused(test.status, test.code)
			})
		}
	})
}

// TestWhatIsAlwaysTheSame calls the endpoints that answer everybody the same.
func TestWhatIsAlwaysTheSame(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		alice.Get(clientV3 + "/account/3pid").OK().Equal(`{"threepids":[]}`)
		versions := s.Client().Get("/_matrix/client/versions").OK()
		if list, ok := versions.Value("versions").([]any); !ok || len(list) == 0 || list[0] != "v1.1" {
			t.Errorf("versions %s", versions.Body)
		}
		// Old clients leave the slash out.
		rules := alice.Get(clientV3 + "/pushrules/").OK()
		alice.Get(clientV3 + "/pushrules").OK().Equal(string(rules.Body))
	})
}

func TestAnUnbannedUserMayBeInvitedAgain(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(_ *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		room, bob := createRoom(alice, object{}), s.Register("bob")
		alice.Post(in(room, "ban"), object{"user_id": bob.UserID}).OK()
		alice.Post(in(room, "unban"), object{"user_id": bob.UserID}).OK()
		alice.Post(in(room, "invite"), object{"user_id": bob.UserID}).OK()
	})
}

// TestEveryLimitedRouteIsLimited spends each limit, then calls every route
// that counts against it.
// https://spec.matrix.org/v1.19/client-server-api/#rate-limiting
func TestEveryLimitedRouteIsLimited(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		access := s.Register("alice").AccessToken
		s.Stop()
		once := config.RateLimit{PerSecond: 0.0001, Burst: 1}
		s.Config.RateLimits = config.RateLimits{Message: once, Login: once, Registration: once, Join: once, Invite: once, Media: once}
		s.Start()
		alice := holding(s, access)
		limited := map[httpapi.Limit][]httpapi.Route{}
		for _, r := range clientRoutes() {
			limited[r.Limit] = append(limited[r.Limit], r)
		}
		delete(limited, httpapi.NoLimit)
		for limit, routes := range limited {
			byAddress, byUser := 0, 0 // what has been spent
			for _, r := range append(routes, routes...) {
				spent := &byUser
				if r.Auth == httpapi.Public {
					spent = &byAddress
				}
				got := alice.Do(r.Method, fill(r.Path, nil), bodyFor(r.Method))
				if *spent++; *spent == 1 {
					continue // whatever the answer
				}
				got.Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
				if got.Header.Get("Retry-After") == "" || got.Value("retry_after_ms") == nil {
					t.Errorf("limit %s: the answer does not say when to try again: %s", limit, got.Body)
				}
			}
		}
	})
}
