// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"errors"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func TestARoomThatCannotBeLeftHoldsUpNoOther(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		const count = 8
		for range count - 1 {
			s.publicRoom(bob, carol)
		}
		s.create(rooms.CreateRequest{Invite: []event.UserID{bob}})
		in := func(user event.UserID) (n int) {
			t.Helper()
			all, err := s.MembershipsOf(s.ctx, user)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				if m.Membership != rooms.Leave {
					n++
				}
			}
			return n
		}
		f := &trip{}
		f.arm(3, errInjected)
		broken := fault.With(s.ctx, func(name string) error {
			if name != "rooms.send.built" {
				return nil
			}
			return f.ask(name)
		})
		if err := s.LeaveAll(broken, bob); !errors.Is(err, errInjected) || in(bob) != 1 {
			t.Errorf("error %v; bob is in %d rooms, want the one that failed", err, in(bob))
		}
		if err := s.LeaveAll(s.ctx, bob); err != nil || in(bob) != 0 {
			t.Errorf("error %v; bob is in %d rooms", err, in(bob))
		}
		if got := in(carol); got != count-1 {
			t.Errorf("carol is in %d rooms, want %d", got, count-1)
		}
	})
}
