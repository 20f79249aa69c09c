// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func TestARoomCanBeMadeAndUsedInEveryVersion(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		for _, version := range event.SupportedVersions() {
			id := s.create(rooms.CreateRequest{Version: version, Invite: []event.UserID{bob}})
			s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: id, Sender: bob}))
			s.send(id, bob, "hello")
			events := s.timeline(id)
			want := []string{
				"m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules",
				"m.room.history_visibility", "m.room.guest_access", "m.room.member", "m.room.member", "m.room.message",
			}
			if diff := cmp.Diff(want, types(events)); diff != "" {
				t.Errorf("version %s: %s", version, diff)
			}
			if got := s.info(id).Version; got != version {
				t.Errorf("version %s, want %s", got, version)
			}
			for i, ev := range events {
				if i > 0 && !slices.Contains(ev.PrevEvents(), events[i-1].ID()) {
					t.Errorf("version %s: event %d does not follow the one before", version, i)
				}
			}
		}
	})
}

func TestTheEventsOfANewRoomComeInTheSpecifiedOrder(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		name, topic := "Pub", "Happy hour"
		id := s.create(rooms.CreateRequest{
			Public: true, AliasName: "pub", Name: &name, Topic: &topic, Invite: []event.UserID{carol, bob, carol}, IsDirect: true,
			CreationContent: []byte(`{"m.federate":false,"creator":"@x:y","room_version":"1","type":"m.space"}`),
			PowerLevels:     []byte(`{"invite":77}`),
			InitialState: []rooms.InitialState{
				{Type: "m.room.history_visibility", Content: []byte(`{"history_visibility":"joined"}`)},
				{Type: "m.room.name", Content: []byte(`{"name":"overridden"}`)},
				{Type: "x", StateKey: "y", Content: []byte(`{"z":1}`)},
			},
		})
		want := []string{
			"m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias", "m.room.join_rules",
			"m.room.guest_access", "m.room.history_visibility", "x", "m.room.name", "m.room.topic", "m.room.member", "m.room.member",
		}
		if diff := cmp.Diff(want, types(s.timeline(id))); diff != "" {
			t.Error(diff)
		}
		for key, content := range map[event.StateKey]string{
			{Type: "m.room.create"}:                           `{"m.federate":false,"room_version":"12","type":"m.space"}`,
			{Type: "m.room.member", Key: string(alice)}:       `{"displayname":"Alice","membership":"join"}`,
			{Type: "m.room.member", Key: string(bob)}:         `{"displayname":"Bob","is_direct":true,"membership":"invite"}`,
			{Type: "m.room.canonical_alias"}:                  `{"alias":"#pub:test.example"}`,
			{Type: "m.room.join_rules"}:                       `{"join_rule":"public"}`,
			{Type: "m.room.history_visibility"}:               `{"history_visibility":"joined"}`,
			{Type: "m.room.guest_access"}:                     `{"guest_access":"forbidden"}`,
			{Type: "m.room.name"}:                             `{"name":"Pub"}`,
			{Type: "x", Key: "y"}:                             `{"z":1}`,
			{Type: "m.room.topic"}:                            `{"m.topic":{"m.text":[{"body":"Happy hour","mimetype":"text/plain"}]},"topic":"Happy hour"}`,
			{Type: "m.room.member", Key: "@nobody:elsewhere"}: "",
		} {
			if got := s.stateContent(id, key); got != content {
				t.Errorf("%v: %s, want %s", key, got, content)
			}
		}
		var levels struct {
			Invite int            `json:"invite"`
			Users  map[string]int `json:"users"`
			Events map[string]int `json:"events"`
		}
		s.must(json.Unmarshal([]byte(s.stateContent(id, event.StateKey{Type: "m.room.power_levels"})), &levels))
		if levels.Invite != 77 || len(levels.Users) != 0 || levels.Events["m.room.tombstone"] != 150 {
			t.Errorf("power levels %+v", levels)
		}
		got, err := s.AliasRoom(s.ctx, "#pub:test.example")
		if err != nil || got != id {
			t.Errorf("alias points to %s, %v", got, err)
		}
		joined, invited, err := s.Counts(s.ctx, s.info(id).NID)
		if err != nil || joined != 1 || invited != 2 {
			t.Errorf("%d joined, %d invited, %v", joined, invited, err)
		}
	})
}

func TestATrustedPrivateChatMakesEverybodyEqual(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		invite := []event.UserID{bob}
		id := s.create(rooms.CreateRequest{
			Preset: rooms.PresetTrusted, Invite: invite, CreationContent: []byte(`{"additional_creators":["@carol:test.example"]}`),
		})
		content := s.stateContent(id, event.StateKey{Type: "m.room.create"})
		if !strings.Contains(content, `"additional_creators":["@carol:test.example","@bob:test.example"]`) {
			t.Errorf("version 12: %s", content)
		}
		id = s.create(rooms.CreateRequest{Version: "11", Preset: rooms.PresetTrusted, Invite: invite})
		content = s.stateContent(id, event.StateKey{Type: "m.room.power_levels"})
		if !strings.Contains(content, `"users":{"@alice:test.example":100,"@bob:test.example":100}`) {
			t.Errorf("version 11: %s", content)
		}
	})
}

func TestARoomThatCannotBeIsNotMade(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.create(rooms.CreateRequest{AliasName: "taken"})
		for name, c := range map[string]struct {
			request rooms.CreateRequest
			code    string
		}{
			"an unknown version":              {rooms.CreateRequest{Version: "99"}, matrixerr.CodeUnsupportedRoomVersion},
			"an alias that is taken":          {rooms.CreateRequest{AliasName: "taken"}, matrixerr.CodeRoomInUse},
			"an alias with a colon":           {rooms.CreateRequest{AliasName: "a:b"}, matrixerr.CodeInvalidParam},
			"an unknown preset":               {rooms.CreateRequest{Preset: "secret"}, matrixerr.CodeInvalidParam},
			"levels that name a creator":      {rooms.CreateRequest{PowerLevels: []byte(`{"users":{"@alice:test.example":100}}`)}, matrixerr.CodeInvalidRoomState},
			"levels that are no integers":     {rooms.CreateRequest{PowerLevels: []byte(`{"users":{"@bob:test.example":"50"}}`)}, matrixerr.CodeBadJSON},
			"levels below what state needs":   {rooms.CreateRequest{Version: "11", PowerLevels: []byte(`{"users":{"@alice:test.example":0}}`)}, matrixerr.CodeInvalidRoomState},
			"a second create event":           {rooms.CreateRequest{InitialState: []rooms.InitialState{{Type: "m.room.create", Content: []byte(`{}`)}}}, matrixerr.CodeInvalidRoomState},
			"content with a fraction":         {rooms.CreateRequest{InitialState: []rooms.InitialState{{Type: "x", Content: []byte(`{"a":1.5}`)}}}, matrixerr.CodeBadJSON},
			"creators that are no list":       {rooms.CreateRequest{CreationContent: []byte(`{"additional_creators":"@bob:test.example"}`)}, matrixerr.CodeInvalidRoomState},
			"state that is too large":         {rooms.CreateRequest{InitialState: []rooms.InitialState{{Type: "x", Content: []byte(`{"a":"` + strings.Repeat("x", 66_000) + `"}`)}}}, matrixerr.CodeTooLarge},
			"an invitation to somewhere else": {rooms.CreateRequest{Invite: []event.UserID{"@eve:elsewhere.example"}}, matrixerr.CodeForbidden},
		} {
			t.Run(name, func(t *testing.T) {
				before := s.store.Log().Head()
				c.request.Creator = alice
				_, err := s.Create(s.ctx, c.request)
				if !matrixerr.Is(err, c.code) {
					t.Errorf("error %v, want %s", err, c.code)
				}
				if s.store.Log().Head() != before {
					t.Error("something was stored")
				}
			})
		}
	})
}
