// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// person is a user for a week.
type person struct {
	*week
	name   string
	client *homeservertest.Client // of the first device
	own    string                 // a room of two
	last   string                 // event in hall
	said   int
}

// pollTime is how long clients wait in /sync.
const pollTime = 30 * time.Second

// weekDevice polls /sync all the time.
type weekDevice struct {
	*week
	client *homeservertest.Client
	since  string
	// refresh is empty for a device whose access token does not expire.
	refresh string
	issued  time.Time
}

// arrive makes a person with one or two devices that poll.
func (w *week) arrive(i int) *person {
	name := fmt.Sprintf("person%d", i)
	pass(10 * time.Second) // the limit of registrations
	p := &person{week: w, name: name, client: w.server.Register(name)}
	if i == 0 {
		w.hall = p.room("the hall")
	} else {
		p.client.Post(clientV3+"/join/"+w.hall, object{}).OK()
	}
	p.own = p.room("alone")
	w.poll(&weekDevice{week: w, client: p.client})
	if i%2 == 1 {
		c := w.server.Client()
		d := &weekDevice{week: w, client: c, issued: time.Now()}
		r := c.Post(clientV3+"/login", object{
			"type": "m.login.password", "user": name, "password": homeservertest.Password, "refresh_token": true,
		}).OK()
		c.UserID, c.DeviceID, c.AccessToken = r.String("user_id"), r.String("device_id"), r.String("access_token")
		d.refresh = r.String("refresh_token")
		w.poll(d)
	}
	return p
}

func (p *person) room(name string) string {
	return p.client.Post(clientV3+"/createRoom", object{"preset": "public_chat", "name": name}).OK().String("room_id")
}

// poll lets a device poll until the week ends.
func (w *week) poll(d *weekDevice) {
	filter := d.client.Post(clientV3+"/user/{user}/filter", object{
		"room": object{"state": object{"lazy_load_members": true}},
	}).OK().String("filter_id")
	d.since = d.client.Get(clientV3 + "/sync?filter=" + filter).OK().String("next_batch")
	w.devices = append(w.devices, d)
	w.polling.Go(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
		defer cancel()
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			select {
			case <-w.stop:
				cancel()
			case <-ended:
			}
		}()
		if err := d.run(ctx, filter); err != nil && ctx.Err() == nil {
			w.Errorf("%s %s: %v", d.client.UserID, d.client.DeviceID, err)
		}
	})
}

// errStorm ends a device that would be answered for ever, at one moment of the bubble.
var errStorm = errors.New("too many answers in an hour")

func (d *weekDevice) run(ctx context.Context, filter string) error {
	path := fmt.Sprintf("%s/sync?filter=%s&timeout=%d&since=", clientV3, filter, pollTime.Milliseconds())
	for hour, answers := time.Now(), 0; ; answers++ {
		if time.Since(hour) >= time.Hour {
			hour, answers = time.Now(), 0
		}
		if answers > d.storm {
			return errStorm
		}
		r, err := d.client.Try(ctx, http.MethodGet, path+d.since, nil)
		switch {
		case err != nil:
			return err
		case r.Status == http.StatusOK:
			d.answers.Add(1)
			d.since = r.String("next_batch")
		default:
			if err := d.renew(ctx, r); err != nil {
				return err
			}
		}
	}
}

// renew gets a device new tokens when it has to.
func (d *weekDevice) renew(ctx context.Context, r *homeservertest.Response) error {
	const life = 30 * time.Minute
	age := time.Since(d.issued)
	if r.Status != http.StatusUnauthorized || d.refresh == "" || r.Value("soft_logout") != true {
		return fmt.Errorf("sync: %d %s", r.Status, r.Body)
	}
	if age < life || age > life+pollTime {
		return fmt.Errorf("the access token ended after %v, want %v, or a poll later", age, life)
	}
	r, err := d.client.Try(ctx, http.MethodPost, clientV3+"/refresh", object{"refresh_token": d.refresh})
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK {
		return fmt.Errorf("refresh: %d %s", r.Status, r.Body)
	}
	d.client.AccessToken, d.refresh, d.issued = r.String("access_token"), r.String("refresh_token"), time.Now()
	d.renewals.Add(1)
	return nil
}

// hour is what people do while they are awake, one after the other.
func (w *week) hour(day, hour int) {
	for i, p := range w.people {
		pass(3 * time.Minute / time.Duration(len(w.people)) * 10)
		next := w.people[(i+1)%len(w.people)]
		p.toDevices(next, fmt.Sprintf("%d.%d", day, hour))
		p.client.Put(clientV3+"/rooms/"+w.hall+"/typing/{user}", object{"typing": true, "timeout": 20_000}).OK()
		switch (i + hour) % 4 {
		case 0:
			pass(10 * time.Second)
			p.say(w.hall)
			p.hasRead(p.last)
			next.hasRead(p.last)
		case 1:
			pass(10 * time.Second)
			p.client.Put(clientV3+"/rooms/"+w.hall+"/typing/{user}", object{"typing": false}).OK()
		case 2:
			p.upload()
		default: // the notice expires
		}
	}
}

func (p *person) say(room string) {
	p.said++
	p.last = p.client.Put(fmt.Sprintf("%s/rooms/%s/send/m.room.message/%d", clientV3, room, p.said), object{
		"msgtype": "m.text", "body": fmt.Sprintf("%s says something for the %d. time", p.name, p.said),
	}).OK().String("event_id")
}

func (p *person) hasRead(event string) {
	p.client.Post(clientV3+"/rooms/"+p.hall+"/receipt/m.read/"+event, object{}).OK()
}

func (p *person) toDevices(other *person, txn string) {
	p.client.Put(clientV3+"/sendToDevice/m.test/"+txn, object{
		"messages": object{other.client.UserID: object{"*": object{"text": strings.Repeat("secret", 20)}}},
	}).OK()
}

// upload stores a file and reads it back.
func (p *person) upload() {
	p.said++
	text := fmt.Sprintf("%s's file %d", p.name, p.said)
	uri := p.client.Post("/_matrix/media/v3/upload", text).OK().String("content_uri")
	got := p.client.Get("/_matrix/client/v1/media/download/" + strings.TrimPrefix(uri, "mxc://")).OK()
	if string(got.Body) != text {
		p.Errorf("the file %s holds %q, want %q", uri, got.Body, text)
	}
}

// strangers come from many addresses and get no further than the door: each
// leaves a bucket of the rate limits.
func (w *week) strangers(day int) {
	c := w.doors[0].With(w)
	for i := range 1500 {
		c.Header = http.Header{"X-Forwarded-For": {fmt.Sprintf("10.%d.%d.%d", day, i>>8, i&255)}}
		if r := c.Post(clientV3+"/register", object{"username": "stranger", "password": homeservertest.Password}); r.Status != http.StatusUnauthorized {
			w.Fatalf("a registration without authentication: %d %s", r.Status, r.Body)
		}
	}
}

// guests sign in for a while, in each of the ways there are.
func (w *week) guests(day int) {
	p := w.people[day%len(w.people)]
	first, second := w.doors[0].With(w), w.doors[1].With(w)
	first.UserID = p.client.UserID
	since := enter(first, object{
		"type": "m.login.password", "user": p.name, "password": homeservertest.Password,
	})
	first.Post(clientV3+"/keys/upload", object{"one_time_keys": object{"signed_curve25519:AAAA": object{"key": "k", "signatures": object{}}}}).OK()
	token := first.Post(getTokenPath, confirmed(p.name)).OK().String("login_token")
	first.Post(getTokenPath, object{}) // a session that nobody completes
	enter(second, object{"type": "m.login.token", "token": token})
	for _, c := range []*homeservertest.Client{first, w.people[0].client} {
		c.Post(clientV3+"/user/{user}/openid/request_token", object{}).OK()
		c.Post("/_matrix/media/v1/create", nil).OK() // for an upload that never comes
	}
	p.toDevices(p, fmt.Sprint("guest", day)) // which no guest will confirm
	first.Get(clientV3 + "/sync?since=" + since).OK()
	first.Post(clientV3+"/logout", object{}).OK()
	second.Post(clientV3+"/logout", object{}).OK()

	name := fmt.Sprint("guest", day)
	first.AccessToken = ""
	first.AccessToken = registerBySecret(first, name).OK().String("access_token")
	first.Post(clientV3+"/join/"+w.hall, object{}).OK()
	first.Get(clientV3 + "/sync").OK()
	first.Post(clientV3+"/account/deactivate", confirmed(name)).OK()
}

// enter signs c in and returns the token of its first sync.
func enter(c *homeservertest.Client, body object) (since string) {
	c.AccessToken = c.Post(clientV3+"/login", body).OK().String("access_token")
	return c.Get(clientV3 + "/sync").OK().String("next_batch")
}
