// SPDX-License-Identifier: Apache-2.0

package event

import (
	"strings"
	"testing"
)

func TestClientFormat(t *testing.T) {
	d := draft(t, "10")
	d.Type, d.StateKey, d.Content, d.Unsigned = "m.room.topic", ptr("k\""), []byte(`{"topic":"\u0000<\u00e9>"}`), []byte(`{"age":1}`)
	e := mustBuild(t, "10", d)
	full := `{"content":{"topic":"\u0000<é>"},"event_id":"` + string(e.ID()) + `","origin_server_ts":1700000000000,"room_id":"!r:domain","sender":"@u:domain","state_key":"k\"","type":"m.room.topic"`
	tests := []struct {
		name string
		view ClientView
		want string
	}{
		{"without unsigned, the event's own is not shown", ClientView{}, full + `}`},
		{"with unsigned", ClientView{Unsigned: []byte(`{"age":12}`)}, full + `,"unsigned":{"age":12}}`},
		{"for sync, without the room", ClientView{OmitRoomID: true}, strings.Replace(full, `"room_id":"!r:domain",`, "", 1) + `}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(e.AppendClient([]byte("before "), test.view)); got != "before "+test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	want := `{"content":{"topic":"\u0000<é>"},"sender":"@u:domain","state_key":"k\"","type":"m.room.topic"}`
	if got := string(e.AppendStripped(nil)); got != want {
		t.Errorf("stripped %s, want %s", got, want)
	}
}
