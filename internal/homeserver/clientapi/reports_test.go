// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"net/url"
	"strings"
	"testing"
)

func TestReports(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := createRoom(c.alice, object{"invite": []any{c.bob.UserID}})
		c.bob.Post(in(room, "join"), object{}).OK()
		id := say(c.alice, room, "1", "rude")
		ofUser := func(user string) string { return clientV3 + "/users/" + url.PathEscape(user) + "/report" }
		reason, long := object{"reason": "rude"}, object{"reason": strings.Repeat("x", 4097)}
		for _, path := range []string{in(room, "report"), in(room, "report", id), ofUser(c.alice.UserID)} {
			c.bob.Post(path, reason).OK().Equal(`{}`)
			c.bob.Post(path, object{"reason": ""}).OK()
			c.bob.Post(path, object{"reason": "NUL \x00 and ü"}).OK()
			c.bob.Post(path, long).Refused(413, "M_TOO_LARGE")
			c.bob.Post(path, object{"reason": 5}).Refused(400, "M_BAD_JSON")
			c.bob.Post(path, "[]").Refused(400, "M_BAD_JSON")
			c.server.Client().Post(path, reason).Refused(401, "M_MISSING_TOKEN")
		}
		// A room need not be joined, and it is not told whether there is one.
		c.carol.Post(in(room, "report"), reason).OK().Equal(`{}`)
		c.carol.Post(in("!none:test.example", "report"), reason).OK().Equal(`{}`)
		c.carol.Post(in("none", "report"), reason).Refused(400, "M_INVALID_PARAM")
		c.bob.Post(in(room, "report"), object{}).Refused(400, "M_MISSING_PARAM")

		// An event is for those in the room; older clients gave no reason, or a score.
		c.bob.Post(in(room, "report", id), object{"score": -100}).OK()
		c.carol.Post(in(room, "report", id), reason).Refused(404, "M_NOT_FOUND")
		c.bob.Post(in(room, "report", "$none"), reason).Refused(404, "M_NOT_FOUND")
		c.bob.Post(in(c.publicRoom(c.bob), "report", id), reason).Refused(404, "M_NOT_FOUND")
		c.bob.Post(in(room, "leave"), object{}).OK()
		c.bob.Post(in(room, "report", id), reason).Refused(404, "M_NOT_FOUND")
		c.alice.Post(in(room, "ban"), object{"user_id": c.bob.UserID}).OK()
		c.bob.Post(in(room, "report", id), reason).Refused(404, "M_NOT_FOUND")

		c.bob.Post(ofUser("@none:test.example"), reason).Refused(404, "M_NOT_FOUND")
		c.bob.Post(ofUser("@someone:elsewhere.example"), reason).OK()
		c.bob.Post(ofUser("bob"), reason).Refused(400, "M_INVALID_PARAM")
		c.bob.Post(ofUser(c.alice.UserID), object{}).Refused(400, "M_MISSING_PARAM")
	})
}
