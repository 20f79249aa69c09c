// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const profilePath = "/_matrix/client/v3/profile/"

func TestProfile(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, nobody := s.Register("alice"), s.Client()
		nobody.Get(profilePath + alice.UserID).OK().Equal(`{"displayname":"alice"}`)
		alice.Put(profilePath+"{user}/displayname", object{"displayname": "Alice\x00 é"}).OK()
		alice.Put(profilePath+"{user}/avatar_url", object{"avatar_url": "mxc://test.example/a"}).OK()
		alice.Put(profilePath+"{user}/m.tz", object{"m.tz": "Europe/Berlin"}).OK()
		alice.Put(profilePath+"{user}/org.example.pet", `{"org.example.pet": {"name": "Rex", "age": 3.0}}`).OK()
		nobody.Get(profilePath + alice.UserID).OK().Equal(`{"displayname":"Alice\u0000 é","avatar_url":"mxc://test.example/a",
			"m.tz":"Europe/Berlin","org.example.pet":{"name":"Rex","age":3.0}}`)
		nobody.Get(profilePath + alice.UserID + "/m.tz").OK().Equal(`{"m.tz":"Europe/Berlin"}`)
		alice.Do("DELETE", profilePath+"{user}/m.tz", nil).OK()
		alice.Put(profilePath+"{user}/avatar_url", object{"avatar_url": ""}).OK()
		alice.Put(profilePath+"{user}/displayname", `{"displayname": null}`).OK()
		nobody.Get(profilePath+alice.UserID+"/m.tz").Refused(http.StatusNotFound, "M_NOT_FOUND")
		nobody.Get(profilePath + alice.UserID).OK().Equal(`{"org.example.pet":{"name":"Rex","age":3.0}}`)
		nobody.Get(profilePath+"@nobody:test.example").Refused(http.StatusNotFound, "M_NOT_FOUND")
	})
}

func TestProfileRefuses(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice, bob := s.Register("alice"), s.Register("bob")
	for _, test := range []struct {
		name, key string
		body      any
		status    int
		code      string
	}{
		{"H60 a key of more than 255 bytes", strings.Repeat("a.", 200) + "a", object{}, http.StatusBadRequest, "M_KEY_TOO_LARGE"},
		{"H60 a profile of more than 64 KiB", "org.example.x", object{"org.example.x": strings.Repeat("x", 64<<10)}, http.StatusBadRequest, "M_PROFILE_TOO_LARGE"},
		{"a key that is no identifier", "Pet", object{"Pet": 1}, http.StatusBadRequest, "M_INVALID_PARAM"},
		{"another key than in the path", "displayname", object{"Displayname": "x"}, http.StatusBadRequest, "M_MISSING_PARAM"},
		{"a name that is no string", "displayname", object{"displayname": 5}, http.StatusBadRequest, "M_BAD_JSON"},
		{"a very long name", "displayname", object{"displayname": strings.Repeat("x", 1001)}, http.StatusBadRequest, "M_INVALID_PARAM"},
		{"a time zone that is no string", "m.tz", object{"m.tz": object{}}, http.StatusBadRequest, "M_BAD_JSON"},
		{"a time zone that is null", "m.tz", `{"m.tz": null}`, http.StatusBadRequest, "M_BAD_JSON"},
		{"H60 a name and a value that do not fit together", "org.example.x", object{"org.example.x": strings.Repeat("x", 64<<10-30)}, http.StatusBadRequest, "M_PROFILE_TOO_LARGE"},
		{"a key with a dot at its end", "org.example.", object{"org.example.": 1}, http.StatusBadRequest, "M_INVALID_PARAM"},
		{"a key without a name space", "pet", object{"pet": 1}, http.StatusBadRequest, "M_INVALID_PARAM"},
		{"no body", "displayname", "", http.StatusBadRequest, "M_NOT_JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			alice.With(t).Put(profilePath+"{user}/"+test.key, test.body).Refused(test.status, test.code)
		})
	}
	alice.Do("DELETE", profilePath+"{user}/Pet", nil).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
	alice.Do("DELETE", profilePath+"{user}/"+strings.Repeat("a.", 200)+"a", nil).Refused(http.StatusBadRequest, "M_KEY_TOO_LARGE")
	alice.Do("DELETE", profilePath+"{user}/org.example.absent", nil).OK()
	longest := strings.Repeat("a.", 127) + "a"
	alice.Put(profilePath+"{user}/"+longest, object{longest: 1}).OK()
	alice.Do("DELETE", profilePath+"{user}/"+longest, nil).OK()
	bob.Put(profilePath+alice.UserID+"/displayname", object{"displayname": "x"}).Refused(http.StatusForbidden, "M_FORBIDDEN")
	bob.Do("DELETE", profilePath+alice.UserID+"/displayname", nil).Refused(http.StatusForbidden, "M_FORBIDDEN")
	s.Client().Get(profilePath + alice.UserID).OK().Equal(`{"displayname":"alice"}`)
}
