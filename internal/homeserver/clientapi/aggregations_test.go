// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// told is a bundle in short: the ids of references, of the replacement and of
// a thread's last event, with what is in turn bundled with that.
type told struct {
	References []string
	Edit       string
	Thread     *toldThread
}

type toldThread struct {
	Count        int
	Participated bool
	Last         string
	LastEdit     string
}

// bundle reads what an event's unsigned tells of those that point at it.
func (ev clientEvent) bundle() told {
	var b told
	all, _ := ev.Unsigned["m.relations"].(object)
	if refs, ok := all["m.reference"].(object); ok {
		for _, ref := range refs["chunk"].([]any) {
			b.References = append(b.References, ref.(object)["event_id"].(string))
		}
	}
	if edit, ok := all["m.replace"].(object); ok {
		b.Edit = edit["event_id"].(string)
	}
	if thread, ok := all["m.thread"].(object); ok {
		last := thread["latest_event"].(object)
		b.Thread = &toldThread{
			Count: int(thread["count"].(float64)), Participated: thread["current_user_participated"].(bool), Last: last["event_id"].(string),
		}
		unsigned, _ := last["unsigned"].(object)
		b.Thread.LastEdit = clientEvent{Unsigned: unsigned}.bundle().Edit
	}
	return b
}

func bundleOf(c *homeservertest.Client, room, id string) told {
	var ev clientEvent
	c.Get(in(room, "event", id)).OK().JSON(&ev)
	return ev.bundle()
}

// find returns the event of a list with an id.
func find(t *testing.T, where string, events []clientEvent, id string) clientEvent {
	t.Helper()
	for _, ev := range events {
		if ev.EventID == id {
			return ev
		}
	}
	t.Errorf("%s does not have %s", where, id)
	return clientEvent{}
}

func TestBundlesAreTheSameInEveryAnswerThatHasEvents(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		top := say(c.alice, room, "top", "top")
		root := relate(c.alice, room, "m.reference", top, "root")
		plainRoot := say(c.alice, room, "plain", "plain root")
		since := c.bob.Get(clientV3 + "/sync?timeout=0").OK().String("next_batch")
		ref := relate(c.bob, room, "m.reference", root, "ref")
		edit := sendContent(c.alice, room, "m.room.message", "e", editing(root, "edited"))
		first := relate(c.bob, room, "m.thread", plainRoot, "first")
		last := relate(c.bob, room, "m.thread", plainRoot, "last")
		lastEdit := sendContent(c.bob, room, "m.room.message", "e", editing(last, "last, edited"))
		sendContent(c.bob, room, "m.reaction", "r", reaction(root, "+1"))
		wants := map[string]told{
			root:      {References: []string{ref}, Edit: edit},
			plainRoot: {Thread: &toldThread{Count: 2, Participated: true, Last: last, LastEdit: lastEdit}},
			last:      {Edit: lastEdit},
			first:     {},
		}
		check := func(where string, events []clientEvent, ids ...string) {
			t.Helper()
			for _, id := range ids {
				if diff := cmp.Diff(wants[id], find(t, where, events, id).bundle()); diff != "" {
					t.Errorf("%s, %s (-want +got):\n%s", where, id, diff)
				}
			}
		}
		for id, want := range wants {
			if diff := cmp.Diff(want, bundleOf(c.alice, room, id)); diff != "" {
				t.Errorf("/event of %s (-want +got):\n%s", id, diff)
			}
		}
		check("/messages", messages(c.alice, room, "dir=b&limit=50").Chunk, root, plainRoot, last, first)
		var around struct {
			Event  clientEvent
			Before []clientEvent `json:"events_before"`
			After  []clientEvent `json:"events_after"`
		}
		c.alice.Get(in(room, "context", plainRoot) + "?limit=50").OK().JSON(&around)
		check("/context", []clientEvent{around.Event}, plainRoot)
		check("/context before", around.Before, root)
		check("/context after", around.After, last)
		check("/relations", pageOf(c.alice, relations(room, top)).Chunk, root)
		check("/relations of a type", pageOf(c.alice, relations(room, plainRoot, "m.thread", "m.room.message")).Chunk, last, first)
		check("/threads", pageOf(c.alice, threads(room)).Chunk, plainRoot)
		check("limited /sync", synced(c.alice, room, ""), root, plainRoot, last)
		if got := find(t, "/sync", synced(c.bob, room, since), last).Unsigned["m.relations"]; got != nil {
			t.Errorf("a /sync that leaves out nothing has %v", got)
		}
		if bundle := bundleOf(c.alice, room, ref); bundle.Edit != "" || bundle.Thread != nil || bundle.References != nil {
			t.Errorf("nothing points at %s: %+v", ref, bundle)
		}
	})
}

// synced is the timeline of a room, of at most 12 events.
func synced(c *homeservertest.Client, room, since string) []clientEvent {
	path := clientV3 + "/sync?timeout=0&filter=" + url.QueryEscape(`{"room":{"timeline":{"limit":12}}}`)
	if since != "" {
		path += "&since=" + since
	}
	var answer struct {
		Rooms struct {
			Join map[string]struct {
				Timeline struct{ Events []clientEvent }
			}
		}
	}
	c.Get(path).OK().JSON(&answer)
	return answer.Rooms.Join[room].Timeline.Events
}

func TestABundledEventLooksAsItDoesByItself(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		root := say(c.alice, room, "root", "root")
		edit := sendContent(c.alice, room, "m.room.message", "e", editing(root, "edited"))
		reply := relate(c.alice, room, "m.thread", root, "reply")
		for _, path := range []string{in(room, "event", root), in(room, "context", root)} {
			keys := []string{"unsigned", "m.relations"}
			if strings.Contains(path, "/context/") {
				keys = append([]string{"event"}, keys...)
			}
			got := c.alice.Get(path).OK().Value(keys...).(object)
			for id, bundled := range map[string]any{edit: got["m.replace"], reply: got["m.thread"].(object)["latest_event"]} {
				want := c.alice.Get(in(room, "event", id)).OK().Value().(object)
				for _, ev := range []any{want, bundled} {
					delete(ev.(object)["unsigned"].(object), "age")
				}
				if diff := cmp.Diff(any(want), bundled); diff != "" {
					t.Errorf("%s in %s (-want +got):\n%s", id, path, diff)
				}
			}
		}
		if txn := c.bob.Get(in(room, "event", root)).OK().Value("unsigned", "m.relations", "m.replace", "unsigned").(object)["transaction_id"]; txn != nil {
			t.Errorf("bob is shown alice's transaction id %v", txn)
		}
	})
}

func TestOnlyAValidEditIsBundled(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob)
		state := func(key string, content object) string {
			return c.alice.Put(in(room, "state", "org.example.state", key), content).OK().String("event_id")
		}
		for i, test := range []struct {
			name string
			edit func(root string) string
			ok   bool
		}{
			{"by its sender", func(root string) string {
				return sendContent(c.alice, room, "m.room.message", "ok", editing(root, "x"))
			}, true},
			{"by somebody else", func(root string) string {
				return sendContent(c.bob, room, "m.room.message", "bob", editing(root, "x"))
			}, false},
			{"of another type", func(root string) string {
				return sendContent(c.alice, room, "org.example.note", "type", editing(root, "x"))
			}, false},
			{"encrypted, of what was not", func(root string) string {
				return sendContent(c.alice, room, "m.room.encrypted", "enc", relating("m.replace", root, "x"))
			}, false},
			{"without a new content", func(root string) string {
				return relate(c.alice, room, "m.replace", root, "x")
			}, false},
			{"with a new content that is none", func(root string) string {
				content := editing(root, "x")
				content["m.new_content"] = "x"
				return sendContent(c.alice, room, "m.room.message", "none", content)
			}, false},
			{"that is state", func(root string) string { return state("edit", editing(root, "x")) }, false},
			{"of an edit", func(root string) string {
				edit := sendContent(c.alice, room, "m.room.message", "edit", editing(root, "x"))
				if got := bundleOf(c.alice, room, edit); got.Edit != "" {
					t.Errorf("an edit is edited before it is: %+v", got)
				}
				sendContent(c.alice, room, "m.room.message", "edit of edit", editing(edit, "y"))
				if got := bundleOf(c.alice, room, edit); got.Edit != "" {
					t.Errorf("an edit is edited: %+v", got)
				}
				return edit
			}, true},
		} {
			root := say(c.alice, room, fmt.Sprint("root ", i), "root")
			want := test.edit(root)
			if !test.ok {
				want = ""
			}
			if got := bundleOf(c.bob, room, root).Edit; got != want {
				t.Errorf("%s: %q is bundled, want %q", test.name, got, want)
			}
			// One who may not see everything gets the same, by another way.
			c.carol.Post(in(room, "join"), object{}).OK()
			c.carol.Post(in(room, "leave"), object{}).OK()
			if got := bundleOf(c.carol, room, root).Edit; got != want {
				t.Errorf("%s, to one who left: %q is bundled, want %q", test.name, got, want)
			}
		}
		encrypted := sendContent(c.alice, room, "m.room.encrypted", "root", object{"ciphertext": "x"})
		sendContent(c.alice, room, "m.room.message", "to plain", editing(encrypted, "plain"))
		edit := sendContent(c.alice, room, "m.room.encrypted", "edit", relating("m.replace", encrypted, "x"))
		if got := bundleOf(c.bob, room, encrypted).Edit; got != edit {
			t.Errorf("of an encrypted event %q is bundled, want %q", got, edit)
		}
		old := state("root", object{"body": "x"})
		sendContent(c.alice, room, "org.example.state", "of state", editing(old, "x"))
		relate(c.alice, room, "m.reference", old, "x")
		if got := bundleOf(c.alice, room, old); !cmp.Equal(got, told{}) {
			t.Errorf("a state event has %+v", got)
		}
	})
}

func TestTheLastEditByTheClockIsBundled(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	homeservertest.Each(t, homeservertest.Options{Now: clock}, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		room := createRoom(alice, object{"preset": "public_chat"})
		root := say(alice, room, "root", "root")
		edit := func(txn string) string {
			return sendContent(alice, room, "m.room.message", txn, editing(root, txn))
		}
		check := func(when, want string) {
			t.Helper()
			for _, user := range []*homeservertest.Client{alice, bob} {
				if got := bundleOf(user, room, root).Edit; got != want {
					t.Errorf("%s %s is shown %q, want %q", when, user.UserID, got, want)
				}
			}
		}
		bob.Post(in(room, "join"), object{}).OK()
		early := edit("1")
		now.Add(1000)
		one, two := edit("2"), edit("3")
		now.Add(-500)
		edit("4")
		now.Add(500)
		bob.Post(in(room, "leave"), object{}).OK()
		check("of two at once", max(one, two))
		redact(alice, room, max(one, two))
		check("without that", min(one, two))
		redact(alice, room, min(one, two))
		redact(alice, room, max(one, two)) // again
		redact(alice, room, edit("5"))
		later := editWithText(alice, room, root, "4")
		check("of the first two by the clock", later)
		redact(alice, room, later)
		check("of the first", early)
		redact(alice, room, root)
		check("of nothing", "")
	})
}

// editWithText finds an edit by its new text.
func editWithText(c *homeservertest.Client, room, root, text string) string {
	for _, ev := range pageOf(c, relations(room, root, "m.replace")).Chunk {
		if ev.Content["body"] == "* "+text {
			return ev.EventID
		}
	}
	return ""
}

func TestAThreadIsCountedForEachViewer(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		root := say(c.alice, room, "root", "root")
		check := func(when string, want map[*homeservertest.Client]*toldThread) {
			t.Helper()
			for user, thread := range want {
				if diff := cmp.Diff(thread, bundleOf(user, room, root).Thread); diff != "" {
					t.Errorf("%s, to %s (-want +got):\n%s", when, user.UserID, diff)
				}
			}
		}
		check("before it begins", map[*homeservertest.Client]*toldThread{c.alice: nil, c.bob: nil})
		one := relate(c.bob, room, "m.thread", root, "1")
		check("with one reply", map[*homeservertest.Client]*toldThread{
			c.alice: {1, true, one, ""}, c.bob: {1, true, one, ""}, c.carol: {1, false, one, ""},
		})
		two := relate(c.carol, room, "m.thread", root, "2")
		ignore(c.bob, c.carol)
		ignore(c.carol, c.bob)
		check("with users ignored", map[*homeservertest.Client]*toldThread{
			c.alice: {2, true, two, ""}, c.bob: {1, true, one, ""}, c.carol: {1, true, two, ""},
		})
		redact(c.bob, room, one)
		check("with one redacted", map[*homeservertest.Client]*toldThread{
			c.alice: {1, true, two, ""}, c.bob: nil, c.carol: {1, true, two, ""},
		})
		c.server.Restart()
		ignore(c.bob)
		check("with nobody ignored any more", map[*homeservertest.Client]*toldThread{c.bob: {1, false, two, ""}})
		redact(c.carol, room, two)
		check("with all redacted", map[*homeservertest.Client]*toldThread{c.alice: nil, c.bob: nil, c.carol: nil})
		three := relate(c.carol, room, "m.thread", root, "3")
		redact(c.alice, room, root)
		check("with the root redacted", map[*homeservertest.Client]*toldThread{c.alice: {1, true, three, ""}})
	})
}

func TestReferencesAndEditsOfIgnoredUsersAreNotBundled(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom(c.bob, c.carol)
		root := say(c.alice, room, "root", "root")
		edit := sendContent(c.alice, room, "m.room.message", "e", editing(root, "edited"))
		ofBob, ofCarol := relate(c.bob, room, "m.reference", root, "1"), relate(c.carol, room, "m.reference", root, "2")
		reply := relate(c.carol, room, "m.thread", root, "reply")
		replyEdit := sendContent(c.carol, room, "m.room.message", "e", editing(reply, "reply"))
		all := told{References: []string{ofBob, ofCarol}, Edit: edit, Thread: &toldThread{1, false, reply, replyEdit}}
		if diff := cmp.Diff(all, bundleOf(c.bob, room, root)); diff != "" {
			t.Errorf("with nobody ignored (-want +got):\n%s", diff)
		}
		ignore(c.bob, c.carol)
		if diff := cmp.Diff(told{References: []string{ofBob}, Edit: edit}, bundleOf(c.bob, room, root)); diff != "" {
			t.Errorf("with carol ignored (-want +got):\n%s", diff)
		}
		redact(c.bob, room, ofBob)
		if diff := cmp.Diff(told{Edit: edit}, bundleOf(c.bob, room, root)); diff != "" {
			t.Errorf("without bob's reference (-want +got):\n%s", diff)
		}
		ignore(c.bob, c.bob) // has no effect
		if diff := cmp.Diff(told{References: []string{ofCarol}, Edit: edit, Thread: all.Thread}, bundleOf(c.bob, room, root)); diff != "" {
			t.Errorf("with oneself ignored (-want +got):\n%s", diff)
		}
	})
}

func TestOfManyReferencesTheNewestAreBundled(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		room := c.publicRoom()
		root := say(c.alice, room, "root", "root")
		var ids []string
		for i := range 103 {
			ids = append(ids, relate(c.alice, room, "m.reference", root, fmt.Sprint(i)))
		}
		if diff := cmp.Diff(ids[3:], bundleOf(c.alice, room, root).References); diff != "" {
			t.Error(diff)
		}
		// H54: a page has no more either, whatever is asked for.
		for path, want := range map[string]int{
			relations(room, root) + "?limit=1099511627776": 100, relations(room, root): 20, threads(room) + "?limit=1099511627776": 0,
		} {
			if got := len(pageOf(c.alice, path).Chunk); got != want {
				t.Errorf("%s: %d events, want %d", path, got, want)
			}
		}
	})
}

// What is counted by the database for those who see everything, and event by
// event for others, is what /relations shows them one by one.
func TestBundlesAgreeWithTheEventsThatAUserMaySee(t *testing.T) {
	eachChat(t, func(t *testing.T, c *chat) {
		rng := rand.New(rand.NewPCG(11, 11))
		room := c.publicRoom()
		roots := []string{say(c.alice, room, "a", "a"), say(c.alice, room, "b", "b")}
		users := []*homeservertest.Client{c.alice, c.bob, c.carol}
		isIn := map[*homeservertest.Client]bool{c.alice: true}
		var replies []string
		by := map[string]*homeservertest.Client{}
		for i := range 90 {
			user := users[rng.IntN(3)]
			switch action := rng.IntN(12); {
			case action == 0 && user != c.alice:
				step := map[bool]string{true: "leave", false: "join"}[isIn[user]]
				user.Post(in(room, step), object{}).OK()
				isIn[user] = !isIn[user]
			case action == 1:
				value := []string{"shared", "joined", "invited", "world_readable"}[rng.IntN(4)]
				c.alice.Put(in(room, "state", "m.room.history_visibility", ""), object{"history_visibility": value}).OK()
			case action == 2 && len(replies) > 0:
				id := replies[rng.IntN(len(replies))]
				c.alice.Put(in(room, "redact", id, fmt.Sprint(i)), object{}).OK()
			case action == 3:
				ignore(user, users[rng.IntN(3)])
			case isIn[user]:
				id := relate(user, room, []string{"m.thread", "m.reference"}[rng.IntN(2)], roots[rng.IntN(2)], fmt.Sprint(i))
				replies = append(replies, id)
				by[id] = user
			}
			if i%10 != 9 {
				continue
			}
			for _, viewer := range users {
				for _, root := range roots {
					checkBundle(t, viewer, room, root, by)
				}
			}
		}
	})
}

// checkBundle compares a bundle with what /relations shows of the same event.
func checkBundle(t *testing.T, viewer *homeservertest.Client, room, root string, by map[string]*homeservertest.Client) {
	t.Helper()
	r := viewer.Get(in(room, "event", root))
	if r.Status != 200 {
		r.Refused(404, "M_NOT_FOUND")
		return
	}
	var ev clientEvent
	r.JSON(&ev)
	var want told
	for _, ref := range pageOf(viewer, relations(room, root, "m.reference")+"?dir=f&limit=100").Chunk {
		want.References = append(want.References, ref.EventID)
	}
	replies := pageOf(viewer, relations(room, root, "m.thread")+"?limit=100").Chunk
	if len(replies) > 0 {
		want.Thread = &toldThread{Count: len(replies), Last: replies[0].EventID, Participated: ev.Sender == viewer.UserID}
		for _, reply := range replies {
			want.Thread.Participated = want.Thread.Participated || by[reply.EventID].UserID == viewer.UserID
		}
	}
	if diff := cmp.Diff(want, ev.bundle()); diff != "" {
		t.Errorf("%s of %s (-want +got):\n%s", viewer.UserID, root, diff)
	}
}

func TestBundlesFollowWhatOtherReplicasWrite(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{Postgres: true})
	alice := s.Register("alice")
	elsewhere := s.Replica().Login("alice", "LAPTOP")
	room := createRoom(alice, object{})
	since := elsewhere.Get(clientV3 + "/sync?timeout=0").OK().String("next_batch")
	// The other replica has an event when its /sync has it.
	wait := func(id string) {
		for found := false; !found; {
			r := elsewhere.Get(clientV3 + "/sync?timeout=30000&since=" + since).OK()
			since, found = r.String("next_batch"), strings.Contains(string(r.Body), id)
		}
	}
	root := say(alice, room, "root", "root")
	var last string
	for i := range 3 {
		last = relate(alice, room, "m.thread", root, fmt.Sprint(i))
		wait(last)
		if diff := cmp.Diff(&toldThread{Count: i + 1, Participated: true, Last: last}, bundleOf(elsewhere, room, root).Thread); diff != "" {
			t.Errorf("after %d replies (-want +got):\n%s", i+1, diff)
		}
	}
	wait(alice.Put(in(room, "redact", last, "r"), object{}).OK().String("event_id"))
	if got := bundleOf(elsewhere, room, root).Thread; got == nil || got.Count != 2 || got.Last == last {
		t.Errorf("after the redaction: %+v", got)
	}
}
