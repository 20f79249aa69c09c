// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// roomAnswers is what each route that names a room answers to whom: a member
// without a level of their own, somebody with an invitation, somebody who had
// nothing to do with the room, those who left or were banned after they had
// been members, and about a room that does not exist. The room is private. A
// number is a refusal: 403 M_FORBIDDEN, 404 M_NOT_FOUND, 400 M_UNKNOWN. What
// ok shows is looked at as well; see leaks.
//
//nolint:dupword // a table
const roomAnswers = `
# route                                                          member invited stranger left banned nowhere
GET /unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary     ok     ok      404      404  404    404
GET /unstable/im.nheko.summary/summary/{roomIdOrAlias}           ok     ok      404      404  404    404
GET /v1/room_summary/{roomIdOrAlias}                             ok     ok      404      404  404    404
GET /v1/rooms/{roomId}/hierarchy                                 ok     ok      403      403  403    403
GET /v1/rooms/{roomId}/relations/{eventId}                       ok     404     404      ok   ok     404
GET /v1/rooms/{roomId}/relations/{eventId}/{relType}             ok     404     404      ok   ok     404
GET /v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType} ok     404     404      ok   ok     404
GET /v1/rooms/{roomId}/threads                                   ok     403     403      ok   ok     403
GET /v1/rooms/{roomId}/timestamp_to_event                        ok     403     403      ok   ok     403
GET /v3/directory/list/room/{roomId}                             ok     ok      ok       ok   ok     404
PUT /v3/directory/list/room/{roomId}                             403    403     403      403  403    404
DELETE /v3/directory/room/{roomAlias}                            403    403     403      403  403    404
GET /v3/directory/room/{roomAlias}                               ok     ok      ok       ok   ok     404
PUT /v3/directory/room/{roomAlias}                               ok     403     403      403  403    404
POST /v3/join/{roomIdOrAlias}                                    ok     ok      403      403  403    404
POST /v3/knock/{roomIdOrAlias}                                   403    403     403      403  403    404
DELETE /v3/room_keys/keys/{roomId}                               ok     ok      ok       ok   ok     ok
GET /v3/room_keys/keys/{roomId}                                  ok     ok      ok       ok   ok     ok
PUT /v3/room_keys/keys/{roomId}                                  ok     ok      ok       ok   ok     ok
DELETE /v3/room_keys/keys/{roomId}/{sessionId}                   ok     ok      ok       ok   ok     ok
GET /v3/room_keys/keys/{roomId}/{sessionId}                      404    404     404      404  404    404
PUT /v3/room_keys/keys/{roomId}/{sessionId}                      ok     ok      ok       ok   ok     ok
GET /v3/rooms/{roomId}/aliases                                   ok     403     403      403  403    403
POST /v3/rooms/{roomId}/ban                                      403    403     403      403  403    403
GET /v3/rooms/{roomId}/context/{eventId}                         ok     404     404      ok   ok     404
GET /v3/rooms/{roomId}/event/{eventId}                           ok     404     404      ok   ok     404
POST /v3/rooms/{roomId}/forget                                   400    400     404      ok   ok     404
POST /v3/rooms/{roomId}/invite                                   ok     403     403      403  403    403
POST /v3/rooms/{roomId}/join                                     ok     ok      403      403  403    404
GET /v3/rooms/{roomId}/joined_members                            ok     403     403      403  403    403
POST /v3/rooms/{roomId}/kick                                     403    403     403      403  403    403
POST /v3/rooms/{roomId}/leave                                    ok     ok      403      ok   403    403
GET /v3/rooms/{roomId}/members                                   ok     403     403      ok   ok     403
GET /v3/rooms/{roomId}/messages                                  ok     403     403      ok   ok     403
POST /v3/rooms/{roomId}/read_markers                             ok     403     403      403  403    403
POST /v3/rooms/{roomId}/receipt/{receiptType}/{eventId}          ok     403     403      403  403    403
PUT /v3/rooms/{roomId}/redact/{eventId}/{txnId}                  403    403     403      403  403    403
POST /v3/rooms/{roomId}/report                                   ok     ok      ok       ok   ok     ok
POST /v3/rooms/{roomId}/report/{eventId}                         ok     404     404      404  404    404
PUT /v3/rooms/{roomId}/send/{eventType}/{txnId}                  ok     403     403      403  403    403
GET /v3/rooms/{roomId}/state                                     ok     403     403      ok   ok     403
GET /v3/rooms/{roomId}/state/{eventType}/{stateKey?}             ok     403     403      ok   ok     403
PUT /v3/rooms/{roomId}/state/{eventType}/{stateKey?}             403    403     403      403  403    403
PUT /v3/rooms/{roomId}/typing/{userId}                           ok     403     403      403  403    403
POST /v3/rooms/{roomId}/unban                                    403    403     403      403  403    403
POST /v3/rooms/{roomId}/upgrade                                  403    403     403      403  403    403
GET /v3/user/{userId}/rooms/{roomId}/account_data/{type}         404    404     404      404  404    404
PUT /v3/user/{userId}/rooms/{roomId}/account_data/{type}         ok     ok      404      ok   ok     404
GET /v3/user/{userId}/rooms/{roomId}/tags                        ok     ok      ok       ok   ok     ok
DELETE /v3/user/{userId}/rooms/{roomId}/tags/{tag}               ok     ok      404      ok   ok     404
PUT /v3/user/{userId}/rooms/{roomId}/tags/{tag}                  ok     ok      404      ok   ok     404
`

// roomInputs are the query and the body of those routes that need one.
var roomInputs = map[string]struct {
	query string
	body  object
}{
	"POST /v3/rooms/{roomId}/ban":                    {body: object{"user_id": "@dave:test.example"}},
	"POST /v3/rooms/{roomId}/kick":                   {body: object{"user_id": "@dave:test.example"}},
	"POST /v3/rooms/{roomId}/unban":                  {body: object{"user_id": "@banned:test.example"}},
	"POST /v3/rooms/{roomId}/invite":                 {body: object{"user_id": "@eve:test.example"}},
	"POST /v3/rooms/{roomId}/upgrade":                {body: object{"new_version": "11"}},
	"POST /v3/rooms/{roomId}/report":                 {body: object{"reason": "x"}},
	"PUT /v3/rooms/{roomId}/typing/{userId}":         {body: object{"typing": true}},
	"GET /v3/rooms/{roomId}/messages":                {query: "?dir=b&limit=100"},
	"GET /v1/rooms/{roomId}/timestamp_to_event":      {query: "?dir=f&ts=0"},
	"GET /v3/room_keys/keys/{roomId}":                {query: "?version=1"},
	"GET /v3/room_keys/keys/{roomId}/{sessionId}":    {query: "?version=1"},
	"DELETE /v3/room_keys/keys/{roomId}":             {query: "?version=1"},
	"DELETE /v3/room_keys/keys/{roomId}/{sessionId}": {query: "?version=1"},
	"PUT /v3/room_keys/keys/{roomId}":                {query: "?version=1", body: object{"sessions": object{}}},
	"PUT /v3/room_keys/keys/{roomId}/{sessionId}": {query: "?version=1", body: object{
		"first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": object{},
	}},
}

// roomStage is those who stand in different ways to the rooms of alice.
type roomStage struct {
	*chat
	viewers map[string]*homeservertest.Client
	rooms   int
}

func newRoomStage(c *chat) *roomStage {
	s := &roomStage{chat: c, viewers: map[string]*homeservertest.Client{}}
	for _, name := range []string{"member", "invited", "stranger", "left", "banned", "nowhere"} {
		s.viewers[name] = c.server.Register(name)
		s.viewers[name].Post(clientV3+"/room_keys/version", object{
			"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": object{},
		}).OK()
	}
	c.server.Register("dave")
	c.server.Register("eve")
	return s
}

// room makes a room in which everybody is what they are called. What only
// members may know says "secret"; what those may not who are no longer, "later".
// It returns what fills the path of a route about this room.
func (s *roomStage) room() map[string]string {
	s.rooms++
	member, left, banned := s.viewers["member"], s.viewers["left"], s.viewers["banned"]
	name := fmt.Sprintf("room%d", s.rooms)
	id := createRoom(s.alice, object{"room_alias_name": name, "name": "secret", "invite": []string{
		member.UserID, s.viewers["invited"].UserID, left.UserID, banned.UserID, "@dave:test.example",
	}})
	for _, c := range []*homeservertest.Client{member, left, banned} {
		c.Post(in(id, "join"), object{}).OK()
	}
	root := say(s.alice, id, "1", "secret")
	left.Post(in(id, "leave"), object{}).OK()
	s.alice.Post(in(id, "ban"), object{"user_id": banned.UserID}).OK()
	s.alice.Put(in(id, "send", "m.reaction", "2"), object{
		"m.relates_to": object{"rel_type": "m.annotation", "event_id": root, "key": "secret and later"},
	}).OK()
	s.alice.Put(in(id, "state", "m.room.name", ""), object{"name": "secret and later"}).OK()
	return map[string]string{
		"roomId": id, "roomIdOrAlias": id, "roomAlias": "#" + name + ":test.example", "eventId": root,
		"relType": "m.annotation", "receiptType": "m.read", "txnId": "t", "tag": "u.tag", "type": "org.example.type", "sessionId": "s",
	}
}

// call calls a route as one of the viewers.
func (s *roomStage) call(name, viewer string, values map[string]string) *homeservertest.Response {
	c, input, room := s.viewers[viewer], roomInputs[name], values["roomId"]
	method, path, _ := strings.Cut(name, " ")
	values = maps.Clone(values)
	values["userId"], values["eventType"] = c.UserID, "m.room.name"
	body := bodyFor(method)
	switch {
	case input.body != nil:
		body = input.body
	case strings.Contains(path, "/send/"):
		values["eventType"] = "m.room.message"
	case name == "PUT /v3/directory/room/{roomAlias}":
		values["roomAlias"] = fmt.Sprintf("#new%d%s:test.example", s.rooms, viewer)
		body = object{"room_id": room}
	}
	return c.Do(method, fill("/_matrix/client"+path, values)+input.query, body)
}

// leaks is what must not be in an answer to a viewer.
func leaks(name, viewer string) string {
	switch viewer {
	case "left", "banned":
		return "later"
	case "stranger", "nowhere":
		return "secret"
	case "invited":
		// They may see what a room shows of itself to those who may join.
		if !strings.Contains(name, "summary") && !strings.HasSuffix(name, "/hierarchy") {
			return "secret"
		}
	}
	return "\x00"
}

// roomRows parses roomAnswers.
func roomRows() (viewers []string, rows map[string][]string) {
	rows = map[string][]string{}
	for i, line := range strings.Split(strings.TrimSpace(roomAnswers), "\n") {
		cells := strings.Fields(line)
		if i == 0 {
			viewers = cells[2:]
			continue
		}
		rows[cells[0]+" "+cells[1]] = cells[2:]
	}
	return viewers, rows
}

// TestWhoMayDoWhatWithARoom goes through every route that names a room.
func TestWhoMayDoWhatWithARoom(t *testing.T) {
	viewers, rows := roomRows()
	codes := map[string]string{"400": "M_UNKNOWN", "403": "M_FORBIDDEN", "404": "M_NOT_FOUND"}
	for _, r := range clientRoutes() {
		name := r.Method + " " + strings.TrimPrefix(r.Path, "/_matrix/client")
		if strings.Contains(name, "{room") && rows[name] == nil {
			t.Errorf("%s has no line in the table", name)
		}
	}
	eachChat(t, func(t *testing.T, c *chat) {
		s := newRoomStage(c)
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			values := s.room()
			for i, viewer := range viewers {
				if viewer == "nowhere" {
					values["roomId"], values["roomIdOrAlias"], values["roomAlias"] = "!none:test.example", "!none:test.example", "#none:test.example"
				}
				got := s.call(name, viewer, values)
				if want := rows[name][i]; want != "ok" {
					status := int(want[0]-'0')*100 + int(want[2]-'0')
					got.Refused(status, codes[want])
				} else if got.Status != 200 {
					t.Errorf("%s as %s: %d %s, want 200", name, viewer, got.Status, got.Body)
				}
				if want := rows[name][i]; want == "ok" && strings.HasSuffix(name, "/messages") && !strings.Contains(string(got.Body), "secret") {
					t.Errorf("%s does not show %s what was said while they were there: %s", name, viewer, got.Body)
				}
				if strings.Contains(string(got.Body), leaks(name, viewer)) {
					t.Errorf("%s shows %s what they must not see: %s", name, viewer, got.Body)
				}
			}
			values["roomId"], values["roomIdOrAlias"], values["roomAlias"] = "!a\x00b:test.example", "!a\x00b:test.example", "#a\x00b:test.example"
			if name != "PUT /v3/directory/room/{roomAlias}" { // it names the room in its body
				s.call(name, "member", values).Refused(400, "M_INVALID_PARAM")
			}
		}
	})
}

// TestAStrangerLearnsNothingOfARoom compares what is answered to somebody who
// sends into a room that they have nothing to do with and into none at all.
func TestAStrangerLearnsNothingOfARoom(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{})
		event := say(c.alice, room, "1", "secret")
		inThread := c.alice.Put(in(room, "send", "m.room.message", "2"), object{
			"body": "x", "m.relates_to": object{"rel_type": "m.thread", "event_id": event},
		}).OK().String("event_id")
		for name, call := range map[string]struct {
			method string
			path   []string
			body   any
		}{
			"redacting what is there":       {"PUT", []string{"redact", event, "t1"}, object{}},
			"redacting what is not":         {"PUT", []string{"redact", "$none", "t2"}, object{}},
			"redacting by hand":             {"PUT", []string{"send", "m.room.redaction", "t3"}, object{}},
			"a thread in a thread":          {"PUT", []string{"send", "m.room.message", "t4"}, object{"m.relates_to": object{"rel_type": "m.thread", "event_id": inThread}}},
			"content that is not canonical": {"PUT", []string{"send", "m.room.message", "t5"}, object{"a": 1.5}},
			"an alias that is none":         {"PUT", []string{"state", "m.room.canonical_alias"}, object{"alias": "#none:test.example"}},
			"levels that are none":          {"PUT", []string{"state", "m.room.power_levels"}, object{"users": 5}},
			"somebody who is none":          {"PUT", []string{"state", "m.room.member", "nobody"}, object{"membership": "join"}},
			"kicking who is not there":      {"POST", []string{"kick"}, object{"user_id": c.carol.UserID}},
			"unbanning who is not banned":   {"POST", []string{"unban"}, object{"user_id": c.carol.UserID}},
			"inviting who is there":         {"POST", []string{"invite"}, object{"user_id": c.alice.UserID}},
			"a receipt":                     {"POST", []string{"receipt", "m.read", event}, object{}},
			"the end of the room":           {"POST", []string{"upgrade"}, object{"new_version": "11"}},
		} {
			here := c.bob.Do(call.method, in(room, call.path...), call.body).Refused(403, "M_FORBIDDEN")
			nowhere := c.bob.Do(call.method, in("!none:test.example", call.path...), call.body).Refused(403, "M_FORBIDDEN")
			if string(here.Body) != string(nowhere.Body) {
				t.Errorf("%s: %s, in a room that does not exist %s", name, here.Body, nowhere.Body)
			}
		}
	})
}
