// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

const (
	alice = event.UserID("@alice:" + storetest.ServerName)
	bob   = event.UserID("@bob:" + storetest.ServerName)
	carol = event.UserID("@carol:" + storetest.ServerName)
)

// world is a server without HTTP.
type world struct {
	testing.TB
	store  *store.Store
	rooms  *rooms.Service
	stream *stream.Service
	// created counts rooms.
	created int
}

// noProfiles knows nobody's name.
type noProfiles struct{}

func (noProfiles) Profile(context.Context, event.UserID) (string, string, error) { return "", "", nil }

// noKeys is the encryption of users who have no keys: only messages to devices.
type noKeys struct{ store *store.Store }

func (noKeys) OneTimeKeyCounts(context.Context, event.UserID, string) (map[string]int, []string, error) {
	return map[string]int{"signed_curve25519": 0}, []string{}, nil
}

func (k noKeys) ToDevice(ctx context.Context, user event.UserID, device string, after, upTo int64, limit int) ([]store.ToDeviceMessage, error) {
	return k.store.ToDevice(ctx, string(user), device, after, upTo, limit)
}

func (k noKeys) DeleteToDevice(ctx context.Context, user event.UserID, device string, upTo int64) error {
	return k.store.DeleteToDevice(ctx, string(user), device, upTo)
}

// newWorld starts a server on s until the test ends.
func newWorld(t testing.TB, s *store.Store, change ...func(*stream.Options)) *world {
	t.Helper()
	w, stop := startWorld(t, s, change...)
	t.Cleanup(stop)
	return w
}

// startWorld starts a server on s until stop is called.
func startWorld(t testing.TB, s *store.Store, change ...func(*stream.Options)) (*world, func()) {
	t.Helper()
	w := &world{TB: t, store: s}
	w.rooms = rooms.New(rooms.Options{
		Store: s, Profiles: noProfiles{},
		Signer: event.Signer{Server: storetest.ServerName, KeyID: "ed25519:t", PrivateKey: ed25519.NewKeyFromSeed(make([]byte, 32))},
	})
	o := stream.Options{Store: s, Rooms: w.rooms, Keys: noKeys{s}, Push: push.New(push.Options{Store: s, Rooms: w.rooms})}
	for _, f := range change {
		f(&o)
	}
	w.stream = stream.New(o)
	stopStore := storetest.Start(context.Background(), t, s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.stream.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run stream: %v", err)
		}
		stopStore()
	}
}

func (w *world) ctx() context.Context { return context.Background() }

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// create makes a room that everybody may join.
func (w *world) create(creator event.UserID, more ...func(*rooms.CreateRequest)) event.RoomID {
	w.Helper()
	w.created++ // tells rooms of one moment apart, whose ids are hashes
	r := rooms.CreateRequest{
		Creator: creator, Preset: "public_chat", CreationContent: []byte(fmt.Sprintf(`{"test.n":%d}`, w.created)),
	}
	for _, f := range more {
		f(&r)
	}
	id, err := w.rooms.Create(w.ctx(), r)
	w.ok(err)
	return id
}

func (w *world) join(room event.RoomID, users ...event.UserID) {
	w.Helper()
	for _, u := range users {
		w.ok(w.rooms.Join(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: u, Target: u}))
	}
}

func (w *world) leave(room event.RoomID, user event.UserID) {
	w.Helper()
	w.ok(w.rooms.Leave(w.ctx(), rooms.MemberRequest{RoomID: room, Sender: user, Target: user}))
}

func (w *world) send(room event.RoomID, user event.UserID, text string) event.EventID {
	w.Helper()
	body, err := json.Marshal(map[string]string{"msgtype": "m.text", "body": text})
	w.ok(err)
	id, err := w.rooms.Send(w.ctx(), rooms.SendRequest{RoomID: room, Sender: user, Type: "m.room.message", Content: body})
	w.ok(err)
	return id
}

func (w *world) state(room event.RoomID, user event.UserID, typ, content string) event.EventID {
	w.Helper()
	key := ""
	id, err := w.rooms.Send(w.ctx(), rooms.SendRequest{RoomID: room, Sender: user, Type: typ, StateKey: &key, Content: []byte(content)})
	w.ok(err)
	return id
}

// clientEvent is an event in an answer.
type clientEvent struct {
	ID       string          `json:"event_id"`
	Type     string          `json:"type"`
	Sender   string          `json:"sender"`
	StateKey *string         `json:"state_key"`
	RoomID   string          `json:"room_id"`
	Content  json.RawMessage `json:"content"`
	Unsigned struct {
		Membership string `json:"membership"`
	} `json:"unsigned"`
}

type events struct {
	Events []clientEvent `json:"events"`
}

type roomAnswer struct {
	Timeline *struct {
		Events    []clientEvent `json:"events"`
		Limited   bool          `json:"limited"`
		PrevBatch string        `json:"prev_batch"`
	} `json:"timeline"`
	State       *events `json:"state"`
	StateAfter  *events `json:"state_after"`
	Ephemeral   events  `json:"ephemeral"`
	AccountData events  `json:"account_data"`
	Summary     *struct {
		Heroes  []string `json:"m.heroes"`
		Joined  int      `json:"m.joined_member_count"`
		Invited int      `json:"m.invited_member_count"`
	} `json:"summary"`
	InviteState *events `json:"invite_state"`
	KnockState  *events `json:"knock_state"`
}

type answer struct {
	NextBatch   string         `json:"next_batch"`
	OTK         map[string]int `json:"device_one_time_keys_count"`
	Fallback    []string       `json:"device_unused_fallback_key_types"`
	AccountData events         `json:"account_data"`
	ToDevice    events         `json:"to_device"`
	Presence    events         `json:"presence"`
	DeviceLists *struct {
		Changed []string `json:"changed"`
		Left    []string `json:"left"`
	} `json:"device_lists"`
	Rooms struct {
		Join   map[event.RoomID]*roomAnswer `json:"join"`
		Invite map[event.RoomID]*roomAnswer `json:"invite"`
		Knock  map[event.RoomID]*roomAnswer `json:"knock"`
		Leave  map[event.RoomID]*roomAnswer `json:"leave"`
	} `json:"rooms"`
}

// quiet reports whether the answer says nothing.
func (a *answer) quiet() bool {
	return len(a.Rooms.Join)+len(a.Rooms.Invite)+len(a.Rooms.Knock)+len(a.Rooms.Leave)+
		len(a.AccountData.Events)+len(a.ToDevice.Events)+len(a.Presence.Events) == 0 && a.DeviceLists == nil
}

// device is one client that syncs.
type device struct {
	*world
	user  event.UserID
	id    string
	since string
	// filter is JSON, empty for none.
	filter                   string
	fullState, useStateAfter bool
	// presence is what its syncs say of the user.
	presence stream.PresenceState
}

func (w *world) device(user event.UserID) *device { return &device{world: w, user: user, id: "D"} }

func (d *device) with(filter string) *device { d.filter = filter; return d }

// sync syncs without waiting and goes on from there the next time.
func (d *device) sync() *answer { d.Helper(); return d.wait(0) }

// wait syncs and waits up to timeout.
func (d *device) wait(timeout time.Duration) *answer {
	d.Helper()
	a, err := d.try(d.ctx(), timeout)
	d.ok(err)
	d.since = a.NextBatch
	return a
}

func (d *device) try(ctx context.Context, timeout time.Duration) (*answer, error) {
	r := stream.Request{User: d.user, Device: d.id, FullState: d.fullState, UseStateAfter: d.useStateAfter, Timeout: timeout, Presence: d.presence}
	if d.since != "" {
		token, err := stream.ParseToken(d.since)
		if err != nil {
			return nil, err
		}
		r.Since = &token
	}
	if d.filter != "" {
		f, err := filter.Parse([]byte(d.filter))
		if err != nil {
			return nil, err
		}
		r.Filter = f
	}
	var pieces bytes.Buffer
	r.Write = func(p []byte) error { pieces.Write(p); return nil }
	body, err := d.stream.Sync(ctx, r)
	if err != nil {
		return nil, err
	}
	pieces.Write(body)
	a := &answer{}
	return a, json.Unmarshal(pieces.Bytes(), a)
}

// ids lists events by id.
func ids(all []clientEvent) []string {
	list := []string{}
	for _, e := range all {
		list = append(list, e.ID)
	}
	return list
}

// types lists events by type, members with their key.
func types(all []clientEvent) []string {
	list := []string{}
	for _, e := range all {
		name := e.Type
		if e.StateKey != nil && *e.StateKey != "" {
			name += " " + *e.StateKey
		}
		list = append(list, name)
	}
	return list
}
