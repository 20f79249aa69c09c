// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestH61ReceiptsAndTyping(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(_ *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		id := room(alice)
		event := message(alice, id, "1")
		receipt := client + "/rooms/" + id + "/receipt/m.read/" + event
		for _, body := range []string{`{"thread_id":""}`, `{"thread_id":5}`, `{"thread_id":{}}`, `{"thread_id":"$other"}`} {
			alice.Post(receipt, body).Refused(400, "M_INVALID_PARAM")
		}
		alice.Post(client+"/rooms/"+id+"/receipt/m.fully_read/"+event, `{"thread_id":"main"}`).Refused(400, "M_INVALID_PARAM")
		alice.Post(client+"/rooms/"+id+"/receipt/m.seen/"+event, `{}`).Refused(400, "M_INVALID_PARAM")
		alice.Post(receipt, `{"thread_id":"main"}`).OK()
		alice.Post(receipt, nil).OK()
		alice.Post(client+"/rooms/"+id+"/receipt/m.read.private/"+event, `{}`).OK()
		alice.Post(client+"/rooms/"+id+"/receipt/m.fully_read/"+event, `{}`).OK()
		bob.Post(receipt, `{}`).Refused(403, "M_FORBIDDEN")
		alice.Post(client+"/rooms/"+id+"/receipt/m.read/$unknown", `{}`).Refused(404, "M_NOT_FOUND")
		plain, _ := url.PathUnescape(event)
		alice.Post(client+"/rooms/"+id+"/read_markers", homeservertest.Object{"m.fully_read": plain, "m.read": plain, "m.read.private": plain}).OK()
		alice.Post(client+"/rooms/"+id+"/read_markers", `{}`).OK()
		alice.Post(client+"/rooms/"+id+"/read_markers", `{"m.fully_read":5}`).Refused(400, "M_BAD_JSON")

		typing := client + "/rooms/" + id + "/typing/"
		alice.Put(typing+url.PathEscape(bob.UserID), `{"typing":true}`).Refused(403, "M_FORBIDDEN")
		bob.Put(typing+"{user}", `{"typing":true}`).Refused(403, "M_FORBIDDEN")
		alice.Put(typing+"{user}", `{}`).Refused(400, "M_MISSING_PARAM")
		alice.Put(typing+"{user}", `{"typing":1}`).Refused(400, "M_BAD_JSON")
		alice.Put(typing+"{user}", `{"typing":true,"timeout":-1}`).Refused(400, "M_INVALID_PARAM")
		alice.Put(typing+"{user}", `{"typing":true,"timeout":1099511627776}`).OK().Equal(`{}`)
		alice.Put(typing+"{user}", `{"typing":false}`).OK()
	})
}
