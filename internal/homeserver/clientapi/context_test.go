// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestContextIsWhatLiesAroundAnEvent(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{"preset": "public_chat"})
		ids := make([]string, 9)
		for i := range ids {
			ids[i] = alice.Put(roomPath(room, fmt.Sprintf("/send/m.room.message/%d", i)), object{"msgtype": "m.text", "body": fmt.Sprint(i)}).OK().String("event_id")
		}
		path := func(id, query string) string { return roomPath(room, "/context/"+url.PathEscape(id)+query) }
		bodies := func(r *homeservertest.Response, list string) string {
			text := ""
			for _, e := range r.Value(list).([]any) {
				text += e.(object)["content"].(object)["body"].(string)
			}
			return text
		}
		got := alice.Get(path(ids[4], "?limit=4")).OK()
		if got.String("event", "event_id") != ids[4] || bodies(got, "events_before") != "32" || bodies(got, "events_after") != "56" {
			t.Errorf("around 4: before %s, after %s", bodies(got, "events_before"), bodies(got, "events_after"))
		}
		if len(got.Value("state").([]any)) == 0 {
			t.Error("there is no state")
		}
		// The tokens go on where the context ends.
		older := alice.Get(roomPath(room, "/messages?dir=b&limit=1&from="+got.String("start"))).OK()
		newer := alice.Get(roomPath(room, "/messages?dir=f&limit=1&from="+got.String("end"))).OK()
		if bodies(older, "chunk") != "1" || bodies(newer, "chunk") != "7" {
			t.Errorf("further pages are %s and %s, want 1 and 7", bodies(older, "chunk"), bodies(newer, "chunk"))
		}
		if alone := alice.Get(path(ids[4], "?limit=0")).OK(); bodies(alone, "events_before")+bodies(alone, "events_after") != "" {
			t.Error("limit 0 returned others")
		}

		s.Client().Get(path(ids[4], "")).Refused(401, "M_MISSING_TOKEN")
		bob.Get(path(ids[4], "")).Refused(403, "M_FORBIDDEN")
		alice.Get(path("$none", "")).Refused(404, "M_NOT_FOUND")
		alice.Get(path(ids[4], "?limit=-1")).Refused(400, "M_INVALID_PARAM")
		alice.Get(path(ids[4], "?limit=x")).Refused(400, "M_INVALID_PARAM")
		alice.Get(path(ids[4], "?filter=x")).Refused(400, "M_BAD_JSON")

		other := createRoom(alice, object{})
		alice.Get(roomPath(other, "/context/"+url.PathEscape(ids[4]))).Refused(404, "M_NOT_FOUND")
		bob.Post(clientV3+"/join/"+url.PathEscape(room), object{}).OK()
		bob.Get(path(ids[4], "")).OK() // shared history
		bob.Post(roomPath(room, "/leave"), object{}).OK()
		late := alice.Put(roomPath(room, "/send/m.room.message/late"), object{"msgtype": "m.text", "body": "late"}).OK().String("event_id")
		bob.Get(path(late, "")).Refused(404, "M_NOT_FOUND")
	})
}

func TestTagsArePutOnRoomsByTheirUser(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{})
		tags := clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/tags"
		alice.Get(tags).OK().Equal(`{"tags":{}}`)
		alice.Put(tags+"/m.favourite", object{"order": 0.25}).OK()
		alice.Put(tags+"/u.work", object{}).OK()
		alice.Get(tags).OK().Equal(`{"tags":{"m.favourite":{"order":0.25},"u.work":{}}}`)
		alice.Do("DELETE", tags+"/u.work", nil).OK()
		alice.Do("DELETE", tags+"/u.absent", nil).OK()
		alice.Get(tags).OK().Equal(`{"tags":{"m.favourite":{"order":0.25}}}`)
		alice.Get(clientV3 + "/user/{user}/rooms/" + url.PathEscape(room) + "/account_data/m.tag").OK().Equal(`{"tags":{"m.favourite":{"order":0.25}}}`)

		alice.Put(tags+"/m.favourite", object{"order": "first"}).Refused(400, "M_BAD_JSON")
		bob.Put(clientV3+"/user/"+url.PathEscape(alice.UserID)+"/rooms/"+url.PathEscape(room)+"/tags/x", object{}).Refused(403, "M_FORBIDDEN")
		bob.Get(clientV3+"/user/"+url.PathEscape(alice.UserID)+"/rooms/"+url.PathEscape(room)+"/tags").Refused(403, "M_FORBIDDEN")
		s.Client().Get(clientV3+"/user/"+url.PathEscape(alice.UserID)+"/rooms/"+url.PathEscape(room)+"/tags").Refused(401, "M_MISSING_TOKEN")
	})
}
