// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
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

// model is what a client makes of its answers.
type model struct {
	*device
	rooms map[event.RoomID]*modelRoom
	data  map[string]string
	// whole: the client asks for timelines that are never limited.
	whole bool
}

type modelRoom struct {
	membership string
	state      map[string]string
	seen       map[string]bool
	data       map[string]string
}

func newModel(d *device) *model {
	return &model{device: d, rooms: map[event.RoomID]*modelRoom{}, data: map[string]string{}}
}

// copy returns a client that has had the same answers.
func (m *model) copy() *model {
	d := *m.device
	c := &model{device: &d, rooms: map[event.RoomID]*modelRoom{}, data: maps.Clone(m.data), whole: m.whole}
	for id, r := range m.rooms {
		c.rooms[id] = &modelRoom{r.membership, maps.Clone(r.state), maps.Clone(r.seen), maps.Clone(r.data)}
	}
	return c
}

func (m *model) room(id event.RoomID) *modelRoom {
	if m.rooms[id] == nil {
		m.rooms[id] = &modelRoom{state: map[string]string{}, seen: map[string]bool{}, data: map[string]string{}}
	}
	return m.rooms[id]
}

// catchUp syncs once and takes the answer in.
func (m *model) catchUp(t *testing.T) {
	t.Helper()
	before := m.since
	a := m.sync()
	for _, e := range a.AccountData.Events {
		m.data[e.Type] = string(e.Content)
	}
	for id, r := range a.Rooms.Join {
		if before != "" && m.room(id).membership == "join" && !r.Timeline.Limited {
			m.checkWhole(t, id, before, r)
		}
		m.take(t, id, r, "join")
	}
	for id, r := range a.Rooms.Leave {
		m.take(t, id, r, "leave")
	}
	for id := range a.Rooms.Invite {
		m.room(id).membership = "invite"
	}
}

func (m *model) take(t *testing.T, id event.RoomID, r *roomAnswer, membership string) {
	t.Helper()
	room := m.room(id)
	room.membership = membership
	set := func(all []clientEvent) {
		for _, e := range all {
			if e.StateKey != nil {
				room.state[e.Type+" "+*e.StateKey] = e.ID
			}
		}
	}
	for _, e := range r.Timeline.Events {
		if room.seen[e.ID] {
			t.Errorf("%s got %s of %s twice in its timeline, the second time before %s", m.id, e.Type, id, m.since)
		}
		room.seen[e.ID] = true
	}
	if m.useStateAfter {
		set(r.StateAfter.Events)
	} else {
		set(r.State.Events)
		set(r.Timeline.Events)
	}
	for _, e := range r.AccountData.Events {
		room.data[e.Type] = string(e.Content)
	}
}

// checkWhole checks that a timeline that is not limited has everything.
func (m *model) checkWhole(t *testing.T, id event.RoomID, before string, r *roomAnswer) {
	t.Helper()
	if m.filter != "" && m.filter != wholeTimeline && m.filter != shortTimeline {
		return
	}
	from, err := rooms.ParseToken(before)
	m.ok(err)
	to, err := rooms.ParseToken(m.since)
	m.ok(err)
	info, err := m.world.rooms.RoomByID(m.ctx(), id)
	m.ok(err)
	all, err := m.world.rooms.Timeline(m.ctx(), rooms.TimelineQuery{RoomNID: info.NID, From: from, To: to, Limit: 1000})
	m.ok(err)
	visible, err := m.world.rooms.Visible(m.ctx(), m.user, all)
	m.ok(err)
	want := []string{}
	for _, e := range visible {
		want = append(want, string(e.ID()))
	}
	if got := ids(r.Timeline.Events); !slices.Equal(got, want) {
		t.Errorf("%s: timeline from %s to %s is %v, want %v", m.id, before, m.since, got, want)
	}
}

const (
	wholeTimeline = `{"room":{"timeline":{"limit":100}}}`
	shortTimeline = `{"room":{"timeline":{"limit":2}}}`
	onlyMessages  = `{"room":{"timeline":{"limit":3,"types":["m.room.message"]}}}`
	onlyBob       = `{"room":{"timeline":{"senders":["` + string(bob) + `"]}}}`
)

// compare checks that the client knows what a new client is told.
func (m *model) compare(t *testing.T) {
	t.Helper()
	fresh := newModel(m.world.device(m.user))
	fresh.id = "fresh"
	fresh.catchUp(t)
	for id, want := range fresh.rooms {
		got := m.room(id)
		if got.membership != want.membership {
			t.Errorf("%s of %s: membership in %s is %q, want %q", m.id, m.user, id, got.membership, want.membership)
		}
		if want.membership != "join" {
			continue
		}
		if diff := cmp.Diff(want.state, got.state); diff != "" {
			t.Errorf("%s of %s: state of %s differs (-new client +this):\n%s", m.id, m.user, id, diff)
		}
		if diff := cmp.Diff(want.data, got.data); diff != "" {
			t.Errorf("%s of %s: account data of %s differs:\n%s", m.id, m.user, id, diff)
		}
	}
	for id, r := range m.rooms {
		if r.membership != "leave" && fresh.rooms[id] == nil {
			t.Errorf("%s of %s: still thinks it is in %s", m.id, m.user, id)
		}
	}
	if diff := cmp.Diff(fresh.data, m.data); diff != "" {
		t.Errorf("%s of %s: account data differs:\n%s", m.id, m.user, diff)
	}
}

// chaos is a few users who do things at random.
type chaos struct {
	*world
	rnd   *rand.Rand
	users []event.UserID
	all   []event.RoomID
	n     int
}

func (c *chaos) user() event.UserID { return c.users[c.rnd.IntN(len(c.users))] }

// act does one thing, or is refused.
func (c *chaos) act() error {
	c.n++
	who, whom, room := c.user(), c.user(), c.all[c.rnd.IntN(len(c.all))]
	on := rooms.MemberRequest{RoomID: room, Sender: who, Target: whom}
	self := rooms.MemberRequest{RoomID: room, Sender: who, Target: who}
	switch c.rnd.IntN(14) {
	case 0, 1:
		return c.rooms.Join(c.ctx(), self)
	case 2:
		return c.rooms.Leave(c.ctx(), self)
	case 3:
		return c.rooms.Invite(c.ctx(), on)
	case 4:
		return c.rooms.Kick(c.ctx(), on)
	case 5:
		return c.rooms.Ban(c.ctx(), on)
	case 6:
		return c.rooms.Unban(c.ctx(), on)
	case 7:
		return c.stream.SetAccountData(c.ctx(), who, "", stream.Data{Type: "x", Content: []byte(fmt.Sprintf(`{"n":%d}`, c.n))})
	case 8:
		return c.stream.SetAccountData(c.ctx(), who, room, stream.Data{Type: "x", Content: []byte(fmt.Sprintf(`{"n":%d}`, c.n))})
	case 9, 10:
		key := ""
		types := []string{"m.room.name", "m.room.topic"}
		_, err := c.rooms.Send(c.ctx(), rooms.SendRequest{
			RoomID: room, Sender: who, Type: types[c.rnd.IntN(2)], StateKey: &key, Content: []byte(fmt.Sprintf(`{"name":"%d"}`, c.n)),
		})
		return err
	default:
		_, err := c.rooms.Send(c.ctx(), rooms.SendRequest{RoomID: room, Sender: who, Type: "m.room.message", Content: []byte(`{"body":"x"}`)})
		return err
	}
}

// devices makes clients of every kind for a user.
func (c *chaos) devices(user event.UserID) []*model {
	var all []*model
	for i, filter := range []string{wholeTimeline, shortTimeline, onlyMessages, onlyBob} {
		for _, after := range []bool{false, true} {
			if filter == onlyBob && !after {
				continue // what state cannot say: a newer event that the timeline leaves out, and the older one that it shows
			}
			m := newModel(c.device(user).with(filter))
			m.id = fmt.Sprint("D", i, after)
			m.useStateAfter = after
			all = append(all, m)
		}
	}
	return all
}

// run lets the users do things while the clients sync now and then. It
// returns the clients, and copies of them from on the way.
func (c *chaos) run(t *testing.T, steps int) (all []*model) {
	t.Helper()
	levels := func(r *rooms.CreateRequest) {
		r.PowerLevels = []byte(`{"users_default":50,"invite":0,"state_default":0}`)
	}
	c.all = []event.RoomID{c.create(alice, levels), c.create(bob, levels), c.create(alice)}
	var clients, old []*model
	for _, u := range c.users {
		clients = append(clients, c.devices(u)...)
	}
	for range steps {
		var refused *matrixerr.Error
		if err := c.act(); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		for _, m := range clients {
			switch c.rnd.IntN(24) {
			case 0, 1:
				m.catchUp(t)
			case 2:
				if len(old) < 60 {
					old = append(old, m.copy())
				}
			}
		}
	}
	return append(clients, old...)
}

func newChaos(w *world, seed uint64) *chaos {
	return &chaos{world: w, rnd: rand.New(rand.NewPCG(seed, 1)), users: []event.UserID{alice, bob, carol}}
}

func TestIncrementalSyncsFromAnyTokenAddUpToAnInitialSync(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := newChaos(newWorld(t, storetest.SQLite(t)), seed)
			for _, m := range c.run(t, 250) {
				m.catchUp(t)
				m.compare(t)
			}
		})
	}
}

func TestSyncsAddUpBeyondTheLogInMemory(t *testing.T) {
	for name, options := range map[string]store.Options{
		"sqlite":   {Dir: t.TempDir(), ServerName: storetest.ServerName},
		"postgres": {PostgresURL: storetest.PostgresURL(t), ServerName: storetest.ServerName},
	} {
		t.Run(name, func(t *testing.T) {
			w, stop := reopen(t, options)
			clients := newChaos(w, 7).run(t, 250)
			stop()
			w, stop = reopen(t, options) // the log in memory begins anew
			defer stop()
			for _, m := range clients {
				m.world = w
				m.catchUp(t)
				m.compare(t)
			}
		})
	}
}

// reopen starts a server on a database that may have been used before.
func reopen(t *testing.T, o store.Options) (w *world, stop func()) {
	t.Helper()
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	w, stopWorld := startWorld(t, s)
	return w, func() {
		stopWorld()
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	}
}
