// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// seen lists the texts of the messages that user may see, in order.
func (s *server) seen(room event.RoomID, user event.UserID) []string {
	s.t.Helper()
	visible, err := s.Visible(s.ctx, user, s.timeline(room))
	s.must(err)
	texts := []string{}
	for _, ev := range visible {
		content, _ := event.ParseObject(ev.Content())
		if text, ok := content.String("body"); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func (s *server) setVisibility(room event.RoomID, visibility string) {
	s.t.Helper()
	_, err := s.setState(room, alice, event.StateKey{Type: "m.room.history_visibility"}, fmt.Sprintf(`{"history_visibility":%q}`, visibility))
	s.must(err)
}

func TestWhoSeesWhichPartOfTheHistory(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		for visibility, want := range map[string]map[event.UserID][]string{
			// bob: invited after 1, joins after 2, leaves after 3. carol is never anything.
			"joined":         {bob: {"3"}, carol: {}},
			"invited":        {bob: {"2", "3"}, carol: {}},
			"shared":         {bob: {"1", "2", "3"}, carol: {}},
			"world_readable": {bob: {"1", "2", "3", "4"}, carol: {"1", "2", "3", "4"}},
			"no such value":  {bob: {"1", "2", "3"}, carol: {}},
		} {
			room := s.publicRoom()
			s.setVisibility(room, visibility)
			s.send(room, alice, "1")
			s.must(s.Invite(s.ctx, rooms.MemberRequest{RoomID: room, Sender: alice, Target: bob}))
			s.send(room, alice, "2")
			s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
			s.send(room, alice, "3")
			s.must(s.Leave(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
			s.send(room, alice, "4")
			want[alice] = []string{"1", "2", "3", "4"}
			want[""] = want[carol]
			for user, texts := range want {
				if got := s.seen(room, user); !slices.Equal(got, texts) {
					t.Errorf("%s: %q sees %v, want %v", visibility, user, got, texts)
				}
			}
		}
	})
}

func TestWhoForgetsARoomSeesNothingOfIt(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom(bob)
		s.send(room, alice, "1")
		s.must(s.Leave(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
		s.must(s.Forget(s.ctx, bob, room))
		if got := s.seen(room, bob); len(got) != 0 {
			t.Errorf("sees %v", got)
		}
		_, err := s.Access(s.ctx, bob, room)
		s.refused(err, matrixerr.CodeForbidden)
		s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
		if got := s.seen(room, bob); len(got) != 1 {
			t.Errorf("after coming back sees %v", got)
		}
	})
}

func TestAPredecessorThatIsHiddenIsNotShown(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom()
		s.setVisibility(room, "joined")
		key := event.StateKey{Type: "m.room.topic"}
		first, err := s.setState(room, alice, key, `{"topic":"secret"}`)
		s.must(err)
		s.must(s.Join(s.ctx, rooms.MemberRequest{RoomID: room, Sender: bob}))
		second, err := s.setState(room, alice, key, `{"topic":"open"}`)
		s.must(err)
		for user, hidden := range map[event.UserID]bool{alice: false, bob: true} {
			ev, membership, err := s.VisibleEvent(s.ctx, user, room, second)
			s.must(err)
			if (ev.Replaces == nil) != hidden || ev.ReplacesID != first || membership != "join" {
				t.Errorf("%s: replaces %v (%s), membership %s", user, ev.Replaces, ev.ReplacesID, membership)
			}
		}
	})
}

// A walk of random memberships and visibilities, against a plain reading of
// the specification's rules.
func TestVisibilityFollowsTheSpecification(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		rng := rand.New(rand.NewPCG(7, 7))
		room := s.publicRoom()
		m := &model{membership: map[event.UserID]string{}, visibility: "shared"}
		for step := range 120 {
			m.step(s, rng, room, step)
		}
		for _, user := range []event.UserID{bob, carol} {
			got := s.seen(room, user)
			var want []string
			for _, msg := range m.messages {
				if m.allows(user, msg) {
					want = append(want, msg.text)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s sees %v, want %v", user, got, want)
			}
			var later []string
			for _, msg := range m.messages {
				ev, _, err := s.VisibleEvent(s.ctx, user, room, msg.id)
				if err == nil {
					content, _ := event.ParseObject(ev.Content())
					text, _ := content.String("body")
					later = append(later, text)
				} else if !matrixerr.Is(err, matrixerr.CodeNotFound) {
					t.Fatal(err)
				}
			}
			if !slices.Equal(later, want) {
				t.Errorf("%s gets %v one by one, want %v", user, later, want)
			}
		}
	})
}

// model is a room as a test understands it.
type model struct {
	membership map[event.UserID]string
	visibility string
	messages   []modelMessage
	// joins are the numbers of messages sent before each join.
	joins []modelJoin
}

type modelMessage struct {
	id         event.EventID
	text       string
	visibility string
	membership map[event.UserID]string
}

type modelJoin struct {
	user event.UserID
	at   int
}

func (m *model) step(s *server, rng *rand.Rand, room event.RoomID, step int) {
	user := []event.UserID{bob, carol}[rng.IntN(2)]
	r := rooms.MemberRequest{RoomID: room, Sender: user}
	byAlice := rooms.MemberRequest{RoomID: room, Sender: alice, Target: user}
	switch now := m.membership[user]; rng.IntN(7) {
	case 0:
		if now != rooms.Ban {
			s.must(s.Join(s.ctx, r))
			m.membership[user] = rooms.Join
			m.joins = append(m.joins, modelJoin{user, len(m.messages)})
		}
	case 1:
		if now == rooms.Join || now == rooms.Invite {
			s.must(s.Leave(s.ctx, r))
			m.membership[user] = rooms.Leave
		}
	case 2:
		if now == "" || now == rooms.Leave {
			s.must(s.Invite(s.ctx, byAlice))
			m.membership[user] = rooms.Invite
		}
	case 3:
		if now == rooms.Ban {
			s.must(s.Unban(s.ctx, byAlice))
			m.membership[user] = rooms.Leave
		} else if rng.IntN(3) == 0 {
			s.must(s.Ban(s.ctx, byAlice))
			m.membership[user] = rooms.Ban
		}
	case 4:
		m.visibility = []string{"shared", "invited", "joined", "world_readable"}[rng.IntN(4)]
		s.setVisibility(room, m.visibility)
	default:
		msg := modelMessage{text: fmt.Sprint(step), visibility: m.visibility, membership: map[event.UserID]string{}}
		for user, membership := range m.membership {
			msg.membership[user] = membership
		}
		msg.id = s.send(room, alice, msg.text)
		m.messages = append(m.messages, msg)
	}
}

// allows is the list of rules as the specification has it.
func (m *model) allows(user event.UserID, msg modelMessage) bool {
	index := slices.IndexFunc(m.messages, func(o modelMessage) bool { return o.id == msg.id })
	joinedLater := slices.ContainsFunc(m.joins, func(j modelJoin) bool { return j.user == user && j.at > index })
	switch {
	case msg.visibility == "world_readable", msg.membership[user] == rooms.Join:
		return true
	case msg.visibility == "shared" && joinedLater:
		return true
	default:
		return msg.membership[user] == rooms.Invite && msg.visibility == "invited"
	}
}
