// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// watched is a random room and those who come and go.
type watched struct {
	t       *testing.T
	random  *rand.Rand
	admin   *homeservertest.Client
	viewers []*homeservertest.Client
	room    string
	// forgot is how many events there were when a viewer last forgot the room.
	forgot map[string]int
	// tokens are what /sync gave the admin, with how many events there were then.
	tokens []syncedAt
	events []clientEvent
	// first is the message that all others are in the thread of.
	first string
}

type syncedAt struct {
	token  string
	events int
}

// TestEveryEndpointShowsWhatTheModelSays makes FOYER_ROOMS random rooms
// (default 2), by the seed FOYER_SEED, and asks every endpoint that reads
// what it shows to each viewer.
func TestEveryEndpointShowsWhatTheModelSays(t *testing.T) {
	rooms := homeservertest.Number(t, "FOYER_ROOMS", 2)
	seed := homeservertest.Number(t, "FOYER_SEED", time.Now().UnixNano())
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		t.Logf("FOYER_SEED=%d", seed)
		w := &watched{t: t, admin: s.Register("admin")}
		for i := range 5 {
			w.viewers = append(w.viewers, s.Register(fmt.Sprintf("viewer%d", i)))
		}
		for i := range rooms {
			w.random = rand.New(rand.NewPCG(uint64(seed), uint64(i)))
			w.live()
			if t.Failed() {
				t.Fatalf("in room %d", i)
			}
		}
	})
}

// live makes a room and lets things happen in it, and looks three times.
func (w *watched) live() {
	w.room = createRoom(w.admin, object{"preset": "public_chat"})
	w.forgot, w.tokens, w.first = map[string]int{}, nil, ""
	for range 3 {
		for i := range 20 {
			w.step(i)
		}
		w.look()
	}
}

// step does something; what is not allowed is refused, which is no matter here.
func (w *watched) step(i int) {
	viewer := w.viewers[w.random.IntN(len(w.viewers))]
	manage := func(what string) { w.admin.Post(in(w.room, what), object{"user_id": viewer.UserID}) }
	switch w.random.IntN(12) {
	case 0, 1, 2:
		viewer.Post(in(w.room, "join"), object{})
	case 3, 4:
		viewer.Post(in(w.room, "leave"), object{})
	case 5:
		manage("invite")
	case 6:
		manage([]string{"kick", "ban", "unban"}[w.random.IntN(3)])
	case 7:
		if viewer.Post(in(w.room, "forget"), object{}).Status == 200 {
			w.forgot[viewer.UserID] = len(w.history(w.admin, "f", 100))
		}
	case 8, 9:
		visibility := []string{"world_readable", "shared", "invited", "joined"}[w.random.IntN(4)]
		w.admin.Put(in(w.room, "state", "m.room.history_visibility", ""), object{"history_visibility": visibility}).OK()
	default:
		w.talk(fmt.Sprintf("%d %d", len(w.tokens), i))
	}
	if w.random.IntN(6) == 0 {
		token := w.admin.Get("/_matrix/client/v3/sync?timeout=0").OK().String("next_batch")
		w.tokens = append(w.tokens, syncedAt{token, len(w.history(w.admin, "f", 100))})
	}
}

// talk says something about what was said first.
func (w *watched) talk(txn string) {
	content := object{"msgtype": "m.text", "body": txn}
	if w.first != "" {
		content["m.relates_to"] = object{"rel_type": "m.thread", "event_id": w.first}
	}
	id := w.admin.Put(in(w.room, "send", "m.room.message", txn), content).OK().String("event_id")
	if w.first == "" {
		w.first = id
	}
}

// history reads all that /messages shows, a page at a time.
func (w *watched) history(viewer *homeservertest.Client, dir string, limit int) []clientEvent {
	var all []clientEvent
	from := ""
	for {
		r := viewer.Get(in(w.room, "messages") + fmt.Sprintf("?dir=%s&limit=%d&from=%s", dir, limit, from))
		if r.Status == 403 {
			return nil
		}
		var p page
		r.OK().JSON(&p)
		all = append(all, p.Chunk...)
		if from = url.QueryEscape(p.End); from == "" {
			break
		}
	}
	if dir == "b" {
		slices.Reverse(all)
	}
	return all
}

func idsOf(events []clientEvent) []string {
	ids := []string{}
	for _, ev := range events {
		ids = append(ids, ev.EventID)
	}
	return ids
}

// look compares what each viewer is shown with the model.
func (w *watched) look() {
	w.events = w.history(w.admin, "f", 100)
	for _, viewer := range append(w.viewers, w.admin) {
		m := &historyModel{events: w.events, viewer: viewer.UserID}
		m.forgot = w.forgot[viewer.UserID] > 0 && !slices.ContainsFunc(w.events[w.forgot[viewer.UserID]:], m.isOwn)
		seen := m.visible()
		want := []string{}
		for _, ev := range w.events {
			if seen[ev.EventID] {
				want = append(want, ev.EventID)
			}
		}
		w.lists(viewer, want)
		w.single(viewer, m, seen)
		w.contexts(viewer, want)
		w.syncs(viewer, m, want)
		w.states(viewer, m)
		w.thread(viewer, want)
	}
}

// differs reports a difference, in places rather than ids.
func (w *watched) differs(viewer *homeservertest.Client, what string, want, got []string) {
	w.t.Helper()
	if slices.Equal(want, got) {
		return
	}
	name := func(ids []string) []string {
		named := []string{}
		for _, id := range ids {
			i := slices.IndexFunc(w.events, func(ev clientEvent) bool { return ev.EventID == id })
			named = append(named, w.describe(i))
		}
		return named
	}
	w.t.Errorf("%s: %s (-want +got):\n%s", viewer.UserID, what, cmp.Diff(name(want), name(got)))
}

func (w *watched) describe(i int) string {
	if i < 0 {
		return "unknown"
	}
	ev := w.events[i]
	text := fmt.Sprintf("%d %s", i, ev.Type)
	if ev.StateKey != nil {
		text += " " + *ev.StateKey
	}
	for _, key := range []string{"membership", "history_visibility"} {
		if v, ok := ev.Content[key].(string); ok {
			text += " " + v
		}
	}
	return text
}

func (w *watched) lists(viewer *homeservertest.Client, want []string) {
	for _, dir := range []string{"b", "f"} {
		got := idsOf(w.history(viewer, dir, 1+w.random.IntN(50)))
		w.differs(viewer, "/messages "+dir, want, got)
	}
}

func (w *watched) single(viewer *homeservertest.Client, m *historyModel, seen map[string]bool) {
	for i, ev := range w.events {
		r := viewer.Get(in(w.room, "event", ev.EventID))
		if want := seen[ev.EventID]; (r.Status == 200) != want || r.Status != 200 && r.Status != 404 {
			joined, left, open := m.now()
			w.t.Errorf("%s: /event of %s: %d, want seen: %v (joined %v, left at %d, forgot %v, now %s)", viewer.UserID,
				w.describe(i), r.Status, want, joined, left, m.forgot, open)
		}
	}
}

// contexts asks for what is around some events, all of them at once.
func (w *watched) contexts(viewer *homeservertest.Client, want []string) {
	for range 5 {
		id := w.events[w.random.IntN(len(w.events))].EventID
		r := viewer.Get(in(w.room, "context", id) + "?limit=100")
		if !slices.Contains(want, id) {
			r.Refused(404, "M_NOT_FOUND")
			continue
		}
		var around struct {
			Before []clientEvent `json:"events_before"`
			Event  clientEvent
			After  []clientEvent `json:"events_after"`
		}
		r.OK().JSON(&around)
		slices.Reverse(around.Before)
		got := append(append(idsOf(around.Before), around.Event.EventID), idsOf(around.After)...)
		at := slices.Index(want, id)
		w.differs(viewer, "/context", want[max(0, at-len(around.Before)):min(len(want), at+1+len(around.After))], got)
		if len(got) < min(len(want), 50) {
			w.t.Errorf("%s: /context shows %d of %d events", viewer.UserID, len(got), len(want))
		}
	}
}

// thread compares what of the thread is shown, and whether it is listed.
func (w *watched) thread(viewer *homeservertest.Client, want []string) {
	if w.first == "" {
		return
	}
	room := strings.Replace(in(w.room), "/v3/", "/v1/", 1)
	r := viewer.Get(room + "/relations/" + url.PathEscape(w.first) + "/m.thread?limit=100&dir=f")
	isSeen := slices.Contains(want, w.first)
	if !isSeen {
		r.Refused(404, "M_NOT_FOUND")
	} else {
		var answer struct{ Chunk []clientEvent }
		r.OK().JSON(&answer)
		related := slices.DeleteFunc(slices.Clone(want), func(id string) bool {
			i := slices.IndexFunc(w.events, func(ev clientEvent) bool { return ev.EventID == id })
			return w.events[i].Type != "m.room.message" || id == w.first
		})
		w.differs(viewer, "/relations", related, idsOf(answer.Chunk))
	}
	if r = viewer.Get(room + "/threads"); r.Status == 403 {
		return
	}
	var threads struct{ Chunk []clientEvent }
	r.OK().JSON(&threads)
	if len(threads.Chunk) > 0 && !isSeen {
		w.t.Errorf("%s: /threads shows a thread whose first event is hidden", viewer.UserID)
	}
}

// syncs compares an initial /sync, for those whom it tells of the room.
func (w *watched) syncs(viewer *homeservertest.Client, m *historyModel, want []string) {
	filter := fmt.Sprintf(`{"room":{"include_leave":true,"rooms":[%q],"timeline":{"limit":200}}}`, w.room)
	type section struct {
		Timeline struct{ Events []clientEvent }
	}
	var answer struct {
		Rooms struct{ Join, Leave map[string]section }
	}
	viewer.Get("/_matrix/client/v3/sync?timeout=0&filter=" + url.QueryEscape(filter)).OK().JSON(&answer)
	joined, left, _ := m.now()
	room, told := answer.Rooms.Join[w.room]
	if !joined {
		room, told = answer.Rooms.Leave[w.room]
	}
	switch {
	case told:
		w.differs(viewer, "/sync", m.told(w.events, want), idsOf(room.Timeline.Events))
	case joined || left >= 0 && !m.forgot && m.membership() != "invite":
		w.t.Errorf("%s: /sync does not tell of the room", viewer.UserID)
	}
}

// told is what /sync shows of want: of what became of a membership that had
// ended only the last, and that also to one who was never in the room.
func (m *historyModel) told(events []clientEvent, want []string) []string {
	joined, left, _ := m.now()
	if joined {
		return want
	}
	told := []string{}
	last := ""
	for i, ev := range events {
		if i <= left && slices.Contains(want, ev.EventID) {
			told = append(told, ev.EventID)
		} else if i > left && m.isOwn(ev) {
			last = ev.EventID
		}
	}
	if last != "" {
		told = append(told, last)
	}
	return told
}

// membership is what the viewer is to the room now.
func (m *historyModel) membership() any {
	var membership any = "leave"
	for _, ev := range m.events {
		if m.isOwn(ev) {
			membership = ev.Content["membership"]
		}
	}
	return membership
}

// states compares /state, and /members at random times.
func (w *watched) states(viewer *homeservertest.Client, m *historyModel) {
	r := viewer.Get(in(w.room, "state"))
	want := m.state(-1)
	if want == nil {
		r.Refused(403, "M_FORBIDDEN")
		viewer.Get(in(w.room, "members")).Refused(403, "M_FORBIDDEN")
		return
	}
	var state []clientEvent
	r.OK().JSON(&state)
	w.differs(viewer, "/state", slices.Sorted(maps.Values(want)), slices.Sorted(slices.Values(idsOf(state))))
	times := append([]syncedAt{{"", len(w.events)}}, w.tokens...)
	at := times[w.random.IntN(len(times))]
	members := []string{}
	for key, id := range m.state(at.events - 1) {
		if key[0] == "m.room.member" {
			members = append(members, id)
		}
	}
	query := ""
	if at.token != "" {
		query = "?at=" + url.QueryEscape(at.token)
	}
	var answer struct{ Chunk []clientEvent }
	viewer.Get(in(w.room, "members") + query).OK().JSON(&answer)
	w.differs(viewer, "/members", slices.Sorted(slices.Values(members)), slices.Sorted(slices.Values(idsOf(answer.Chunk))))
}
