// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (w *world) read(room event.RoomID, user event.UserID, markers ...stream.Marker) {
	w.Helper()
	w.ok(w.stream.SetMarkers(w.ctx(), user, room, markers))
}

// receipts lists "event type user thread" of the m.receipt events in an answer.
func receipts(t testing.TB, all events) []string {
	t.Helper()
	list := []string{}
	for _, e := range all.Events {
		if e.Type != "m.receipt" {
			continue
		}
		var content map[string]map[string]map[string]struct {
			TS     int64  `json:"ts"`
			Thread string `json:"thread_id"`
		}
		if err := json.Unmarshal(e.Content, &content); err != nil {
			t.Fatal(err)
		}
		for id, byType := range content {
			for typ, byUser := range byType {
				for user, r := range byUser {
					if r.TS == 0 {
						t.Errorf("a receipt without time: %s", e.Content)
					}
					list = append(list, fmt.Sprint(id, " ", typ, " ", user, " ", r.Thread))
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestReceiptsMoveForwardsOnly(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	one, two := w.send(room, alice, "1"), w.send(room, alice, "2")
	d := w.device(alice)
	d.sync()
	w.read(room, bob, stream.Marker{Type: "m.read", EventID: two})
	want := []string{fmt.Sprint(two, " m.read ", bob, " ")}
	if got := receipts(t, d.sync().Rooms.Join[room].Ephemeral); !cmp.Equal(got, want) {
		t.Errorf("receipts %v, want %v", got, want)
	}
	w.read(room, bob, stream.Marker{Type: "m.read", EventID: one})
	if a := d.sync(); !a.quiet() {
		t.Errorf("a receipt moved back: %+v", a.Rooms.Join[room])
	}
	if got := receipts(t, w.device(alice).sync().Rooms.Join[room].Ephemeral); !cmp.Equal(got, want) {
		t.Errorf("initial receipts %v, want %v", got, want)
	}
}

func TestPrivateReceiptsAreForTheirSender(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	m := w.send(room, alice, "1")
	a, b := w.device(alice), w.device(bob)
	a.sync()
	b.sync()
	w.read(room, bob, stream.Marker{Type: "m.read.private", EventID: m})
	if got := a.sync(); !got.quiet() {
		t.Errorf("alice sees bob's private receipt: %+v", got)
	}
	want := []string{fmt.Sprint(m, " m.read.private ", bob, " ")}
	if got := receipts(t, b.sync().Rooms.Join[room].Ephemeral); !cmp.Equal(got, want) {
		t.Errorf("bob's receipts %v, want %v", got, want)
	}
	if got := receipts(t, w.device(alice).sync().Rooms.Join[room].Ephemeral); len(got) != 0 {
		t.Errorf("alice's initial sync has %v", got)
	}
}

func TestReceiptsOfSeveralThreadsOnOneEventAllArrive(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	m := w.send(room, alice, "1")
	w.read(room, bob, stream.Marker{Type: "m.read", EventID: m}, stream.Marker{Type: "m.read", EventID: m, Thread: "main"})
	want := []string{fmt.Sprint(m, " m.read ", bob, " "), fmt.Sprint(m, " m.read ", bob, " main")}
	if got := receipts(t, w.device(alice).sync().Rooms.Join[room].Ephemeral); !cmp.Equal(got, want) {
		t.Errorf("receipts %v, want %v", got, want)
	}
}

func TestThreadsOfReceipts(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	root := w.send(room, alice, "root")
	relate := func(typ string, to event.EventID) event.EventID {
		content := fmt.Sprintf(`{"body":"x","m.relates_to":{"rel_type":%q,"event_id":%q}}`, typ, to)
		id, err := w.rooms.Send(w.ctx(), rooms.SendRequest{RoomID: room, Sender: alice, Type: "m.room.message", Content: []byte(content)})
		w.ok(err)
		return id
	}
	inside := relate("m.thread", root)
	edit := relate("m.replace", inside)
	reaction := relate("m.annotation", root)
	other := w.send(room, alice, "other")
	for _, c := range []struct {
		name   string
		on     event.EventID
		thread string
		ok     bool
	}{
		{"a reply in its thread", inside, string(root), true},
		{"a reply not in the main timeline", inside, "main", false},
		{"an edit of a reply in the thread", edit, string(root), true},
		{"the root in the main timeline", root, "main", true},
		{"the root in its thread", root, string(root), true},
		{"a reaction to the root in the main timeline", reaction, "main", true},
		{"another message not in the thread", other, string(root), false},
		{"another message in the main timeline", other, "main", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.stream.SetMarkers(w.ctx(), alice, room, []stream.Marker{{Type: "m.read", EventID: c.on, Thread: c.thread}})
			if c.ok && err != nil || !c.ok && !matrixerr.Is(err, "M_INVALID_PARAM") {
				t.Errorf("error %v, want allowed %v", err, c.ok)
			}
		})
	}
}

func TestMarkersNeedAnEventOfTheRoomAndMembership(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room, other := w.create(alice), w.create(alice)
	foreign := w.send(other, alice, "x")
	own := w.send(room, alice, "y")
	for _, c := range []struct {
		name string
		user event.UserID
		on   event.EventID
		code string
	}{
		{"an event of another room", alice, foreign, "M_NOT_FOUND"},
		{"an unknown event", alice, "$nonsense", "M_NOT_FOUND"},
		{"a user outside", bob, own, "M_FORBIDDEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.stream.SetMarkers(w.ctx(), c.user, room, []stream.Marker{{Type: "m.read", EventID: c.on}})
			if !matrixerr.Is(err, c.code) {
				t.Errorf("error %v, want %s", err, c.code)
			}
		})
	}
}

func TestTheReadMarkerIsRoomAccountData(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	one, two := w.send(room, alice, "1"), w.send(room, alice, "2")
	d := w.device(alice)
	d.sync()
	w.read(room, alice, stream.Marker{Type: "m.fully_read", EventID: two}, stream.Marker{Type: "m.read", EventID: one})
	r := d.sync().Rooms.Join[room]
	if len(r.AccountData.Events) != 1 || string(r.AccountData.Events[0].Content) != fmt.Sprintf(`{"event_id":%q}`, two) {
		t.Errorf("account data %+v", r.AccountData)
	}
	if got := receipts(t, r.Ephemeral); len(got) != 1 {
		t.Errorf("receipts %v", got)
	}
	w.read(room, alice, stream.Marker{Type: "m.fully_read", EventID: one})
	if a := d.sync(); !a.quiet() {
		t.Errorf("the marker moved back: %+v", a)
	}
	got, err := w.stream.AccountData(w.ctx(), alice, room, "m.fully_read")
	if err != nil || string(got) != fmt.Sprintf(`{"event_id":%q}`, two) {
		t.Errorf("marker is %s, %v", got, err)
	}
}

func TestAccountDataArrivesWhereItBelongs(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(alice)
	w.join(room, bob)
	d, b := w.device(alice), w.device(bob)
	d.sync()
	b.sync()
	w.ok(w.stream.SetAccountData(w.ctx(), alice, "", stream.Data{Type: "org.x", Content: []byte(`{"a": 1}`)}))
	w.ok(w.stream.SetAccountData(w.ctx(), alice, room, stream.Data{Type: "m.tag", Content: []byte(`{"tags":{}}`)}))
	a := d.sync()
	if got := types(a.AccountData.Events); !slices.Equal(got, []string{"org.x"}) || string(a.AccountData.Events[0].Content) != `{"a":1}` {
		t.Errorf("global %+v", a.AccountData)
	}
	if got := types(a.Rooms.Join[room].AccountData.Events); !slices.Equal(got, []string{"m.tag"}) {
		t.Errorf("of the room %v", got)
	}
	if !b.sync().quiet() {
		t.Error("bob hears of alice's account data")
	}
	a = w.device(alice).sync()
	if got := types(a.AccountData.Events); !slices.Equal(got, []string{"m.push_rules", "org.x"}) {
		t.Errorf("initial global %v", got)
	}
	if got := types(a.Rooms.Join[room].AccountData.Events); !slices.Equal(got, []string{"m.tag"}) {
		t.Errorf("initial of the room %v", got)
	}
	a = w.device(alice).with(`{"account_data":{"not_types":["*"]},"room":{"account_data":{"types":["x"]}}}`).sync()
	if len(a.AccountData.Events) != 0 || len(a.Rooms.Join[room].AccountData.Events) != 0 {
		t.Errorf("filtered account data: %+v", a.AccountData)
	}
}

func TestToDeviceMessagesStayUntilConfirmed(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	d := w.device(bob)
	start := d.sync().NextBatch
	w.toDevice(bob, d.id, 1)
	if got := len(d.sync().ToDevice.Events); got != 1 {
		t.Fatalf("%d messages, want 1", got)
	}
	d.since = start // the answer was lost
	if got := len(d.sync().ToDevice.Events); got != 1 {
		t.Fatalf("after a lost answer %d messages, want 1", got)
	}
	if got := w.waiting(bob, d.id); got != 1 {
		t.Errorf("%d messages stored before the client confirmed, want 1", got)
	}
	if a := d.sync(); !a.quiet() {
		t.Errorf("told twice: %+v", a)
	}
	if got := w.waiting(bob, d.id); got != 0 {
		t.Errorf("%d messages stored after the client confirmed", got)
	}
	other := w.device(bob)
	other.id = "OTHER"
	if got := len(other.sync().ToDevice.Events); got != 0 {
		t.Errorf("another device got %d messages", got)
	}
}

func TestManyToDeviceMessagesComeInPortions(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	room := w.create(bob)
	d := w.device(bob)
	d.sync()
	w.toDevice(bob, d.id, 250)
	m := w.send(room, bob, "in between")
	var got []string
	messages := 0
	for i, want := range []int{100, 100, 50, 0} {
		a := d.sync()
		if len(a.ToDevice.Events) != want {
			t.Errorf("portion %d has %d messages, want %d", i, len(a.ToDevice.Events), want)
		}
		for _, e := range a.ToDevice.Events {
			if string(e.Content) != fmt.Sprintf(`{"n":%d}`, messages) {
				t.Fatalf("message %d is %s", messages, e.Content)
			}
			messages++
		}
		if r := a.Rooms.Join[room]; r != nil {
			got = append(got, ids(r.Timeline.Events)...)
		}
	}
	if !slices.Equal(got, []string{string(m)}) {
		t.Errorf("events between the portions: %v", got)
	}
	if n := w.waiting(bob, d.id); n != 0 {
		t.Errorf("%d messages left", n)
	}
}

// toDevice queues n messages.
func (w *world) toDevice(user event.UserID, device string, n int) {
	w.Helper()
	insert := &store.Insert{Table: "to_device", Columns: "user_id, device_id, stream_pos, content"}
	w.ok(w.store.Do(w.ctx(), func(_ context.Context, tx *store.Tx) error {
		for i := range n {
			pos := tx.Change(store.Change{Kind: store.ChangeToDevice, UserID: string(user)})
			tx.Insert(insert, string(user), []byte(device), pos, []byte(fmt.Sprintf(`{"content":{"n":%d},"sender":"@a:x","type":"t"}`, i)))
		}
		return nil
	}))
}

// change puts a change of a user's into the log.
func (w *world) change(kind store.ChangeKind, user event.UserID) {
	w.Helper()
	w.ok(w.store.Do(w.ctx(), func(_ context.Context, tx *store.Tx) error {
		tx.Change(store.Change{Kind: kind, UserID: string(user)})
		return nil
	}))
}

func (w *world) waiting(user event.UserID, device string) int {
	w.Helper()
	found, err := w.store.ToDevice(w.ctx(), string(user), device, 0, w.store.Log().Head(), 1000)
	w.ok(err)
	return len(found)
}

func TestDeviceListsFollowKeysAndRooms(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	encrypted := func(r *rooms.CreateRequest) {
		r.InitialState = []rooms.InitialState{{Type: "m.room.encryption", Content: []byte(`{"algorithm":"m.megolm.v1.aes-sha2"}`)}}
	}
	room := w.create(alice, encrypted)
	d := w.device(alice)
	d.sync()
	lists := func() string {
		a := d.sync()
		if a.DeviceLists == nil {
			return "nothing"
		}
		return fmt.Sprint(a.DeviceLists.Changed, a.DeviceLists.Left)
	}
	newKey := func(user event.UserID) { w.change(store.ChangeDeviceList, user) }
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"a stranger's new key is not told", func() { newKey(bob) }, "nothing"},
		{"a user who joins is told", func() { w.join(room, bob) }, fmt.Sprintf("[%s] []", bob)},
		{"the new key of a user in the room is told", func() { newKey(bob) }, fmt.Sprintf("[%s] []", bob)},
		{"the user's own new key is told", func() { newKey(alice) }, fmt.Sprintf("[%s] []", alice)},
		{"a user who leaves is told", func() { w.leave(room, bob) }, fmt.Sprintf("[] [%s]", bob)},
		{"and not followed any more", func() { newKey(bob) }, "nothing"},
		{"one who leaves and comes back with a new key is told", func() {
			w.join(room, bob)
			w.leave(room, bob)
			newKey(bob)
			w.join(room, bob)
		}, fmt.Sprintf("[%s] []", bob)},
		{"leaving a room with somebody is told", func() { w.leave(room, alice) }, fmt.Sprintf("[] [%s]", bob)},
		{"coming back is told", func() { w.join(room, alice) }, fmt.Sprintf("[%s] []", bob)},
		{"messages are not told", func() { w.send(room, bob, "x") }, "nothing"},
	} {
		step.do()
		if got := lists(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	plain := w.create(alice)
	w.join(plain, carol)
	if got := lists(); got != "nothing" {
		t.Errorf("a user in a room without encryption: %s", got)
	}
	w.state(plain, alice, "m.room.encryption", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
	if got, want := lists(), fmt.Sprintf("[%s] []", carol); got != want {
		t.Errorf("the room becomes encrypted: %s, want %s", got, want)
	}
	changed, left, err := w.stream.DeviceLists(w.ctx(), alice, 0, w.store.Log().Head())
	if err != nil || !slices.Contains(changed, bob) || slices.Contains(left, bob) {
		t.Errorf("changes since the beginning: %v %v %v", changed, left, err)
	}
}
