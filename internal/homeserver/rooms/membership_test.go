// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (s *server) membership(user event.UserID, room event.RoomID) string {
	s.t.Helper()
	m, _, err := s.MembershipIn(s.ctx, user, s.info(room).NID)
	s.must(err)
	return m.Membership
}

func TestMembershipsChangeAsTheRulesSay(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		private := s.create(rooms.CreateRequest{})
		of := func(sender, target event.UserID) rooms.MemberRequest {
			return rooms.MemberRequest{RoomID: private, Sender: sender, Target: target}
		}
		steps := []struct {
			name string
			do   func() error
			code string // "" for success
			bob  string // his membership afterwards
		}{
			{"bob joins uninvited", func() error { return s.Join(s.ctx, of(bob, "")) }, matrixerr.CodeForbidden, ""},
			{"carol invites bob from outside", func() error { return s.Invite(s.ctx, of(carol, bob)) }, matrixerr.CodeForbidden, ""},
			{"alice kicks bob who is not there", func() error { return s.Kick(s.ctx, of(alice, bob)) }, matrixerr.CodeForbidden, ""},
			{"alice invites bob", func() error { return s.Invite(s.ctx, of(alice, bob)) }, "", rooms.Invite},
			{"alice invites bob again", func() error { return s.Invite(s.ctx, of(alice, bob)) }, "", rooms.Invite},
			{"bob declines", func() error { return s.Leave(s.ctx, of(bob, "")) }, "", rooms.Leave},
			{"bob declines again", func() error { return s.Leave(s.ctx, of(bob, "")) }, "", rooms.Leave},
			{"alice invites bob once more", func() error { return s.Invite(s.ctx, of(alice, bob)) }, "", rooms.Invite},
			{"alice takes it back", func() error { return s.Kick(s.ctx, of(alice, bob)) }, "", rooms.Leave},
			{"alice invites bob a last time", func() error { return s.Invite(s.ctx, of(alice, bob)) }, "", rooms.Invite},
			{"bob joins", func() error { return s.Join(s.ctx, of(bob, "")) }, "", rooms.Join},
			{"bob joins again", func() error { return s.Join(s.ctx, of(bob, "")) }, "", rooms.Join},
			{"bob kicks alice", func() error { return s.Kick(s.ctx, of(bob, alice)) }, matrixerr.CodeForbidden, rooms.Join},
			{"alice invites bob who is there", func() error { return s.Invite(s.ctx, of(alice, bob)) }, matrixerr.CodeForbidden, rooms.Join},
			{"alice bans bob", func() error { return s.Ban(s.ctx, of(alice, bob)) }, "", rooms.Ban},
			{"alice bans bob again", func() error { return s.Ban(s.ctx, of(alice, bob)) }, "", rooms.Ban},
			{"bob leaves though banned", func() error { return s.Leave(s.ctx, of(bob, "")) }, matrixerr.CodeForbidden, rooms.Ban},
			{"alice invites bob who is banned", func() error { return s.Invite(s.ctx, of(alice, bob)) }, matrixerr.CodeForbidden, rooms.Ban},
			{"alice unbans bob", func() error { return s.Unban(s.ctx, of(alice, bob)) }, "", rooms.Leave},
			{"alice unbans bob again", func() error { return s.Unban(s.ctx, of(alice, bob)) }, matrixerr.CodeBadState, rooms.Leave},
		}
		for _, step := range steps {
			err := step.do()
			if step.code == "" && err != nil || step.code != "" && !matrixerr.Is(err, step.code) {
				t.Errorf("%s: error %v, want %q", step.name, err, step.code)
			}
			if got := s.membership(bob, private); got != step.bob {
				t.Errorf("%s: bob is %q, want %q", step.name, got, step.bob)
			}
		}
	})
}

func TestARestrictedRoomLetsMembersOfTheOtherRoomIn(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		for _, version := range []event.RoomVersion{"8", "10", "12"} {
			space := s.create(rooms.CreateRequest{Preset: rooms.PresetPublic, Version: version})
			s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: space, Sender: bob}))
			rule := fmt.Sprintf(`{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":%q}]}`, space)
			room := s.create(rooms.CreateRequest{
				Version: version, InitialState: []rooms.InitialState{{Type: "m.room.join_rules", Content: []byte(rule)}},
			})
			s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
			content := s.stateContent(room, event.StateKey{Type: "m.room.member", Key: string(bob)})
			if !strings.Contains(content, `"join_authorised_via_users_server":"@alice:test.example"`) {
				t.Errorf("version %s: %s", version, content)
			}
			s.refused(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: carol}), matrixerr.CodeForbidden)
			// A client cannot say itself who let it in.
			_, err := s.setState(room, carol, event.StateKey{Type: "m.room.member", Key: string(carol)},
				`{"membership":"join","join_authorised_via_users_server":"@alice:test.example"}`)
			s.refused(err, matrixerr.CodeForbidden)
		}
	})
}

func TestWhatAnInvitedUserIsTold(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		name := "Kitchen"
		room := s.create(rooms.CreateRequest{Name: &name, Invite: []event.UserID{bob}})
		_, err := s.setState(room, alice, event.StateKey{Type: "secret"}, `{"a":"b"}`)
		s.must(err)
		stripped, err := s.StrippedState(s.ctx, s.info(room).NID, bob)
		s.must(err)
		var told []string
		for _, raw := range stripped {
			var fields map[string]any
			s.must(json.Unmarshal(raw, &fields))
			if len(fields) != 4 {
				t.Errorf("not stripped: %s", raw)
			}
			told = append(told, fmt.Sprint(fields["type"], " ", fields["state_key"]))
		}
		slices.Sort(told)
		want := []string{
			"m.room.create ", "m.room.join_rules ", "m.room.member @alice:test.example", "m.room.member @bob:test.example", "m.room.name ",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestWhoSharesARoom(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.publicRoom(bob)
		room := s.publicRoom(carol)
		share := func(a, b event.UserID) bool {
			yes, err := s.ShareRoom(s.ctx, a, b)
			s.must(err)
			return yes
		}
		if !share(alice, bob) || !share(carol, alice) || share(bob, carol) {
			t.Error("wrong about who shares a room")
		}
		users, err := s.SharedRoomUsers(s.ctx, alice)
		s.must(err)
		if !slices.Equal(users, []event.UserID{bob, carol}) {
			t.Errorf("alice shares rooms with %v", users)
		}
		s.must(s.Leave(s.ctx, rooms.MemberRequest{RoomID: room, Sender: carol}))
		if share(carol, alice) {
			t.Error("still shares a room after leaving")
		}
		ids, err := s.JoinedRooms(s.ctx, carol)
		s.must(err)
		if len(ids) != 0 {
			t.Errorf("carol is in %v", ids)
		}
	})
}

func TestTheChangesOfAStateAreSummedUp(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom()
		nid := s.info(room).NID
		from := s.store.Log().Head()
		key := event.StateKey{Type: "m.room.topic"}
		var last *rooms.StoredEvent
		for i := range 3 {
			id, err := s.setState(room, alice, key, fmt.Sprintf(`{"topic":"%d"}`, i))
			s.must(err)
			last = s.event(room, id)
		}
		s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
		deltas, err := s.StateDelta(s.ctx, nid, from, s.store.Log().Head())
		s.must(err)
		if len(deltas) != 2 || deltas[0].Key != key || deltas[0].OldNID != 0 || deltas[0].NewNID != last.NID || deltas[0].Pos != last.StreamPos {
			t.Errorf("deltas %+v, want the topic from nothing to %d", deltas, last.NID)
		}
		if deltas[1].Key.Key != string(bob) {
			t.Errorf("deltas %+v", deltas)
		}
	})
}
