// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// mixed is a load of everything that must not be lost or doubled, and what
// was acknowledged of it. Its users do one thing after the other, all of them
// at the same time, and repeat each request until it is answered.
type mixed struct {
	t testing.TB
	// server is its URL.
	server string
	users  []*mixedUser
	// begun, if not nil, is called before each thing that a user does.
	begun func()

	// What follows is of one round. mu guards what several users write.
	round, room string
	mu          sync.Mutex
	sent        map[string]string // event id by text
}

type mixedUser struct {
	*mixed
	ID     string `json:"user_id"`
	Device string `json:"device_id"`
	Token  string `json:"access_token"`

	since string
	// data, said and receipt are what this user last wrote, said and marked as read.
	data          int
	said, receipt string
	// Guarded by mu: messages sent to this device and got by it, keys that it
	// uploaded and that others claimed, each with how often; unsure is how
	// many claims had no answer.
	written, got, uploaded, claimed map[string]int
	unsure                          int
}

func newMixed(t testing.TB, server string) *mixed {
	t.Helper()
	m := &mixed{t: t, server: server}
	for _, name := range []string{"alice", "bob", "carol"} {
		u := &mixedUser{mixed: m}
		u.call(http.MethodPost, "/register", map[string]any{
			"username": name, "password": "correct horse battery", "auth": map[string]any{"type": "m.login.dummy"},
		}, u)
		m.users = append(m.users, u)
	}
	return m
}

// call returns how many attempts had no answer.
func (u *mixedUser) call(method, path string, body, into any) int {
	u.t.Helper()
	failed, err := insist(u.t, u.server, u.Token, method, path, body, into)
	if err != nil {
		u.t.Errorf("%s: %s %s: %v", u.ID, method, path, err)
	}
	return failed
}

type anything = map[string]any

// begin starts a round in a room of its own.
func (m *mixed) begin(round string) {
	m.t.Helper()
	m.round, m.sent = round, map[string]string{}
	var room struct {
		RoomID string `json:"room_id"`
	}
	m.users[0].call(http.MethodPost, "/createRoom", anything{"preset": "public_chat"}, &room)
	m.room = url.PathEscape(room.RoomID)
	for _, u := range m.users {
		u.data, u.said, u.receipt, u.unsure = 0, "", "", 0
		u.written, u.got, u.uploaded, u.claimed = map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
		u.call(http.MethodPost, "/rooms/"+m.room+"/join", anything{}, &anything{})
	}
}

// load makes every user do count things, all at the same time or, if
// ordered, in turn.
func (m *mixed) load(seed int64, count int, ordered bool) {
	var wg sync.WaitGroup
	randoms := make([]*rand.Rand, len(m.users))
	for i := range m.users {
		randoms[i] = rand.New(rand.NewPCG(uint64(seed), uint64(i)))
	}
	if ordered {
		for n := range count {
			for i, u := range m.users {
				u.step(randoms[i], n)
			}
		}
		return
	}
	for i, u := range m.users {
		wg.Go(func() {
			for n := range count {
				u.step(randoms[i], n)
			}
		})
	}
	wg.Wait()
}

// step does one thing.
func (u *mixedUser) step(r *rand.Rand, n int) {
	if u.begun != nil {
		u.begun()
	}
	name := fmt.Sprintf("%s %s %d", u.round, u.ID, n)
	other := u.users[r.IntN(len(u.users))]
	switch r.IntN(8) {
	case 0, 1:
		u.say(name)
	case 2:
		u.read()
	case 3:
		u.write(other, name)
	case 4:
		u.data = n + 1
		u.call(http.MethodPut, "/user/"+u.ID+"/account_data/test.data", anything{"round": u.round, "n": u.data}, &anything{})
	case 5:
		u.upload(name)
	case 6:
		u.claim(other)
	case 7:
		u.sync()
	}
}

func (u *mixedUser) say(text string) {
	var answer struct {
		EventID string `json:"event_id"`
	}
	path := "/rooms/" + u.room + "/send/m.room.message/" + url.PathEscape(text)
	u.call(http.MethodPut, path, anything{"msgtype": "m.text", "body": text}, &answer)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent[text] = answer.EventID
	u.said = answer.EventID
}

// read sets the receipt at what the user last said.
func (u *mixedUser) read() {
	if u.said == "" {
		u.say(u.round + " " + u.ID + " read")
	}
	u.receipt = u.said
	u.call(http.MethodPost, "/rooms/"+u.room+"/receipt/m.read/"+url.PathEscape(u.receipt), anything{}, &anything{})
}

func (u *mixedUser) write(to *mixedUser, text string) {
	messages := anything{to.ID: anything{to.Device: anything{"text": text}}}
	u.call(http.MethodPut, "/sendToDevice/test.message/"+url.PathEscape(text), anything{"messages": messages}, &anything{})
	u.mu.Lock()
	defer u.mu.Unlock()
	to.written[text]++
}

func (u *mixedUser) upload(name string) {
	keys := anything{}
	for i := range 3 {
		id := fmt.Sprintf("signed_curve25519:%s %d", name, i)
		keys[id] = anything{"key": id}
	}
	// They count as soon as they may be there: others may claim them before we have the answer.
	u.mu.Lock()
	for id := range keys {
		u.uploaded[id]++
	}
	u.mu.Unlock()
	u.call(http.MethodPost, "/keys/upload", anything{"one_time_keys": keys}, &anything{})
}

// claim takes a key of other's device and returns whether there was one.
func (u *mixedUser) claim(other *mixedUser) bool {
	var answer struct {
		Keys map[string]map[string]map[string]any `json:"one_time_keys"`
	}
	wanted := anything{other.ID: anything{other.Device: "signed_curve25519"}}
	failed := u.call(http.MethodPost, "/keys/claim", anything{"one_time_keys": wanted}, &answer)
	u.mu.Lock()
	defer u.mu.Unlock()
	other.unsure += failed
	keys := answer.Keys[other.ID][other.Device]
	for id := range keys {
		other.claimed[id]++
	}
	return len(keys) > 0
}

type mixedSync struct {
	NextBatch string `json:"next_batch"`
	ToDevice  struct {
		Events []struct {
			Content struct {
				Text string `json:"text"`
			} `json:"content"`
		} `json:"events"`
	} `json:"to_device"`
	Rooms struct {
		Join map[string]struct {
			Ephemeral struct {
				Events []struct {
					Type    string                               `json:"type"`
					Content map[string]map[string]map[string]any `json:"content"`
				} `json:"events"`
			} `json:"ephemeral"`
		} `json:"join"`
	} `json:"rooms"`
}

// sync takes in what an incremental /sync brings, and returns whether there
// were messages to the device.
func (u *mixedUser) sync() bool {
	var answer mixedSync
	u.call(http.MethodGet, "/sync?timeout=0&since="+u.since, nil, &answer)
	u.since = answer.NextBatch
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range answer.ToDevice.Events {
		u.got[e.Content.Text]++
	}
	return len(answer.ToDevice.Events) > 0
}

// end checks that everything that was acknowledged is there, once.
func (m *mixed) end() {
	m.t.Helper()
	m.checkTimeline()
	for _, u := range m.users {
		var me struct {
			ID string `json:"user_id"`
		}
		if u.call(http.MethodGet, "/account/whoami", nil, &me); me.ID != u.ID {
			m.t.Errorf("the token of %s is now of %q", u.ID, me.ID)
		}
		for u.sync() {
			continue
		}
		if !maps.Equal(u.got, u.written) {
			m.t.Errorf("%s: messages to the device\n got %v\nwant %v", u.round, u.got, u.written)
		}
		u.checkData()
		u.checkReceipt()
		u.checkKeys()
	}
}

func (m *mixed) checkTimeline() {
	m.t.Helper()
	found := map[string]string{}
	from := ""
	for {
		var page struct {
			Chunk []struct {
				EventID string `json:"event_id"`
				Content struct {
					Body string `json:"body"`
				} `json:"content"`
			} `json:"chunk"`
			End string `json:"end"`
		}
		m.users[0].call(http.MethodGet, "/rooms/"+m.room+"/messages?dir=b&limit=100"+from, nil, &page)
		for _, e := range page.Chunk {
			if e.Content.Body == "" {
				continue
			}
			if other, twice := found[e.Content.Body]; twice {
				m.t.Errorf("%q is in the room twice: %s and %s", e.Content.Body, other, e.EventID)
			}
			found[e.Content.Body] = e.EventID
		}
		if page.End == "" {
			break
		}
		from = "&from=" + url.QueryEscape(page.End)
	}
	if !maps.Equal(found, m.sent) {
		m.t.Errorf("%s: the room has\n%v, acknowledged was\n%v", m.round, found, m.sent)
	}
}

func (u *mixedUser) checkData() {
	u.t.Helper()
	if u.data == 0 {
		return
	}
	var data struct {
		Round string `json:"round"`
		N     int    `json:"n"`
	}
	u.call(http.MethodGet, "/user/"+u.ID+"/account_data/test.data", nil, &data)
	if data.Round != u.round || data.N != u.data {
		u.t.Errorf("%s: account data is %+v, want %s %d", u.ID, data, u.round, u.data)
	}
}

func (u *mixedUser) checkReceipt() {
	u.t.Helper()
	if u.receipt == "" {
		return
	}
	var answer mixedSync
	room, err := url.PathUnescape(u.room)
	if err != nil {
		u.t.Fatal(err)
	}
	// Of this room alone: there are as many as there were rounds.
	filter := fmt.Sprintf(`{"room":{"rooms":[%q]}}`, room)
	u.call(http.MethodGet, "/sync?timeout=0&filter="+url.QueryEscape(filter), nil, &answer)
	var at []string
	for _, e := range answer.Rooms.Join[room].Ephemeral.Events {
		for id, byType := range e.Content {
			if _, ok := byType["m.read"][u.ID]; ok {
				at = append(at, id)
			}
		}
	}
	if !slices.Equal(at, []string{u.receipt}) {
		u.t.Errorf("%s: the receipt is at %v, want %s", u.ID, at, u.receipt)
	}
}

// checkKeys takes all keys that are left: each was uploaded, nobody got it
// before, and only those are gone that an unanswered claim may have taken.
func (u *mixedUser) checkKeys() {
	u.t.Helper()
	for u.claim(u) {
		continue
	}
	for id, n := range u.claimed {
		if n != 1 || u.uploaded[id] != 1 {
			u.t.Errorf("%s: %q was claimed %d times and uploaded %d times", u.ID, id, n, u.uploaded[id])
		}
	}
	if lost := len(u.uploaded) - len(u.claimed); lost > u.unsure {
		u.t.Errorf("%s: %d keys are gone, %d claims had no answer", u.ID, lost, u.unsure)
	}
}
