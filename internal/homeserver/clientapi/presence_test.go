// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func presencePath(user string) string { return client + "/presence/" + user + "/status" }

func TestPresenceOverHTTP(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	s := homeservertest.New(t, homeservertest.Options{
		Configure: func(c *config.Config) { c.Presence.Enabled = true },
		Now:       func() time.Time { return time.UnixMilli(now.Load()) },
	})
	alice, bob, carol := s.Register("alice"), s.Register("bob"), s.Register("carol")
	id := room(alice)
	bob.Post(client+"/join/"+id, nil).OK()
	const ofBob = "@bob:test.example"
	alice.Get(presencePath(ofBob)).OK().Equal(`{"presence":"offline"}`)
	bob.Put(presencePath("{user}"), object{"presence": "online", "status_msg": "here"}).OK().Equal(`{}`)
	now.Add(1500)
	alice.Get(presencePath(ofBob)).OK().Equal(`{"presence":"online","status_msg":"here","last_active_ago":1500,"currently_active":true}`)
	first := alice.Get(client + "/sync?set_presence=offline").OK()
	if !strings.Contains(string(first.Body), `"presence":{"events":[{"content":{"presence":"online","last_active_ago":1500,"currently_active":true,"status_msg":"here"},"sender":"@bob:test.example","type":"m.presence"}]}`) {
		t.Errorf("initial sync: %s", first.Body)
	}
	// Alice only watched.
	bob.Get(presencePath("@alice:test.example")).OK().Equal(`{"presence":"offline"}`)
	bob.Put(presencePath("{user}"), object{"presence": "unavailable"}).OK()
	next := alice.Get(client + "/sync?timeout=60000&set_presence=unavailable&since=" + first.String("next_batch")).OK()
	if !strings.Contains(string(next.Body), `"sender":"@bob:test.example"`) || !strings.Contains(string(next.Body), `"presence":"unavailable"`) {
		t.Errorf("next sync: %s", next.Body)
	}
	bob.Get(presencePath("@alice:test.example")).OK().Equal(`{"presence":"unavailable"}`)
	alice.Get(client + "/sync").OK()
	bob.Get(presencePath("@alice:test.example")).OK().Equal(`{"presence":"online","last_active_ago":0,"currently_active":true}`)
	now.Add(time.Minute.Milliseconds())
	bob.Get(presencePath("@alice:test.example")).OK().Equal(`{"presence":"offline","last_active_ago":60000}`)

	carol.Get(presencePath(ofBob)).Refused(http.StatusForbidden, "M_FORBIDDEN")
	carol.Get(presencePath("@nobody:test.example")).Refused(http.StatusForbidden, "M_FORBIDDEN")
}

func TestPresenceThatIsRefused(t *testing.T) {
	for name, enabled := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			s := homeservertest.New(t, homeservertest.Options{Configure: func(c *config.Config) { c.Presence.Enabled = enabled }})
			alice := s.Register("alice")
			s.Register("bob")
			mine, others := presencePath("{user}"), presencePath("@bob:test.example")
			alice.Put(others, object{"presence": "online"}).Refused(http.StatusForbidden, "M_FORBIDDEN")
			alice.Put(mine, object{}).Refused(http.StatusBadRequest, "M_MISSING_PARAM")
			alice.Put(mine, object{"presence": "away"}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
			alice.Put(mine, object{"presence": 5}).Refused(http.StatusBadRequest, "M_BAD_JSON")
			alice.Put(mine, object{"presence": "online", "status_msg": strings.Repeat("x", 1001)}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
			alice.Put(presencePath("alice"), object{"presence": "online"}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
			alice.Get(presencePath("alice")).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
			s.Client().Put(others, object{"presence": "online"}).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
			s.Client().Get(others).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
			alice.Put(mine, object{"presence": "online", "status_msg": nil}).OK()
		})
	}
}

func TestPresenceIsOffUnlessSwitchedOn(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice, bob := s.Register("alice"), s.Register("bob")
	bob.Post(client+"/join/"+room(alice), nil).OK()
	bob.Put(presencePath("{user}"), object{"presence": "online"}).OK().Equal(`{}`)
	alice.Get(presencePath("@bob:test.example")).OK().Equal(`{"presence":"offline"}`)
	if r := alice.Get(client + "/sync").OK(); r.Value("presence") != nil {
		t.Errorf("sync has %v", r.Value("presence"))
	}
}
