// SPDX-License-Identifier: Apache-2.0

//go:build goolm

// Package chat is a real Matrix client for tests: mautrix-go with its goolm
// encryption, and what tests want to know of it: which messages it has
// decrypted, which receipts it has seen.
package chat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/cryptohelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Server says how to reach a homeserver.
type Server struct {
	URL string
	// HTTP is used for all requests; nil means http.DefaultClient's transport.
	HTTP *http.Client
}

// Message is one decrypted message.
type Message struct {
	ID      id.EventID
	Sender  id.UserID
	Content *event.MessageEventContent
}

// User is one signed-in device that syncs.
type User struct {
	*mautrix.Client
	mu       sync.Mutex
	messages map[id.RoomID][]Message
	receipts map[id.EventID]map[id.UserID]int
	failures []error
	// initial says that the first sync is being read. It holds messages from
	// before this device, whose keys it cannot have.
	initial bool
	changed chan struct{} // closed and replaced at every change
}

// Register creates an account on server and signs its first device in.
func Register(ctx context.Context, server Server, name, password string) (*User, error) {
	cli, err := newClient(server)
	if err != nil {
		return nil, err
	}
	res, err := cli.RegisterDummy(ctx, &mautrix.ReqRegister[any]{Username: name, Password: password})
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", name, err)
	}
	cli.UserID, cli.DeviceID, cli.AccessToken = res.UserID, res.DeviceID, res.AccessToken
	return start(ctx, cli)
}

// Login signs another device of an account in.
func Login(ctx context.Context, server Server, name, password string) (*User, error) {
	cli, err := newClient(server)
	if err != nil {
		return nil, err
	}
	_, err = cli.Login(ctx, &mautrix.ReqLogin{
		Type:       mautrix.AuthTypePassword,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: name},
		Password:   password, StoreCredentials: true,
	})
	if err != nil {
		return nil, fmt.Errorf("log in as %s: %w", name, err)
	}
	return start(ctx, cli)
}

func newClient(server Server) (*mautrix.Client, error) {
	cli, err := mautrix.NewClient(server.URL, "", "")
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", server.URL, err)
	}
	if server.HTTP != nil {
		cli.Client = server.HTTP
	}
	cli.StateStore = mautrix.NewMemoryStateStore()
	// As clients for people do: a broken connection is no reason to give up.
	cli.DefaultHTTPRetries, cli.DefaultHTTPBackoff = 3, 100*time.Millisecond
	return cli, nil
}

// start sets encryption up and syncs until ctx ends.
func start(ctx context.Context, cli *mautrix.Client) (*User, error) {
	u := &User{
		Client: cli, messages: map[id.RoomID][]Message{},
		receipts: map[id.EventID]map[id.UserID]int{}, changed: make(chan struct{}),
	}
	helper, err := cryptohelper.NewCryptoHelper(cli, []byte("pickle"), crypto.NewMemoryStore(nil))
	if err != nil {
		return nil, fmt.Errorf("encryption of %s: %w", cli.UserID, err)
	}
	syncer, ok := cli.Syncer.(*mautrix.DefaultSyncer)
	if !ok {
		return nil, fmt.Errorf("unexpected syncer %T", cli.Syncer)
	}
	syncer.OnEvent(cli.StateStoreSyncHandler)
	syncer.OnSync(func(_ context.Context, _ *mautrix.RespSync, since string) bool {
		u.note(func() { u.initial = since == "" })
		return true
	})
	if err := helper.Init(ctx); err != nil {
		return nil, fmt.Errorf("start encryption of %s: %w", cli.UserID, err)
	}
	// After the encryption's own handler, which reads the keys of this sync.
	syncer.OnSync(func(ctx context.Context, res *mautrix.RespSync, since string) bool {
		u.fillGaps(context.WithValue(ctx, mautrix.SyncTokenContextKey, since), syncer, res, since)
		return true
	})
	helper.DecryptErrorCallback = func(evt *event.Event, err error) {
		u.note(func() {
			if !u.initial || !errors.Is(err, crypto.ErrNoSessionFound) {
				u.failures = append(u.failures, fmt.Errorf("decrypt %s: %w", evt.ID, err))
			}
		})
	}
	cli.Crypto = helper
	syncer.OnEventType(event.EventMessage, func(_ context.Context, evt *event.Event) {
		u.note(func() {
			u.messages[evt.RoomID] = append(u.messages[evt.RoomID], Message{evt.ID, evt.Sender, evt.Content.AsMessage()})
		})
	})
	syncer.OnEventType(event.EphemeralEventReceipt, func(_ context.Context, evt *event.Event) { u.noteReceipts(evt) })
	go u.sync(ctx)
	return u, nil
}

// sync goes on through restarts of the server, as a client does.
func (u *User) sync(ctx context.Context) {
	for ctx.Err() == nil {
		err := u.SyncWithContext(ctx)
		if err != nil && ctx.Err() == nil && !isOutage(err) {
			u.note(func() { u.failures = append(u.failures, fmt.Errorf("sync: %w", err)) })
			return
		}
		if pause(ctx) != nil {
			return
		}
	}
}

// pause waits a moment before a request that failed is repeated.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// isOutage tells "the server is away" from "the server refuses".
func isOutage(err error) bool {
	var answer mautrix.HTTPError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode >= http.StatusInternalServerError
	}
	return true
}

func (u *User) note(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
	close(u.changed)
	u.changed = make(chan struct{})
}

func (u *User) noteReceipts(evt *event.Event) {
	u.note(func() {
		for eventID, byType := range *evt.Content.AsReceipt() {
			for user := range byType[event.ReceiptTypeRead] {
				if u.receipts[eventID] == nil {
					u.receipts[eventID] = map[id.UserID]int{}
				}
				u.receipts[eventID][user]++
			}
		}
	})
}

// waitFor blocks until done, which is called with the lock held, or ctx ends.
func (u *User) waitFor(ctx context.Context, what string, done func() bool) error {
	for {
		u.mu.Lock()
		ok, changed, failed := done(), u.changed, errors.Join(u.failures...)
		u.mu.Unlock()
		if failed != nil {
			return fmt.Errorf("%s while waiting for %s: %w", u.UserID, what, failed)
		}
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s never saw %s: %w", u.UserID, what, ctx.Err())
		}
	}
}

// WaitForMessage blocks until the message id is decrypted and returns it.
func (u *User) WaitForMessage(ctx context.Context, room id.RoomID, eventID id.EventID) (Message, error) {
	var found Message
	err := u.waitFor(ctx, "message "+eventID.String(), func() bool {
		for _, m := range u.messages[room] {
			if m.ID == eventID {
				found = m
				return true
			}
		}
		return false
	})
	return found, err
}

// WaitForReceipt blocks until reader's receipt on the event has been seen.
func (u *User) WaitForReceipt(ctx context.Context, eventID id.EventID, reader id.UserID) error {
	return u.waitFor(ctx, "the receipt of "+reader.String(), func() bool { return u.receipts[eventID][reader] > 0 })
}

// WaitForEncryption blocks until the client knows that the room is encrypted
// and has count joined members.
func (u *User) WaitForEncryption(ctx context.Context, room id.RoomID, count int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		encrypted, err := u.StateStore.IsEncrypted(ctx, room)
		if err != nil {
			return err
		}
		members, err := u.StateStore.GetRoomJoinedOrInvitedMembers(ctx, room)
		if err != nil {
			return err
		}
		if encrypted && len(members) >= count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s never saw %s encrypted with %d members: %w", u.UserID, room, count, ctx.Err())
		}
	}
}

// Messages returns how often each message of room was seen, by its body, of
// those whose body begins with prefix.
func (u *User) Messages(room id.RoomID, prefix string) map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[string]int{}
	for _, m := range u.messages[room] {
		if strings.HasPrefix(m.Content.Body, prefix) {
			seen[m.Content.Body]++
		}
	}
	return seen
}

// WaitForMessages blocks until count different messages with the prefix were seen.
func (u *User) WaitForMessages(ctx context.Context, room id.RoomID, prefix string, count int) error {
	err := u.waitFor(ctx, fmt.Sprintf("%d messages %q", count, prefix), func() bool {
		seen := map[string]bool{}
		for _, m := range u.messages[room] {
			if strings.HasPrefix(m.Content.Body, prefix) {
				seen[m.Content.Body] = true
			}
		}
		return len(seen) >= count
	})
	if err != nil {
		return fmt.Errorf("%w (saw %d)", err, len(u.Messages(room, prefix)))
	}
	return nil
}
