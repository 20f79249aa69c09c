// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

type object = homeservertest.Object

const (
	clientV3     = "/_matrix/client/v3"
	secretPath   = "/_synapse/admin/v1/register"
	sharedKey    = "s3cr3t"
	getTokenPath = "/_matrix/client/v1/login/get_token"
	oneOfNine    = " HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{" // bytes of a body
)

// expiring is a server on the clock of a bubble and a user of it.
type expiring struct {
	*testing.T
	*homeservertest.Server
	alice *homeservertest.Client
}

// lasting is something that ends: after life, as the server says or as
// documented. lasts is asked when it has to last for another moment, and when
// it has to be over.
type lasting struct {
	life  time.Duration
	lasts func() bool
}

// moment is the resolution of the server's times.
const moment = time.Millisecond

// TestEverythingExpiresByItsTimeAndNotBefore is on the clock of a bubble, so
// the moments before and after an end are exact.
func TestEverythingExpiresByItsTimeAndNotBefore(t *testing.T) {
	for name, row := range map[string]struct {
		begin func(e *expiring) lasting
		life  time.Duration
		late  time.Duration // by how much the end may come later
	}{
		"an access token that can be refreshed":         {accessToken, 30 * time.Minute, 0},
		"a login token":                                 {loginToken, 2 * time.Minute, 0},
		"a registration token":                          {registrationToken, 7 * 24 * time.Hour, 0},
		"a nonce of a registration by shared secret":    {sharedSecretNonce, time.Minute, 0},
		"a session of interactive authentication":       {interactiveSession, 15 * time.Minute, 0},
		"a typing notice":                               {typingNotice(20_000), 20 * time.Second, 0},
		"a typing notice that is asked for an hour":     {typingNotice(3_600_000), 2 * time.Minute, 0},
		"an empty bucket of the rate limits":            {emptyBucket, 100 * time.Millisecond, 0},
		"what is known of a request to devices":         {deviceRequest, 24 * time.Hour, time.Minute},
		"an id for an upload that is to come":           {announcedUpload, 24 * time.Hour, 0},
		"a download that waits for an upload":           {waitingDownload, 30 * time.Second, 0},
		"being online after a sync":                     {online(func(e *expiring) { e.alice.Get(clientV3 + "/sync").OK() }, 30*time.Second), 30 * time.Second, 0},
		"being online by one's own word":                {online(func(e *expiring) { e.alice.Put(presencePath, object{"presence": "online"}).OK() }, 5*time.Minute), 5 * time.Minute, 0},
		"a long poll":                                   {longPoll(30_000), 30 * time.Second, 0},
		"a long poll that is asked for an hour":         {longPoll(3_600_000), 5 * time.Minute, 0},
		"a connection that takes no answer":             {unreadAnswer, time.Minute, 0},
		"a connection that says nothing":                {connection(""), 10 * time.Second, 0},
		"a connection that stops in its header":         {connection("GET / HTTP/1.1\r\nHost"), 10 * time.Second, 0},
		"a connection that stops in its body":           {connection("POST " + clientV3 + "/login" + oneOfNine), 30 * time.Second, time.Second}, // net/http lets the answer arrive
		"a connection that stops in an upload":          {stoppedUpload, time.Minute, time.Second},
		"a connection that stops in a body of no use":   {connection("GET /_matrix/client/versions" + oneOfNine), 30 * time.Second, 0},
		"a connection that stops in one for nobody":     {connection("PUT /nowhere" + oneOfNine), 30 * time.Second, 0},
		"a connection that stops in one for a browser":  {connection("OPTIONS /" + oneOfNine), 30 * time.Second, 0},
		"a connection that is kept for another request": {keptConnection, 2 * time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := row.begin(newExpiring(t))
				if l.life != row.life {
					t.Fatalf("it lasts %v, want %v", l.life, row.life)
				}
				pass(l.life - moment)
				if !l.lasts() {
					t.Errorf("it is over %v before its time", moment)
				}
				pass(moment + row.late)
				if l.lasts() {
					t.Errorf("it lasts beyond its time of %v", l.life)
				}
			})
		})
	}
}

// secretFile holds sharedKey.
func secretFile(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(sharedKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pass lets time pass in a bubble, where it costs none.
func pass(d time.Duration) { <-time.After(d) }

func newExpiring(t *testing.T) *expiring {
	file := secretFile(t)
	e := &expiring{T: t, Server: homeservertest.New(t, homeservertest.Options{Pipes: true, Configure: func(c *config.Config) {
		c.Registration = config.Registration{Mode: config.RegistrationToken, SharedSecretFile: file}
		c.RateLimits.Disabled, c.Presence.Enabled = false, true
	}})}
	e.alice = e.Client()
	e.alice.AccessToken = registerBySecret(e.alice, "alice").OK().String("access_token")
	e.alice.UserID = "@alice:" + homeservertest.ServerName
	return e
}

func newNonce(c *homeservertest.Client) string { return c.Get(secretPath).OK().String("nonce") }

// registerBySecret makes an administrator.
func registerBySecret(c *homeservertest.Client, name string) *homeservertest.Response {
	return registerByNonce(c, name, newNonce(c))
}

func registerByNonce(c *homeservertest.Client, name, nonce string) *homeservertest.Response {
	mac := hmac.New(sha1.New, []byte(sharedKey))
	mac.Write(fmt.Appendf(nil, "%s\x00%s\x00%s\x00admin", nonce, name, homeservertest.Password))
	return c.Post(secretPath, object{
		"nonce": nonce, "username": name, "password": homeservertest.Password, "admin": true, "mac": hex.EncodeToString(mac.Sum(nil)),
	})
}

// milliseconds returns a number of an answer as milliseconds.
func milliseconds(r *homeservertest.Response, name string) time.Duration {
	n, _ := r.Value(name).(float64)
	return time.Duration(n) * time.Millisecond
}

func accessToken(e *expiring) lasting {
	r := e.Client().Post(clientV3+"/login", object{
		"type": "m.login.password", "user": "alice", "password": homeservertest.Password, "refresh_token": true,
	}).OK()
	c := e.Client()
	c.AccessToken = r.String("access_token")
	return lasting{milliseconds(r, "expires_in_ms"), func() bool {
		who := c.Get(clientV3 + "/account/whoami")
		if who.Status != http.StatusOK && who.Refused(401, "M_UNKNOWN_TOKEN").Value("soft_logout") != true {
			e.Errorf("answer %s, want soft_logout", who.Body)
		}
		return who.Status == http.StatusOK
	}}
}

// confirmed is interactive authentication by a user's password.
func confirmed(name string) object {
	return object{"auth": object{
		"type": "m.login.password", "password": homeservertest.Password,
		"identifier": object{"type": "m.id.user", "user": name},
	}}
}

func loginToken(e *expiring) lasting {
	life := time.Duration(0)
	var tokens []string
	for range 2 {
		r := e.alice.Post(getTokenPath, confirmed("alice")).OK()
		life, tokens = milliseconds(r, "expires_in_ms"), append(tokens, r.String("login_token"))
	}
	return lasting{life, func() bool {
		token := tokens[0]
		tokens = tokens[1:]
		r := e.Client().Post(clientV3+"/login", object{"type": "m.login.token", "token": token})
		if r.Status != http.StatusOK {
			r.Refused(403, "M_FORBIDDEN")
		}
		return r.Status == http.StatusOK
	}}
}

func registrationToken(e *expiring) lasting {
	const life = 7 * 24 * time.Hour
	e.alice.Post("/_synapse/admin/v1/registration_tokens/new", object{
		"token": "week", "expiry_time": time.Now().Add(life).UnixMilli(),
	}).OK()
	return lasting{life, func() bool {
		return e.Client().Get("/_matrix/client/v1/register/m.login.registration_token/validity?token=week").OK().Value("valid") == true
	}}
}

func sharedSecretNonce(e *expiring) lasting {
	c := e.Client()
	nonces := []string{newNonce(c), newNonce(c)}
	return lasting{time.Minute, func() bool {
		nonce := nonces[0]
		nonces = nonces[1:]
		r := registerByNonce(c, fmt.Sprint("user", len(nonces)), nonce)
		if r.Status != http.StatusOK {
			r.Refused(400, "M_UNKNOWN")
		}
		return r.Status == http.StatusOK
	}}
}

func interactiveSession(e *expiring) lasting {
	session := e.alice.Post(getTokenPath, object{}).String("session")
	return lasting{15 * time.Minute, func() bool {
		body := confirmed("alice")
		body["auth"].(object)["session"] = session
		r := e.alice.Post(getTokenPath, body)
		if r.Status != http.StatusOK && (r.Status != http.StatusUnauthorized || r.String("session") == session) {
			e.Errorf("answer %d %s, want a new session", r.Status, r.Body)
		}
		return r.Status == http.StatusOK
	}}
}

func (e *expiring) room() string {
	return e.alice.Post(clientV3+"/createRoom", object{"preset": "public_chat"}).OK().String("room_id")
}

func typingNotice(timeout int64) func(e *expiring) lasting {
	return func(e *expiring) lasting {
		room := e.room()
		e.alice.Put(clientV3+"/rooms/"+room+"/typing/{user}", object{"typing": true, "timeout": timeout}).OK()
		return lasting{min(time.Duration(timeout)*time.Millisecond, 2*time.Minute), func() bool {
			synctest.Wait() // for who lets notices expire
			ephemeral := e.alice.Get(clientV3+"/sync").OK().Value("rooms", "join", room, "ephemeral", "events")
			events, _ := ephemeral.([]any)
			return len(events) > 0
		}}
	}
}

func announcedUpload(e *expiring) lasting {
	var paths []string
	life := time.Duration(0)
	for range 2 {
		r := e.alice.Post("/_matrix/media/v1/create", nil).OK()
		ends, _ := r.Value("unused_expires_at").(float64)
		life = time.Until(time.UnixMilli(int64(ends)))
		paths = append(paths, "/_matrix/media/v3/upload/"+strings.TrimPrefix(r.String("content_uri"), "mxc://"))
	}
	return lasting{life, func() bool {
		r := e.alice.Put(paths[0], "content")
		paths = paths[1:]
		if r.Status != http.StatusOK {
			r.Refused(404, "M_NOT_FOUND")
		}
		return r.Status == http.StatusOK
	}}
}

func waitingDownload(e *expiring) lasting {
	uri := e.alice.Post("/_matrix/media/v1/create", nil).OK().String("content_uri")
	return lasting{30 * time.Second, e.open(e.ask("/_matrix/client/v1/media/download/" + strings.TrimPrefix(uri, "mxc://") + "?timeout_ms=3600000"))}
}

const presencePath = clientV3 + "/presence/{user}/status"

// online is for how long alice is not offline.
func online(begin func(e *expiring), life time.Duration) func(e *expiring) lasting {
	return func(e *expiring) lasting {
		begin(e)
		start := e.alice.Get(presencePath).OK()
		if start.String("presence") != "online" {
			e.Fatalf("presence %s", start.Body)
		}
		return lasting{life, func() bool { return e.alice.Get(presencePath).OK().String("presence") != "offline" }}
	}
}

func emptyBucket(e *expiring) lasting {
	room := e.room()
	sent := 0
	send := func() *homeservertest.Response {
		sent++
		return e.alice.Put(fmt.Sprintf("%s/rooms/%s/send/m.room.message/%d", clientV3, room, sent), object{"msgtype": "m.text", "body": "m"})
	}
	r := send()
	for r.Status == http.StatusOK {
		r = send()
	}
	return lasting{milliseconds(r, "retry_after_ms"), func() bool {
		r := send()
		if r.Status != http.StatusOK {
			r.Refused(429, "M_LIMIT_EXCEEDED")
		}
		return r.Status != http.StatusOK
	}}
}

func deviceRequest(e *expiring) lasting {
	device := e.alice.Get(clientV3 + "/account/whoami").OK().String("device_id")
	send := func(txn string) {
		e.alice.Put(clientV3+"/sendToDevice/m.test/"+txn, object{
			"messages": object{e.alice.UserID: object{device: object{"txn": txn}}},
		}).OK()
	}
	waiting := func() int {
		events, _ := e.alice.Get(clientV3+"/sync").OK().Value("to_device", "events").([]any)
		return len(events)
	}
	send("repeated")
	other := 0
	return lasting{24 * time.Hour, func() bool {
		other++
		send(fmt.Sprint("other", other)) // old ones are forgotten when there are new ones
		before := waiting()
		send("repeated")
		return waiting() == before
	}}
}

// open reports until when a connection gets no answer and is not closed.
func (e *expiring) open(c net.Conn) (open func() bool) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, c) // ends when either end is closed
	}()
	return func() bool {
		synctest.Wait()
		select {
		case <-over:
			return false
		default:
			return true
		}
	}
}

func (e *expiring) dial() net.Conn {
	c, err := e.Dial(e.Context())
	if err != nil {
		e.Fatalf("dial: %v", err)
	}
	e.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends text over a new connection.
func (e *expiring) say(text string) net.Conn {
	c := e.dial()
	if _, err := io.WriteString(c, text); err != nil {
		e.Fatalf("write: %v", err)
	}
	return c
}

// ask sends a request of alice's over a connection of its own.
func (e *expiring) ask(path string) net.Conn {
	return e.say("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + e.alice.AccessToken + "\r\nConnection: close\r\n\r\n")
}

func connection(said string) func(e *expiring) lasting {
	life := 10 * time.Second
	if strings.HasSuffix(said, oneOfNine) {
		life = 30 * time.Second
	}
	return func(e *expiring) lasting { return lasting{life, e.open(e.say(said))} }
}

func stoppedUpload(e *expiring) lasting {
	c := e.say("POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + e.alice.AccessToken + "\r\nContent-Length: 9\r\n\r\n{")
	return lasting{time.Minute, e.open(c)}
}

func keptConnection(e *expiring) lasting {
	c := e.say("GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n")
	reader := bufio.NewReader(c)
	e.answer(reader)
	return lasting{2 * time.Minute, e.open(c)}
}

// answer reads an answer.
func (e *expiring) answer(r *bufio.Reader) {
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		e.Errorf("read answer: %v", err)
		return
	}
	_, err = io.Copy(io.Discard, res.Body)
	if cerr := res.Body.Close(); err != nil || cerr != nil {
		e.Errorf("read answer: %v, %v", err, cerr)
	}
}

// unreadAnswer is a /sync whose client reads nothing of the answer.
func unreadAnswer(e *expiring) lasting {
	e.alice.Put(clientV3+"/user/{user}/account_data/m.test", object{"long": strings.Repeat("x", 20_000)}).OK() // more than net/http's buffers
	c := e.ask(clientV3 + "/sync")
	return lasting{time.Minute, func() bool {
		synctest.Wait()
		metrics := string(e.Client().Get("/metrics").OK().Body)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			return true
		}
		const given = `route="/_matrix/client/v3/sync",status="499"}`
		if !strings.Contains(metrics, given) {
			e.Errorf("the metrics do not say %s: the server took it for a failure of its own", given)
		}
		return false
	}}
}

func longPoll(timeout int64) func(e *expiring) lasting {
	return func(e *expiring) lasting {
		since := e.alice.Get(clientV3 + "/sync").OK().String("next_batch")
		c := e.ask(fmt.Sprintf("%s/sync?timeout=%d&since=%s", clientV3, timeout, since))
		return lasting{min(time.Duration(timeout)*time.Millisecond, 5*time.Minute), e.open(c)}
	}
}
