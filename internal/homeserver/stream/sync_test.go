// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func TestAnInitialSyncTellsEverything(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	hello := w.send(room, alice, "hello")
	a := w.device(bob).sync()
	r := a.Rooms.Join[room]
	if r == nil || len(a.Rooms.Join) != 1 || len(a.Rooms.Invite)+len(a.Rooms.Leave) != 0 {
		t.Fatalf("rooms: %+v", a.Rooms)
	}
	got := ids(r.Timeline.Events)
	if got[len(got)-1] != string(hello) {
		t.Errorf("the timeline ends with %s, not with the message", got[len(got)-1])
	}
	both := append(types(r.State.Events), types(r.Timeline.Events)...)
	for _, typ := range []string{
		"m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility",
		"m.room.member " + string(alice), "m.room.member " + string(bob),
	} {
		if n := count(both, typ); n != 1 {
			t.Errorf("%s is there %d times in %v", typ, n, both)
		}
	}
	if r.Summary == nil || r.Summary.Joined != 2 || r.Summary.Invited != 0 || !slices.Equal(r.Summary.Heroes, []string{string(alice)}) {
		t.Errorf("summary: %+v", r.Summary)
	}
	if n, ok := a.OTK["signed_curve25519"]; !ok || n != 0 || a.Fallback == nil {
		t.Errorf("key counts: %v %v", a.OTK, a.Fallback)
	}
	if got := types(a.AccountData.Events); !slices.Equal(got, []string{"m.push_rules"}) {
		t.Errorf("account data: %v", got)
	}
	for _, e := range append(r.State.Events, r.Timeline.Events...) {
		if e.RoomID != "" {
			t.Errorf("%s has a room_id", e.Type)
		}
	}
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestAnIncrementalSyncTellsWhatIsNew(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room, other := w.create(alice), w.create(alice)
	w.join(room, bob)
	d := w.device(bob)
	d.sync()
	if a := d.sync(); !a.quiet() {
		t.Fatalf("nothing happened, but: %+v", a)
	}
	w.send(other, alice, "not for bob")
	if a := d.sync(); !a.quiet() {
		t.Fatalf("a room that bob is not in: %+v", a)
	}
	m := w.send(room, alice, "one")
	n := w.state(room, alice, "m.room.name", `{"name":"n"}`)
	a := d.sync()
	r := a.Rooms.Join[room]
	if got, want := ids(r.Timeline.Events), []string{string(m), string(n)}; !slices.Equal(got, want) {
		t.Errorf("timeline %v, want %v", got, want)
	}
	if r.Timeline.Limited || len(r.State.Events) != 0 {
		t.Errorf("limited %v, state %v", r.Timeline.Limited, types(r.State.Events))
	}
	if a := d.sync(); !a.quiet() {
		t.Errorf("told twice: %+v", a)
	}
}

func TestALimitedTimelineHasTheStateOfTheGap(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	d := w.device(bob).with(`{"room":{"timeline":{"limit":2}}}`)
	d.sync()
	first := w.state(room, alice, "m.room.name", `{"name":"one"}`)
	w.state(room, alice, "m.room.topic", `{"topic":"one"}`)
	last := w.state(room, alice, "m.room.topic", `{"topic":"two"}`)
	w.send(room, alice, "in the gap")
	x, y := w.state(room, alice, "m.room.name", `{"name":"two"}`), w.send(room, alice, "end")
	r := d.sync().Rooms.Join[room]
	if got, want := ids(r.Timeline.Events), []string{string(x), string(y)}; !slices.Equal(got, want) || !r.Timeline.Limited {
		t.Errorf("timeline %v, want %v; limited %v", got, want, r.Timeline.Limited)
	}
	got := ids(r.State.Events)
	slices.Sort(got)
	want := []string{string(first), string(last)}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("state is %v, want name one and topic two", types(r.State.Events))
	}
	older, err := rooms.ParseToken(r.Timeline.PrevBatch)
	w.ok(err)
	info, err := w.rooms.RoomByID(w.ctx(), room)
	w.ok(err)
	before, err := w.rooms.Timeline(w.ctx(), rooms.TimelineQuery{RoomNID: info.NID, To: older, Limit: 1, Backwards: true})
	w.ok(err)
	if before[0].Type() != "m.room.message" {
		t.Errorf("prev_batch leads to %s, want the message in the gap", before[0].Type())
	}
}

func TestStateAfterIsTheStateAtTheEnd(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	d := w.device(bob).with(`{"room":{"timeline":{"limit":1}}}`)
	d.useStateAfter = true
	r := d.sync().Rooms.Join[room]
	if r.State != nil || count(types(r.StateAfter.Events), "m.room.member "+string(bob)) != 1 {
		t.Fatalf("initial: state %v, after %v", r.State, r.StateAfter)
	}
	w.state(room, alice, "m.room.name", `{"name":"one"}`)
	two := w.state(room, alice, "m.room.name", `{"name":"two"}`)
	r = d.sync().Rooms.Join[room]
	if got := ids(r.StateAfter.Events); !slices.Equal(got, []string{string(two)}) {
		t.Errorf("after a limited timeline: %v", got)
	}
	three := w.state(room, alice, "m.room.name", `{"name":"three"}`)
	r = d.sync().Rooms.Join[room]
	if got := ids(r.StateAfter.Events); !slices.Equal(got, []string{string(three)}) || r.State != nil {
		t.Errorf("after a whole timeline: %v", got)
	}
	w.send(room, alice, "m")
	if r = d.sync().Rooms.Join[room]; r.StateAfter == nil || len(r.StateAfter.Events) != 0 {
		t.Errorf("state_after has to be there, empty: %+v", r.StateAfter)
	}
}

func TestANewlyJoinedRoomIsToldWhole(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	d := w.device(bob)
	d.sync()
	m := w.send(room, alice, "before")
	w.join(room, bob)
	r := d.sync().Rooms.Join[room]
	all := append(types(r.State.Events), types(r.Timeline.Events)...)
	if count(all, "m.room.create") != 1 || count(all, "m.room.member "+string(alice)) != 1 {
		t.Errorf("state is not whole: %v", all)
	}
	if !slices.Contains(ids(r.Timeline.Events), string(m)) || !r.Timeline.Limited {
		t.Errorf("timeline %v, limited %v", types(r.Timeline.Events), r.Timeline.Limited)
	}
	w.leave(room, bob)
	w.state(room, alice, "m.room.name", `{"name":"while away"}`)
	d.sync()
	w.join(room, bob)
	r = d.sync().Rooms.Join[room]
	all = append(types(r.State.Events), types(r.Timeline.Events)...)
	if count(all, "m.room.create") != 1 || count(all, "m.room.name") != 1 {
		t.Errorf("state after coming back is not whole: %v", all)
	}
}

func TestLeavingShowsTheRoomOnceUpToTheEnd(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	d := w.device(bob)
	d.sync()
	m := w.send(room, alice, "last words")
	w.leave(room, bob)
	w.send(room, alice, "behind bob's back")
	w.state(room, alice, "m.room.name", `{"name":"secret"}`)
	a := d.sync()
	r := a.Rooms.Leave[room]
	if len(a.Rooms.Join) != 0 || r == nil {
		t.Fatalf("rooms: %+v", a.Rooms)
	}
	if got := types(r.Timeline.Events); !slices.Equal(got, []string{"m.room.message", "m.room.member " + string(bob)}) || r.Timeline.Events[0].ID != string(m) {
		t.Errorf("timeline %v", got)
	}
	if a := d.sync(); !a.quiet() {
		t.Errorf("told twice: %+v", a)
	}
	if a := w.device(bob).sync(); len(a.Rooms.Leave) != 0 {
		t.Errorf("left room in an initial sync: %v", a.Rooms.Leave)
	}
	a = w.device(bob).with(`{"room":{"include_leave":true}}`).sync()
	if r = a.Rooms.Leave[room]; r == nil {
		t.Fatal("include_leave does not include it")
	}
	all := append(types(r.State.Events), types(r.Timeline.Events)...)
	if count(all, "m.room.create") != 1 || count(all, "m.room.name") != 0 {
		t.Errorf("state of the left room: %v", all)
	}
}

func TestBannedAndKickedUsersLearnIt(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	kicked, banned := w.create(alice), w.create(alice)
	w.join(kicked, bob)
	w.join(banned, bob)
	d := w.device(bob)
	d.sync()
	w.ok(w.rooms.Kick(w.ctx(), rooms.MemberRequest{RoomID: kicked, Sender: alice, Target: bob}))
	w.ok(w.rooms.Ban(w.ctx(), rooms.MemberRequest{RoomID: banned, Sender: alice, Target: bob}))
	a := d.sync()
	for _, room := range []event.RoomID{kicked, banned} {
		r := a.Rooms.Leave[room]
		if r == nil || !slices.Equal(types(r.Timeline.Events), []string{"m.room.member " + string(bob)}) {
			t.Errorf("room %s: %+v", room, r)
		}
	}
	w.ok(w.rooms.Ban(w.ctx(), rooms.MemberRequest{RoomID: kicked, Sender: alice, Target: bob}))
	w.state(kicked, alice, "m.room.name", `{"name":"secret"}`)
	r := d.sync().Rooms.Leave[kicked]
	if r == nil || len(r.Timeline.Events) != 1 || len(r.State.Events) != 0 {
		t.Errorf("ban after a kick: %+v", r)
	}
}

func TestInvitesComeWithStrippedState(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice, func(r *rooms.CreateRequest) { name := "the room"; r.Name = &name })
	d := w.device(bob)
	d.sync()
	w.ok(w.rooms.Invite(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: alice, Target: bob}))
	r := d.sync().Rooms.Invite[room]
	if r == nil || count(types(r.InviteState.Events), "m.room.name") != 1 || count(types(r.InviteState.Events), "m.room.member "+string(bob)) != 1 {
		t.Fatalf("invite: %+v", r)
	}
	w.send(room, alice, "not yet for bob")
	if a := d.sync(); !a.quiet() {
		t.Errorf("an invited user hears of messages: %+v", a)
	}
	if r := w.device(bob).sync().Rooms.Invite[room]; r == nil {
		t.Error("the invite is not in an initial sync")
	}
	w.leave(room, bob)
	a := d.sync()
	if r := a.Rooms.Leave[room]; r == nil || len(a.Rooms.Invite) != 0 || len(r.Timeline.Events) != 1 || len(r.State.Events) != 0 {
		t.Errorf("declined: %+v", a.Rooms)
	}
	if a := w.device(bob).with(`{"room":{"include_leave":true}}`).sync(); len(a.Rooms.Leave[room].State.Events) != 0 {
		t.Errorf("the state of a room bob was never in: %v", types(a.Rooms.Leave[room].State.Events))
	}
	d.fullState = true
	d.filter = `{"room":{"include_leave":true}}`
	if r := d.sync().Rooms.Leave[room]; r != nil && len(r.State.Events) != 0 {
		t.Errorf("full_state shows a room bob was never in: %v", types(r.State.Events))
	}
}

func TestKnocksAreShown(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.state(room, alice, "m.room.join_rules", `{"join_rule":"knock"}`)
	d := w.device(bob)
	d.sync()
	w.ok(w.rooms.Knock(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: bob, Target: bob}))
	if r := d.sync().Rooms.Knock[room]; r == nil || count(types(r.KnockState.Events), "m.room.member "+string(bob)) != 1 {
		t.Errorf("knock: %+v", r)
	}
}

func TestLazyLoadingSendsMembersOnce(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice, func(r *rooms.CreateRequest) { name := "named"; r.Name = &name })
	w.join(room, bob, carol)
	for range 12 {
		w.send(room, alice, "old")
	}
	d := w.device(bob).with(`{"room":{"state":{"lazy_load_members":true}}}`)
	r := d.sync().Rooms.Join[room]
	got := members(r.State.Events)
	if !cmp.Equal(got, []string{string(alice), string(bob)}) {
		t.Errorf("initial members %v, want the speaker and bob himself", got)
	}
	w.send(room, carol, "hi")
	if got := members(d.sync().Rooms.Join[room].State.Events); !cmp.Equal(got, []string{string(carol)}) {
		t.Errorf("members for carol's first message: %v", got)
	}
	before := d.since
	w.send(room, carol, "hi again")
	if got := members(d.sync().Rooms.Join[room].State.Events); len(got) != 0 {
		t.Errorf("carol was sent twice: %v", got)
	}
	// The answer before was lost: the client comes back with an older token.
	again := w.device(bob).with(d.filter)
	again.since = before
	if got := members(again.sync().Rooms.Join[room].State.Events); len(got) != 0 {
		t.Errorf("confirmed member sent again: %v", got)
	}
	redundant := w.device(bob).with(`{"room":{"state":{"lazy_load_members":true,"include_redundant_members":true}}}`)
	redundant.since = before
	if got := members(redundant.sync().Rooms.Join[room].State.Events); !cmp.Equal(got, []string{string(carol)}) {
		t.Errorf("include_redundant_members: %v", got)
	}
}

func members(all []clientEvent) []string {
	list := []string{}
	for _, e := range all {
		if e.Type == "m.room.member" {
			list = append(list, *e.StateKey)
		}
	}
	slices.Sort(list)
	return list
}

func TestAMemberInALostAnswerIsSentAgain(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice, func(r *rooms.CreateRequest) { name := "named"; r.Name = &name })
	w.join(room, bob, carol)
	for range 12 {
		w.send(room, alice, "old")
	}
	d := w.device(bob).with(`{"room":{"state":{"lazy_load_members":true}}}`)
	start := d.sync().NextBatch
	w.send(room, carol, "hi")
	d.sync() // lost
	d.since = start
	if got := members(d.sync().Rooms.Join[room].State.Events); !cmp.Equal(got, []string{string(carol)}) {
		t.Errorf("members after a lost answer: %v", got)
	}
}

func TestFilters(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room, other := w.create(alice), w.create(alice)
	w.join(room, bob)
	w.join(other, bob)
	start := w.device(bob).sync().NextBatch
	msg := w.send(room, alice, "m")
	name := w.state(room, alice, "m.room.name", `{"name":"n"}`)
	end := w.send(room, bob, "b")
	w.send(other, alice, "o")
	image := func() string {
		id, err := w.rooms.Send(w.ctx(), rooms.SendRequest{RoomID: room, Sender: alice, Type: "m.room.message", Content: []byte(`{"url":"mxc://x/y"}`)})
		w.ok(err)
		return string(id)
	}()
	for _, c := range []struct {
		name, filter    string
		timeline, state []string
	}{
		{"types drop state from the timeline into state", `{"room":{"rooms":["` + string(room) + `"],"timeline":{"types":["m.room.message"]}}}`, []string{string(msg), string(end), image}, []string{string(name)}},
		{"not_types with a star", `{"room":{"timeline":{"not_types":["m.room.mess*"]}}}`, []string{string(name)}, nil},
		{"senders", `{"room":{"timeline":{"senders":["` + string(bob) + `"]}}}`, []string{string(end)}, []string{string(name)}},
		{"not_senders", `{"room":{"timeline":{"not_senders":["` + string(alice) + `"]},"state":{"types":[]}}}`, []string{string(end)}, nil},
		{"contains_url", `{"room":{"timeline":{"contains_url":true}}}`, []string{image}, []string{string(name)}},
		{"a room left out of the timeline", `{"room":{"timeline":{"not_rooms":["` + string(room) + `"]}}}`, nil, []string{string(name)}},
		{"limit counts what passes", `{"room":{"timeline":{"limit":1,"types":["m.room.name"]}}}`, []string{string(name)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := w.device(bob).with(c.filter)
			d.since = start
			r := d.sync().Rooms.Join[room]
			if r == nil {
				t.Fatal("the room is missing")
			}
			if got := ids(r.Timeline.Events); !slices.Equal(got, append([]string{}, c.timeline...)) || r.Timeline.Limited {
				t.Errorf("timeline %v, want %v; limited %v", got, c.timeline, r.Timeline.Limited)
			}
			if got := ids(r.State.Events); !slices.Equal(got, append([]string{}, c.state...)) {
				t.Errorf("state %v, want %v", got, c.state)
			}
		})
	}
	d := w.device(bob).with(`{"room":{"not_rooms":["` + string(room) + `"]}}`)
	d.since = start
	if a := d.sync(); a.Rooms.Join[room] != nil || a.Rooms.Join[other] == nil {
		t.Errorf("not_rooms: %v", a.Rooms.Join)
	}
	d = w.device(bob).with(`{"event_fields":["content.body"],"room":{"rooms":["` + string(other) + `"]}}`)
	d.since = start
	if e := d.sync().Rooms.Join[other].Timeline.Events[0]; e.Type != "" || string(e.Content) != `{"body":"o"}` {
		t.Errorf("event_fields: %+v", e)
	}
	d = w.device(bob).with(`{"event_format":"federation","room":{"rooms":["` + string(other) + `"]}}`)
	d.since = start
	if e := d.sync().Rooms.Join[other].Timeline.Events[0]; e.RoomID != string(other) {
		t.Errorf("event_format: %+v", e)
	}
}

func TestFullStateTellsAllRoomsAgain(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room, still := w.create(alice), w.create(alice)
	d := w.device(alice)
	d.sync()
	m := w.send(room, alice, "new")
	d.fullState = true
	a := d.sync()
	if got := ids(a.Rooms.Join[room].Timeline.Events); !slices.Equal(got, []string{string(m)}) {
		t.Errorf("timeline %v: it stays limited by since", got)
	}
	for _, r := range []*roomAnswer{a.Rooms.Join[room], a.Rooms.Join[still]} {
		if r == nil || count(types(r.State.Events), "m.room.create") != 1 || count(types(r.State.Events), "m.room.member "+string(alice)) != 1 {
			t.Errorf("full state: %+v", r)
		}
	}
}

func TestIgnoredUsersAreNotHeard(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room, away := w.create(alice), w.create(carol)
	w.join(room, bob, carol)
	d := w.device(bob)
	d.sync()
	list := fmt.Sprintf(`{"ignored_users":{%q:{}}}`, carol)
	w.ok(w.stream.SetAccountData(w.ctx(), bob, "", stream.Data{Type: "m.ignored_user_list", Content: []byte(list)}))
	d.sync()
	w.send(room, carol, "spam")
	w.ok(w.rooms.Invite(w.ctx(), rooms.MemberRequest{RoomID: away, Sender: carol, Target: bob}))
	if a := d.sync(); !a.quiet() {
		t.Errorf("heard of an ignored user: %+v", a.Rooms)
	}
	w.leave(room, carol)
	if got := types(d.sync().Rooms.Join[room].Timeline.Events); !slices.Equal(got, []string{"m.room.member " + string(carol)}) {
		t.Errorf("state events of ignored users have to stay: %v", got)
	}
}

func TestSummaryFollowsMembers(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	d := w.device(alice)
	d.sync()
	w.send(room, alice, "m")
	if s := d.sync().Rooms.Join[room].Summary; s != nil {
		t.Errorf("summary without a change: %+v", s)
	}
	w.join(room, bob)
	w.ok(w.rooms.Invite(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: alice, Target: carol}))
	s := d.sync().Rooms.Join[room].Summary
	if s == nil || s.Joined != 2 || s.Invited != 1 || !slices.Equal(s.Heroes, []string{string(bob), string(carol)}) {
		t.Errorf("summary %+v", s)
	}
	w.state(room, alice, "m.room.name", `{"name":"n"}`)
	if s := d.sync().Rooms.Join[room].Summary; s == nil || s.Heroes != nil {
		t.Errorf("summary of a room with a name: %+v", s)
	}
	w.leave(room, bob)
	w.leave(room, carol)
	w.state(room, alice, "m.room.name", `{"name":""}`)
	if s := d.sync().Rooms.Join[room].Summary; s == nil || len(s.Heroes) != 2 || s.Joined != 1 {
		t.Errorf("an empty room is called after those who left: %+v", s)
	}
}

func TestMembershipAtTheEventIsTold(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.send(room, alice, "before")
	w.join(room, bob)
	w.send(room, alice, "after")
	for _, e := range w.device(bob).sync().Rooms.Join[room].Timeline.Events {
		want := "join"
		if strings.Contains(string(e.Content), "before") || e.Type != "m.room.message" && (e.StateKey == nil || *e.StateKey != string(bob)) {
			want = "leave"
		}
		if e.Unsigned.Membership != want {
			t.Errorf("%s %s: membership %q, want %q", e.Type, e.Content, e.Unsigned.Membership, want)
		}
	}
}

func TestALargeAnswerIsWrittenWhileItIsMade(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	for range 60 {
		w.create(alice)
	}
	pieces, most := 0, 0
	var text strings.Builder
	rest, err := w.stream.Sync(w.ctx(), stream.Request{User: alice, Device: "D", Write: func(p []byte) error {
		pieces, most = pieces+1, max(most, len(p))
		text.Write(p)
		return nil
	}})
	w.ok(err)
	text.Write(rest)
	a := &answer{}
	if err := json.Unmarshal([]byte(text.String()), a); err != nil || len(a.Rooms.Join) != 60 {
		t.Errorf("%d rooms, %v", len(a.Rooms.Join), err)
	}
	if pieces < 1 || most > 80<<10 {
		t.Errorf("%d bytes in %d pieces, the largest of %d", text.Len(), pieces, most)
	}
	failed := errors.New("client went away")
	_, err = w.stream.Sync(w.ctx(), stream.Request{User: alice, Device: "D", Write: func([]byte) error { return failed }})
	if !errors.Is(err, failed) {
		t.Errorf("error of the writer became %v", err)
	}
}

func TestFullStateSendsLazyMembersAgain(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice, func(r *rooms.CreateRequest) { name := "named"; r.Name = &name })
	w.join(room, bob)
	d := w.device(bob).with(`{"room":{"state":{"lazy_load_members":true}}}`)
	d.sync()
	w.send(room, alice, "m")
	d.fullState = true
	if got := members(d.sync().Rooms.Join[room].State.Events); !cmp.Equal(got, []string{string(alice), string(bob)}) {
		t.Errorf("members with full_state: %v", got)
	}
}
