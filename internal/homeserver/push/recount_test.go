// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// noProfiles is of a server whose users have no profiles.
type noProfiles struct{}

func (noProfiles) Profile(context.Context, event.UserID) (string, string, error) { return "", "", nil }

// world is a server with one room, in which things happen at random.
type world struct {
	*testing.T
	store *store.Store
	rooms *rooms.Service
	push  *push.Service
	rand  *rand.Rand
	room  *rooms.Info
	users []event.UserID
	sent  []event.EventID
}

func newWorld(t *testing.T, s *store.Store, seed uint64) *world {
	t.Helper()
	w := &world{T: t, store: s, rand: rand.New(rand.NewPCG(seed, 1))}
	w.rooms = rooms.New(rooms.Options{Store: s, Profiles: noProfiles{}, Signer: event.Signer{
		Server: storetest.ServerName, KeyID: "ed25519:t", PrivateKey: ed25519.NewKeyFromSeed(make([]byte, 32)),
	}})
	w.push = push.New(push.Options{Store: s, Rooms: w.rooms})
	storetest.Start(context.Background(), t, s)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.users = append(w.users, event.UserID("@"+name+":"+storetest.ServerName))
	}
	id, err := w.rooms.Create(t.Context(), rooms.CreateRequest{Creator: w.users[0], Preset: "public_chat"})
	w.ok(err)
	w.room, err = w.rooms.RoomByID(t.Context(), id)
	w.ok(err)
	for _, u := range w.users[1:] {
		w.ok(w.rooms.Join(t.Context(), rooms.MemberRequest{RoomID: id, Sender: u, Target: u}))
	}
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func pick[T any](w *world, all []T) T { return all[w.rand.IntN(len(all))] }

// send sends a message of a random kind.
func (w *world) send(user event.UserID) {
	content := map[string]any{"msgtype": "m.text", "body": "x"}
	if w.rand.IntN(3) == 0 {
		content["m.mentions"] = map[string]any{"user_ids": []event.UserID{pick(w, w.users)}, "room": w.rand.IntN(2) == 0}
	}
	if len(w.sent) > 0 && w.rand.IntN(2) == 0 {
		content["m.relates_to"] = map[string]any{
			"rel_type": pick(w, []string{"m.thread", "m.thread", "m.reference", "m.replace"}), "event_id": pick(w, w.sent),
		}
	}
	raw, err := json.Marshal(content)
	w.ok(err)
	id, err := w.rooms.Send(w.Context(), rooms.SendRequest{RoomID: w.room.ID, Sender: user, Type: "m.room.message", Content: raw})
	if err == nil { // else it replies within a thread to what is in one
		w.sent = append(w.sent, id)
	}
}

func (w *world) read(user event.UserID) {
	ev, err := w.rooms.EventByID(w.Context(), w.room, pick(w, w.sent))
	w.ok(err)
	r := store.Receipt{
		RoomNID: w.room.NID, UserID: string(user), Type: pick(w, []string{"m.read", "m.read.private"}),
		Thread:  pick(w, []string{"", "main", "main", string(pick(w, w.sent)), string(pick(w, w.sent))}),
		EventID: string(ev.ID()), EventPos: ev.StreamPos, TS: 1,
	}
	w.ok(w.store.PutReceipts(w.Context(), []store.Receipt{r}, nil))
}

// step does something as a member of the room, who may have to join it before.
func (w *world) step() {
	user := pick(w, w.users)
	me := rooms.MemberRequest{RoomID: w.room.ID, Sender: user, Target: user}
	w.ok(w.rooms.Join(w.Context(), me))
	switch n := w.rand.IntN(20); {
	case n < 12 || len(w.sent) == 0:
		w.send(user)
	case n < 16:
		w.read(user)
	case n < 18:
		_, err := w.rooms.Redact(w.Context(), rooms.RedactRequest{RoomID: w.room.ID, Sender: w.users[0], EventID: pick(w, w.sent)})
		w.ok(err)
	case n < 19:
		if user != w.users[0] {
			w.ok(w.rooms.Leave(w.Context(), me))
		}
	default:
		key := push.RuleKey{User: user, Kind: "room", ID: string(w.room.ID)}
		if err := w.push.DeleteRule(w.Context(), key); err != nil {
			w.ok(w.push.PutRule(w.Context(), key, push.NewRule{Body: []byte(`{"actions":[]}`)}))
		}
	}
}

func TestCountsAreWhatARecountGives(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, open func() *store.Store) {
				w := newWorld(t, open(), seed)
				for range 100 {
					w.step()
					w.recount()
				}
			})
		})
	}
}

// recount compares what is counted with what another service counts from the beginning.
func (w *world) recount() {
	w.Helper()
	again := push.New(push.Options{Store: w.store, Rooms: w.rooms})
	for _, u := range w.users {
		got, err := w.push.Unread(w.Context(), u, w.room.NID)
		w.ok(err)
		want, err := again.Unread(w.Context(), u, w.room.NID)
		w.ok(err)
		got.Changed, want.Changed = 0, 0
		if !reflect.DeepEqual(got, want) {
			w.Fatalf("%s has %+v unread, a recount gives %+v", u, got, want)
		}
	}
}
