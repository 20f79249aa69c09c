// SPDX-License-Identifier: Apache-2.0

package event

import (
	"strconv"
	"testing"
)

func TestAuthorisingAMessageDoesNotAllocate(t *testing.T) {
	eachVersion(t, everyVersion, func(v RoomVersion) {
		s := newScene(t, v)
		e, room := s.event(message("m.room.message", bob, `{"body":"x"}`)), s.state()
		if n := testing.AllocsPerRun(100, func() {
			if err := s.rules.Authorise(e, room); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("version %s: %v allocations", v, n)
		}
	})
}

func BenchmarkAuthoriseMessage(b *testing.B) {
	s := newScene(b, "12")
	e, room := s.event(message("m.room.message", bob, `{"body":"x"}`)), s.state()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.rules.Authorise(e, room); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthoriseJoin(b *testing.B) {
	s := newScene(b, "12")
	e, room := s.event(mem(carol, "join")), s.state(joinRule("public"))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.rules.Authorise(e, room); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResolve merges two states of a room with as many members that differ in two bans
// and a topic.
func BenchmarkResolve(b *testing.B) {
	for _, members := range []int{10, 1000, 10_000} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			s := newStory(b, "12")
			base := []EventID{"$create", "$alice", "$levels", "$rules", "$bob"}
			for i := range members {
				name := EventID("$m" + strconv.Itoa(i))
				s.add(name, mem("@m"+strconv.Itoa(i)+":m", "join"), "$levels", "$rules")
				base = append(base, name)
			}
			s.add("$ban", memBy(bob, "@m0:m", "ban"), "$levels", "$bob", "$m0")
			s.add("$ban2", memBy(alice, "@m1:m", "ban"), "$levels", "$alice", "$m1")
			s.add("$topic", state("m.room.topic", "", bob, `{}`), "$levels", "$bob")
			sets := []StateMap{s.set(append(base, "$ban", "$topic")...), s.set(append(base, "$ban2")...)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.rules.Resolve(sets, s.load); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkResolveLongChain replays thousands of power levels.
func BenchmarkResolveLongChain(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := newStory(b, "12")
			first, last := s.chain(n)
			sets := []StateMap{s.set("$create", "$alice", first), s.set("$create", "$alice", last)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.rules.Resolve(sets, s.load); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
