// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const clientV3 = "/_matrix/client/v3"

func aliasPath(alias string) string { return clientV3 + "/directory/room/" + url.PathEscape(alias) }

func roomPath(room, rest string) string { return clientV3 + "/rooms/" + url.PathEscape(room) + rest }

func TestH48AliasesPointToRoomsAndBelongToWhoMadeThem(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob, carol := s.Register("alice"), s.Register("bob"), s.Register("carol")
		room := createRoom(alice, object{"preset": "public_chat"})
		bob.Post(clientV3+"/join/"+url.PathEscape(room), object{}).OK()
		const alias = "#lobby:test.example"

		s.Client().Put(aliasPath(alias), object{"room_id": room}).Refused(401, "M_MISSING_TOKEN")
		carol.Put(aliasPath(alias), object{"room_id": room}).Refused(403, "M_FORBIDDEN")
		alice.Put(aliasPath("#lobby:other.example"), object{"room_id": room}).Refused(400, "M_INVALID_PARAM")
		alice.Put(aliasPath("lobby"), object{"room_id": room}).Refused(400, "M_INVALID_PARAM")
		alice.Put(aliasPath(alias), object{}).Refused(400, "M_MISSING_PARAM")
		alice.Put(aliasPath(alias), object{"room_id": "!none:test.example"}).Refused(404, "M_NOT_FOUND")
		bob.Put(aliasPath(alias), object{"room_id": room}).OK()
		alice.Put(aliasPath(alias), object{"room_id": room}).Refused(409, "M_UNKNOWN")

		s.Client().Get(aliasPath(alias)).OK().Equal(`{"room_id":"` + room + `","servers":["test.example"]}`)
		s.Client().Get(aliasPath("#none:test.example")).Refused(404, "M_NOT_FOUND")
		alice.Get(roomPath(room, "/aliases")).OK().Equal(`{"aliases":["` + alias + `"]}`)
		carol.Get(roomPath(room, "/aliases")).Refused(403, "M_FORBIDDEN")
		if got := carol.Post(clientV3+"/join/"+url.PathEscape(alias), object{}).OK().String("room_id"); got != room {
			t.Errorf("joined %s by the alias of %s", got, room)
		}

		carol.Do("DELETE", aliasPath(alias), nil).Refused(403, "M_FORBIDDEN")
		alice.Do("DELETE", aliasPath("#none:test.example"), nil).Refused(404, "M_NOT_FOUND")
		bob.Do("DELETE", aliasPath(alias), nil).OK() // who made it
		bob.Put(aliasPath(alias), object{"room_id": room}).OK()
		alice.Do("DELETE", aliasPath(alias), nil).OK() // who may set the canonical alias
		s.Client().Get(aliasPath(alias)).Refused(404, "M_NOT_FOUND")
	})
}

func TestADeletedAliasIsTakenOutOfTheRoomsState(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := createRoom(c.alice, object{"preset": "public_chat", "room_alias_name": "main"})
		c.bob.Post(in(room, "join"), object{}).OK()
		for _, alias := range []string{"#one:test.example", "#two:test.example"} {
			c.bob.Put(aliasPath(alias), object{"room_id": room}).OK()
		}
		canonical := in(room, "state", "m.room.canonical_alias")
		c.alice.Put(canonical, object{
			"alias": "#main:test.example", "alt_aliases": []any{"#one:test.example", "#two:test.example"}, "x": 1,
		}).OK()
		c.alice.Do("DELETE", aliasPath("#one:test.example"), nil).OK()
		c.alice.Get(canonical).OK().Equal(`{"alias":"#main:test.example","alt_aliases":["#two:test.example"],"x":1}`)
		// Bob may delete his alias, but not change the state.
		c.bob.Do("DELETE", aliasPath("#two:test.example"), nil).OK()
		c.alice.Get(canonical).OK().Equal(`{"alias":"#main:test.example","alt_aliases":["#two:test.example"],"x":1}`)
		c.alice.Do("DELETE", aliasPath("#main:test.example"), nil).OK()
		c.alice.Get(canonical).OK().Equal(`{"alt_aliases":["#two:test.example"],"x":1}`)
		// An alias that points elsewhere, or nowhere, is not one of the room's.
		c.alice.Put(canonical, object{"alias": "#main:test.example"}).Refused(400, "M_BAD_ALIAS")
		c.alice.Put(canonical, object{"alias": "nonsense"}).Refused(400, "M_INVALID_PARAM")
	})
}

func TestAliasesAreForThoseInTheRoom(t *testing.T) {
	eachChat(t, func(_ *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		for _, gone := range []func(){
			func() { c.bob.Post(in(room, "leave"), object{}).OK() },
			func() { c.alice.Post(in(room, "ban"), object{"user_id": c.bob.UserID}).OK() },
		} {
			gone()
			c.bob.Put(aliasPath("#mine:test.example"), object{"room_id": room}).Refused(403, "M_FORBIDDEN")
			c.bob.Get(roomPath(room, "/aliases")).Refused(403, "M_FORBIDDEN")
			c.bob.Put(clientV3+"/directory/list/room/"+url.PathEscape(room), object{"visibility": "public"}).Refused(403, "M_FORBIDDEN")
		}
		c.server.Client().Put(clientV3+"/directory/list/room/"+url.PathEscape(room), object{}).Refused(401, "M_MISSING_TOKEN")
		c.server.Client().Get(roomPath(room, "/aliases")).Refused(401, "M_MISSING_TOKEN")
		c.server.Client().Do("DELETE", aliasPath("#x:test.example"), nil).Refused(401, "M_MISSING_TOKEN")
		c.alice.Put(in(room, "state", "m.room.history_visibility", ""), object{"history_visibility": "world_readable"}).OK()
		c.bob.Get(roomPath(room, "/aliases")).OK().Equal(`{"aliases":[]}`)
		c.bob.Get(roomPath("!none:test.example", "/aliases")).Refused(403, "M_FORBIDDEN")
	})
}

func TestTheRoomDirectoryIsPagedInBothDirections(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		for i := range 7 {
			createRoom(c.alice, object{"visibility": "public", "name": fmt.Sprint(i)})
		}
		page := func(since string) (names, next, prev string) {
			r := c.server.Client().Get(clientV3 + "/publicRooms?limit=3&since=" + since).OK()
			for _, room := range r.Value("chunk").([]any) {
				names += room.(object)["name"].(string)
			}
			if r.Value("total_room_count_estimate") != 7.0 {
				t.Errorf("total of %s", r.Body)
			}
			return names, r.String("next_batch"), r.String("prev_batch")
		}
		first, next, prev := page("")
		second, next2, prev2 := page(next)
		third, next3, prev3 := page(next2)
		if first+second+third != "6543210" || prev != "" || next3 != "" {
			t.Errorf("pages %s, %s and %s, before %q, behind %q", first, second, third, prev, next3)
		}
		if again, _, _ := page(prev3); again != second {
			t.Errorf("before the third page comes %s", again)
		}
		again, nextAgain, prevAgain := page(prev2)
		if again != first || prevAgain != "" {
			t.Errorf("before the second page comes %s, before that %q", again, prevAgain)
		}
		if names, _, _ := page(nextAgain); names != second {
			t.Errorf("behind the first page comes %s", names)
		}
		for _, since := range []string{"n", "n_", "x1_1", "n1_x", "n99999999999999999999_1"} {
			c.alice.Get(clientV3+"/publicRooms?since="+since).Refused(400, "M_INVALID_PARAM")
		}
		c.alice.Get(clientV3+"/publicRooms?server=other.example").Refused(404, "M_NOT_FOUND")
		c.alice.Get(clientV3 + "/publicRooms?limit=1099511627776&server=test.example").OK()
	})
}

func TestTheRoomDirectoryHasWhatItsOwnersPutThere(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{"preset": "public_chat", "name": "Lobby", "topic": "for all"})
		listed := clientV3 + "/directory/list/room/" + url.PathEscape(room)

		s.Client().Get(listed).OK().Equal(`{"visibility":"private"}`)
		s.Client().Get(clientV3 + "/publicRooms").OK().Equal(`{"chunk":[],"total_room_count_estimate":0}`)
		bob.Put(listed, object{"visibility": "public"}).Refused(403, "M_FORBIDDEN")
		alice.Put(listed, object{"visibility": "secret"}).Refused(400, "M_INVALID_PARAM")
		alice.Put(clientV3+"/directory/list/room/"+url.PathEscape("!none:test.example"), object{"visibility": "public"}).Refused(404, "M_NOT_FOUND")
		alice.Put(listed, object{"visibility": "public"}).OK()
		s.Client().Get(listed).OK().Equal(`{"visibility":"public"}`)
		s.Client().Get(clientV3 + "/publicRooms").OK().Equal(`{"chunk":[{"room_id":"` + room + `","name":"Lobby","topic":"for all",
			"num_joined_members":1,"world_readable":false,"guest_can_join":false,"join_rule":"public"}],"total_room_count_estimate":1}`)

		// A new name is seen at once.
		alice.Put(roomPath(room, "/state/m.room.name/"), object{"name": "Hall"}).OK()
		if got := s.Client().Get(clientV3 + "/publicRooms").OK().Value("chunk").([]any)[0].(object)["name"]; got != "Hall" {
			t.Errorf("the directory calls the room %v", got)
		}
		alice.Put(listed, object{"visibility": "private"}).OK()
		s.Client().Get(clientV3 + "/publicRooms").OK().Equal(`{"chunk":[],"total_room_count_estimate":0}`)
	})
}

func TestTheRoomDirectoryIsPagedAndFiltered(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		for i := range 7 {
			body := object{"preset": "public_chat", "visibility": "public", "name": fmt.Sprintf("Room %d", i)}
			if i == 3 {
				body["creation_content"] = object{"type": "m.space"}
			}
			room := createRoom(alice, body)
			if i == 5 {
				bob.Post(clientV3+"/join/"+url.PathEscape(room), object{}).OK()
			}
		}
		var names []string
		since, pages := "", 0
		for {
			page := s.Client().Get(clientV3 + "/publicRooms?limit=3&since=" + since).OK()
			for _, room := range page.Value("chunk").([]any) {
				names = append(names, room.(object)["name"].(string))
			}
			pages++
			if since = page.String("next_batch"); since == "" {
				break
			}
		}
		if len(names) != 7 || names[0] != "Room 5" || pages != 3 {
			t.Errorf("%d pages: %v; the largest room comes first and each room once", pages, names)
		}
		search := func(filter object) []string {
			var found []string
			for _, room := range bob.Post(clientV3+"/publicRooms", object{"filter": filter}).OK().Value("chunk").([]any) {
				found = append(found, room.(object)["name"].(string))
			}
			return found
		}
		if got := search(object{"generic_search_term": "room 2"}); len(got) != 1 || got[0] != "Room 2" {
			t.Errorf("search found %v", got)
		}
		if got := search(object{"room_types": []any{"m.space"}}); len(got) != 1 || got[0] != "Room 3" {
			t.Errorf("spaces are %v", got)
		}
		if got := search(object{"room_types": []any{nil}}); len(got) != 6 {
			t.Errorf("rooms that are no spaces are %v", got)
		}
		s.Client().Post(clientV3+"/publicRooms", object{}).Refused(401, "M_MISSING_TOKEN")
		s.Client().Get(clientV3+"/publicRooms?since=x").Refused(400, "M_INVALID_PARAM")
		s.Client().Get(clientV3+"/publicRooms?limit=-1").Refused(400, "M_INVALID_PARAM")
	})
}
