// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func TestReportsReachTheAdministrators(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		room := s.publicRoom(bob)
		id := s.send(room, alice, "rude")
		s.must(s.ReportRoom(s.ctx, bob, room, "first"))
		s.must(s.ReportRoom(s.ctx, bob, "!none:test.example", "nothing"))
		s.must(s.ReportEvent(s.ctx, bob, room, id, "NUL \x00"))
		s.must(s.ReportUser(s.ctx, bob, alice, ""))
		s.must(s.ReportRoom(s.ctx, bob, room, "second thoughts"))
		const ts = 1_700_000_000_000
		want := []store.Report{
			{Reporter: string(bob), Kind: store.ReportedUser, UserID: string(alice), CreatedTS: ts},
			{Reporter: string(bob), Kind: store.ReportedEvent, RoomID: string(room), EventID: string(id), UserID: string(alice), Reason: "NUL \x00", CreatedTS: ts},
			{Reporter: string(bob), Kind: store.ReportedRoom, RoomID: string(room), Reason: "second thoughts", CreatedTS: ts},
		}
		got, err := s.store.Reports(s.ctx, 0, 10)
		s.must(err)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Report{}, "ID")); diff != "" {
			t.Error(diff)
		}
		newest, err := s.store.Reports(s.ctx, 0, 1)
		s.must(err)
		older, err := s.store.Reports(s.ctx, newest[0].ID, 10)
		s.must(err)
		if diff := cmp.Diff(want[1:], older, cmpopts.IgnoreFields(store.Report{}, "ID")); diff != "" {
			t.Error(diff)
		}
		s.must(s.store.DeleteReport(s.ctx, newest[0].ID))
		if err := s.store.DeleteReport(s.ctx, newest[0].ID); err != store.ErrNotFound { //nolint:errorlint // not wrapped
			t.Errorf("deleted twice: %v", err)
		}
	})
}

func TestAUserCannotPileUpReports(t *testing.T) {
	each(t, func(_ *testing.T, s *server) {
		const most = 1000
		for i := range most {
			s.must(s.ReportUser(s.ctx, bob, event.UserID(fmt.Sprintf("@spam%d:elsewhere.example", i)), "spam"))
		}
		s.refused(s.ReportUser(s.ctx, bob, alice, "spam"), "M_LIMIT_EXCEEDED")
		s.must(s.ReportUser(s.ctx, carol, alice, "spam"))
		s.refused(s.ReportUser(s.ctx, carol, bob, strings.Repeat("x", 4097)), "M_TOO_LARGE")
	})
}
