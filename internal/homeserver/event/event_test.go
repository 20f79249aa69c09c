// SPDX-License-Identifier: Apache-2.0

package event

import "testing"

const testRoom, testHashRoom = RoomID("!r:domain"), RoomID("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

// draft returns a message that every room version accepts.
func draft(t testing.TB, v RoomVersion) Draft {
	t.Helper()
	d := Draft{
		RoomID: testRoom, Type: "m.room.message", Sender: "@u:domain", Content: []byte(`{"msgtype":"m.text","body":"hello"}`),
		PrevEvents: []Reference{{ID: "$p:domain", Hash: make([]byte, 32)}},
		AuthEvents: []Reference{{ID: "$c:domain", Hash: make([]byte, 32)}, {ID: "$m:domain", Hash: make([]byte, 32)}},
		Depth:      7, OriginServerTS: 1700000000000,
	}
	if rules(t, v).RoomIDIsCreateHash {
		d.RoomID = testHashRoom
	}
	return d
}
