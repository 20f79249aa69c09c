// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// gateway is a push gateway on a local port.
type gateway struct {
	t      *testing.T
	url    string
	caFile string
	told   chan object
	// answer is what it answers with; 200 and nothing rejected if it is empty.
	answer atomic.Pointer[string]
	clock  atomic.Int64
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t, told: make(chan object, 1000)}
	server := httptest.NewTLSServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	g.url = server.URL + "/_matrix/push/v1/notify"
	g.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(g.caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	var body struct{ Notification object }
	err := json.NewDecoder(r.Body).Decode(&body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/_matrix/push/v1/notify" || r.Header.Get("Content-Type") != "application/json" {
		g.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	answer := `{"rejected":[]}`
	if a := g.answer.Load(); a != nil {
		answer = *a
	}
	if answer == "fail" {
		w.WriteHeader(http.StatusBadGateway)
	} else {
		_, _ = w.Write([]byte(answer))
	}
	g.told <- body.Notification
}

func (g *gateway) says(answer string) { g.answer.Store(&answer) }

// next waits for what the gateway is told next.
func (g *gateway) next() object {
	g.t.Helper()
	select {
	case n := <-g.told:
		return n
	case <-g.t.Context().Done():
		g.t.Fatal("the gateway was told nothing")
		return nil
	}
}

// nothing checks that nothing waits that was told before.
func (g *gateway) nothing() {
	g.t.Helper()
	select {
	case n := <-g.told:
		g.t.Errorf("the gateway was told %v", n)
	default:
	}
}

// options are those of a server that may reach the gateway, with a clock that can be put forward.
func (g *gateway) options() homeservertest.Options {
	return homeservertest.Options{
		Configure: func(c *config.Config) {
			c.Outbound = config.Outbound{AllowedNetworks: []string{"127.0.0.0/8"}, CAFile: g.caFile}
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(g.clock.Load())) },
	}
}

func (g *gateway) pusher(key string) object {
	return object{
		"app_id": "org.example", "pushkey": key, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
		"lang": "en", "data": object{"url": g.url, "brand": "x"},
	}
}

const setPusher = client + "/pushers/set"

// eachGateway runs test on both databases, each with a gateway.
func eachGateway(t *testing.T, test func(t *testing.T, c *chat, g *gateway)) {
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			o := g.options()
			o.Postgres = postgres
			s := homeservertest.New(t, o)
			test(t, &chat{t: t, server: s, alice: s.Register("alice"), bob: s.Register("bob"), carol: s.Register("carol")}, g)
		})
	}
}

func TestPushersAreSetListedAndDeleted(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		c.bob.Get(client + "/pushers").OK().Equal(`{"pushers":[]}`)
		c.bob.Post(setPusher, g.pusher("k")).OK().Equal(`{}`)
		want := `{"pushers":[{"app_id":"org.example","pushkey":"k","kind":"http","app_display_name":"App","device_display_name":"Phone",
			"lang":"en","data":{"url":"` + g.url + `","brand":"x"}}]}`
		c.bob.Get(client + "/pushers").OK().Equal(want)
		changed := g.pusher("k")
		changed["lang"], changed["profile_tag"] = "de", "tag"
		c.bob.Post(setPusher, changed).OK()
		c.bob.Get(client + "/pushers").OK().Equal(strings.ReplaceAll(want, `"lang":"en"`, `"lang":"de","profile_tag":"tag"`))
		c.alice.Get(client + "/pushers").OK().Equal(`{"pushers":[]}`)
		c.server.Client().Get(client+"/pushers").Refused(401, "M_MISSING_TOKEN")
		c.server.Client().Post(setPusher, g.pusher("k")).Refused(401, "M_MISSING_TOKEN")

		same := g.pusher("k")
		same["append"] = true
		c.alice.Post(setPusher, same).OK()
		if n := c.pushers(c.alice) + c.pushers(c.bob); n != 2 {
			t.Errorf("%d pushers after appending one", n)
		}
		c.carol.Post(setPusher, g.pusher("k")).OK()
		if c.pushers(c.carol) != 1 || c.pushers(c.alice)+c.pushers(c.bob) != 0 {
			t.Error("a device that is somebody else's now still tells others' notifications")
		}
		c.carol.Post(setPusher, object{"app_id": "org.example", "pushkey": "k", "kind": nil}).OK().Equal(`{}`)
		c.carol.Post(setPusher, object{"app_id": "org.example", "pushkey": "k", "kind": nil}).OK()
		if c.pushers(c.carol) != 0 {
			t.Error("a pusher is still there after it was deleted")
		}
	})
}

// pushers is how many pushers a user has.
func (c *chat) pushers(user *homeservertest.Client) int {
	all, _ := user.Get(client + "/pushers").OK().Value("pushers").([]any)
	return len(all)
}

func TestH77PushersThatCannotBe(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		change := func(name string, value any) object {
			p := g.pusher("k")
			p[name] = value
			return p
		}
		without := func(name string) object {
			p := g.pusher("k")
			delete(p, name)
			return p
		}
		to := func(url string) object { return change("data", object{"url": url}) }
		const path = "/_matrix/push/v1/notify"
		for name, p := range map[string]struct {
			body    object
			errcode string
		}{
			"no app_id":              {without("app_id"), "M_MISSING_PARAM"},
			"no pushkey":             {without("pushkey"), "M_MISSING_PARAM"},
			"no kind":                {without("kind"), "M_MISSING_PARAM"},
			"no name of the app":     {without("app_display_name"), "M_MISSING_PARAM"},
			"no name of the device":  {without("device_display_name"), "M_MISSING_PARAM"},
			"no language":            {without("lang"), "M_MISSING_PARAM"},
			"no data":                {without("data"), "M_MISSING_PARAM"},
			"no url":                 {change("data", object{}), "M_MISSING_PARAM"},
			"data that is text":      {change("data", "x"), "M_BAD_JSON"},
			"a key that is a number": {change("pushkey", 1), "M_BAD_JSON"},
			"a kind of old":          {change("kind", "email"), "M_INVALID_PARAM"},
			"a long app_id":          {change("app_id", strings.Repeat("é", 65)), "M_INVALID_PARAM"},
			"a long key":             {change("pushkey", strings.Repeat("x", 513)), "M_INVALID_PARAM"},
			"an empty key":           {change("pushkey", ""), "M_INVALID_PARAM"},
			"a long name":            {change("lang", strings.Repeat("x", 256)), "M_INVALID_PARAM"},
			"large data":             {change("data", object{"url": g.url, "x": strings.Repeat("x", 9000)}), "M_INVALID_PARAM"},
			"a url that is not safe": {to("http://push.example" + path), "M_INVALID_PARAM"},
			"another path":           {to("https://push.example/_matrix/push/v1/notify/"), "M_INVALID_PARAM"},
			"no path":                {to("https://push.example"), "M_INVALID_PARAM"},
			"a url with a password":  {to("https://a:b@push.example" + path), "M_INVALID_PARAM"},
			"a url without a host":   {to("https://" + path), "M_INVALID_PARAM"},
			"no url at all":          {to("%"), "M_INVALID_PARAM"},
			"a private address":      {to("https://10.0.0.1" + path), "M_INVALID_PARAM"},
			"a mapped address":       {to("https://[::ffff:10.0.0.1]" + path), "M_INVALID_PARAM"},
		} {
			t.Run(name, func(t *testing.T) { c.bob.With(t).Post(setPusher, p.body).Refused(400, p.errcode) })
		}
		if c.pushers(c.bob) != 0 {
			t.Error("a pusher was made all the same")
		}
		c.bob.Post(setPusher, change("app_id", strings.Repeat("é", 64))).OK()
	})
}

func TestNotificationsArePushed(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := createRoom(c.alice, object{"preset": "public_chat", "name": "Kitchen", "room_alias_name": "kitchen"})
		c.bob.Post(in(room, "join"), object{}).OK()
		say(c.alice, room, "before", "before there was a pusher")
		c.bob.Post(setPusher, g.pusher("k")).OK()
		say(c.bob, room, "own", "this reads what is before it")
		first := say(c.alice, room, "1", "<one>")
		n := g.next()
		devices, _ := n["devices"].([]any)
		device, _ := devices[0].(map[string]any)
		if ts, _ := device["pushkey_ts"].(float64); ts < 1e9 || ts > 1e10 {
			t.Errorf("pushkey_ts %v", device["pushkey_ts"])
		}
		delete(device, "pushkey_ts")
		equal(t, n, object{
			"event_id": first, "room_id": room, "type": "m.room.message", "sender": c.alice.UserID, "sender_display_name": "alice",
			"room_name": "Kitchen", "room_alias": "#kitchen:" + homeservertest.ServerName, "prio": "high",
			"content": object{"msgtype": "m.text", "body": "<one>"}, "counts": object{"unread": 1},
			"devices": []object{{
				"app_id": "org.example", "pushkey": "k", "data": object{"brand": "x"}, "tweaks": object{"sound": "default"},
			}},
		})
		c.carol.Post(in(room, "join"), object{}).OK()
		say(c.bob, room, "2", "own messages are not pushed, but the badge changes")
		equal(t, g.counts(), object{"unread": 0})
		sendContent(c.alice, room, "m.room.message", "3", object{"msgtype": "m.notice", "body": "no"})
		second := say(c.alice, room, "4", "two")
		if n := g.next(); n["event_id"] != second || n["prio"] != "low" {
			t.Errorf("told %v, want %s", n, second)
		}
		third := sendContent(c.alice, room, "m.room.message", "5", mention(c.bob))
		n = g.next()
		equal(t, n["counts"], object{"unread": 2})
		if n["event_id"] != third {
			t.Errorf("told %v, want %s", n, third)
		}
		c.bob.Post(in(room, "receipt", "m.read.private", second), object{}).OK()
		equal(t, g.counts(), object{"unread": 1})
		invitation := createRoom(c.alice, object{"invite": []string{c.bob.UserID}})
		if n := g.next(); n["room_id"] != invitation || n["type"] != "m.room.member" || n["user_is_target"] != true {
			t.Errorf("told %v of an invitation", n)
		}
		g.nothing()
	})
}

// counts waits for an update of the counts alone.
func (g *gateway) counts() any {
	g.t.Helper()
	n := g.next()
	if n["event_id"] != nil {
		g.t.Errorf("told %v, want counts alone", n)
	}
	return n["counts"]
}

// equal compares two values by their JSON.
func equal(t *testing.T, got, want any) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestPushersThatWantIDsAreToldNoMore(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := c.publicRoom(c.bob)
		p := g.pusher("k")
		p["data"] = object{"url": g.url, "format": "event_id_only"}
		c.bob.Post(setPusher, p).OK()
		id := sendContent(c.alice, room, "m.room.message", "1", mention(c.bob))
		n := g.next()
		devices, _ := n["devices"].([]any)
		device, _ := devices[0].(map[string]any)
		delete(device, "pushkey_ts")
		equal(t, n, object{
			"event_id": id, "room_id": room, "counts": object{"unread": 1},
			"devices": []object{{"app_id": "org.example", "pushkey": "k", "data": object{"format": "event_id_only"}}},
		})
	})
}

func TestWhatAGatewayMissedIsToldLater(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := c.publicRoom(c.bob)
		c.bob.Post(setPusher, g.pusher("k")).OK()
		g.says("fail")
		first := say(c.alice, room, "1", "one")
		if n := g.next(); n["event_id"] != first {
			t.Errorf("told %v", n)
		}
		c.server.Restart() // forgets nothing
		g.says(`{"rejected":["another"]}`)
		g.clock.Add(int64(time.Hour))
		second := say(c.alice, room, "2", "two")
		for _, want := range []string{first, second} {
			if n := g.next(); n["event_id"] != want {
				t.Errorf("told %v, want %s", n, want)
			}
		}
		third := say(c.alice, room, "3", "three")
		if n := g.next(); n["event_id"] != third {
			t.Errorf("told %v, want %s", n, third)
		}
		if c.pushers(c.bob) != 1 {
			t.Error("the pusher is gone although another key was rejected")
		}
	})
}

func TestWhatIsReadOrTooOldIsNotToldLater(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := c.publicRoom(c.bob)
		c.bob.Post(setPusher, g.pusher("k")).OK()
		g.says("fail")
		say(c.alice, room, "1", "one")
		g.next()
		c.server.Stop()
		g.says("{}")
		g.clock.Add(int64(25 * time.Hour))
		c.server.Start()
		read := say(c.alice, room, "2", "two")
		if n := g.next(); n["event_id"] != read {
			t.Errorf("told %v, want %s", n, read)
		}
	})
}

func TestARejectedPusherIsRemoved(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := c.publicRoom(c.bob, c.carol)
		g.says(`{"rejected":["k"]}`)
		c.bob.Post(setPusher, g.pusher("k")).OK()
		c.carol.Post(setPusher, g.pusher("k2")).OK()
		say(c.alice, room, "1", "one")
		g.next()
		g.next()
		for c.pushers(c.bob) != 0 && t.Context().Err() == nil { // the answer is on its way
			runtime.Gosched()
		}
		second := say(c.alice, room, "2", "two")
		if n := g.next(); n["event_id"] != second || !strings.Contains(jsonOf(t, n), `"k2"`) {
			t.Errorf("told %v", n)
		}
		g.nothing()
		if c.pushers(c.carol) != 1 {
			t.Error("a pusher that was not rejected is gone")
		}
	})
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAPusherGoesWithItsDevice(t *testing.T) {
	eachGateway(t, func(t *testing.T, c *chat, g *gateway) {
		room := c.publicRoom(c.bob, c.carol)
		phone := c.server.Login("bob", "PHONE")
		phone.Post(setPusher, g.pusher("phone")).OK()
		c.bob.Post(setPusher, g.pusher("desk")).OK()
		phone.Post(client+"/logout", object{}).OK()
		if c.pushers(c.bob) != 1 {
			t.Error("the pusher outlives its device")
		}
		say(c.alice, room, "1", "one")
		if n := g.next(); !strings.Contains(jsonOf(t, n), `"desk"`) {
			t.Errorf("told %v", n)
		}
		say(c.alice, room, "2", "two")
		if n := g.next(); !strings.Contains(jsonOf(t, n), `"desk"`) {
			t.Errorf("told %v", n)
		}
	})
}

func TestOneReplicaTellsAGateway(t *testing.T) {
	g := newGateway(t)
	o := g.options()
	o.Postgres = true
	s := homeservertest.New(t, o)
	c := &chat{t: t, server: s, alice: s.Register("alice"), bob: s.Register("bob")}
	room := c.publicRoom(c.bob)
	other := s.Replica()
	there := other.Login("alice", "THERE")
	c.bob.Post(setPusher, g.pusher("k")).OK()
	for i := range 10 {
		sender := c.alice
		if i%2 == 0 {
			sender = there
		}
		id := say(sender, room, string(rune('a'+i)), "x")
		if n := g.next(); n["event_id"] != id {
			t.Errorf("told %v, want %s", n, id)
		}
	}
	g.nothing()
}
