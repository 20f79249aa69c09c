// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/test/chat"
)

// story is two people, their devices, and one encrypted room.
type story struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // one test, one context
	server chat.Server
	room   id.RoomID
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) register(name string) *chat.User {
	s.t.Helper()
	u, err := chat.Register(s.ctx, s.server, name, homeservertest.Password)
	s.must(err)
	return u
}

func (s *story) login(name string) *chat.User {
	s.t.Helper()
	u, err := chat.Login(s.ctx, s.server, name, homeservertest.Password)
	s.must(err)
	return u
}

// everyoneReadsEveryone has each device say something that all must decrypt.
func (s *story) everyoneReadsEveryone(what string, devices ...*chat.User) {
	s.t.Helper()
	for i, from := range devices {
		sent, err := from.SendUntilAcknowledged(s.ctx, s.room, fmt.Sprintf("%s %d", what, i))
		s.must(err)
		for _, to := range devices {
			_, err := to.WaitForMessage(s.ctx, s.room, sent)
			s.must(err)
		}
	}
	for _, d := range devices {
		for body, times := range d.Messages(s.room, what) {
			if times != 1 {
				s.t.Errorf("%s of %s read %q %d times", d.DeviceID, d.UserID, body, times)
			}
		}
	}
}

// knowDevices waits until all viewers know exactly these devices of a user.
func (s *story) knowDevices(viewers []*chat.User, devices ...*chat.User) {
	s.t.Helper()
	for _, viewer := range viewers {
		s.must(viewer.WaitForDevices(s.ctx, devices...))
	}
}

// TestEncryptedRoomsOfTwoUsersWithFourDevices is a day of two people: second
// devices, verification, a key backup, a new phone, a friend who comes later
// and a device that signs out. All that should decrypt decrypts, once.
func TestEncryptedRoomsOfTwoUsersWithFourDevices(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, server *homeservertest.Server) {
		aDay(t, server.URL)
	})
}

// aDay plays the whole of it at a server.
func aDay(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s := &story{t: t, ctx: ctx, server: chat.Server{URL: url}}
	alice, bob := s.register("alice"), s.register("bob")
	var err error
	s.room, err = chat.EncryptedRoom(ctx, alice, bob)
	s.must(err)
	s.must(chat.Exchange(ctx, s.room, alice, bob))

	alice2, bob2 := s.login("alice"), s.login("bob")
	all := []*chat.User{alice, bob, alice2, bob2}
	s.must(alice2.WaitForEncryption(ctx, s.room, 2))
	s.must(bob2.WaitForEncryption(ctx, s.room, 2))
	s.knowDevices(all[:2], alice, alice2)
	s.knowDevices(all[:2], bob, bob2)
	s.everyoneReadsEveryone("four devices", all...)

	recoveryKey := s.crossSigning(alice, alice2, bob, bob2)
	s.everyoneReadsEveryone("verified", all...)

	s.restore(alice, recoveryKey)
	s.lateJoiner(all)
	s.signOut(alice, alice2, bob, bob2)
}

// crossSigning has both users verify their devices and each other.
func (s *story) crossSigning(alice, alice2, bob, bob2 *chat.User) (recoveryKey string) {
	s.t.Helper()
	recoveryKey, err := alice.SetUpCrossSigning(s.ctx)
	s.must(err)
	bobsKey, err := bob.SetUpCrossSigning(s.ctx)
	s.must(err)
	s.must(alice2.Recover(s.ctx, recoveryKey))
	s.must(bob2.Recover(s.ctx, bobsKey))
	s.must(bob.WaitForTrust(s.ctx, alice, id.TrustStateCrossSignedTOFU))
	s.must(bob.WaitForTrust(s.ctx, alice2, id.TrustStateCrossSignedTOFU))
	s.must(bob.Verify(s.ctx, alice))
	// Bob's other device learns of it by sync; Alice's do not.
	for _, viewer := range []*chat.User{bob, bob2} {
		for _, device := range []*chat.User{alice, alice2} {
			s.must(viewer.WaitForTrust(s.ctx, device, id.TrustStateCrossSignedVerified))
		}
	}
	s.must(alice.WaitForTrust(s.ctx, bob2, id.TrustStateCrossSignedTOFU))
	return recoveryKey
}

// restore gives Alice a new phone, which reads all that was said before it came.
func (s *story) restore(alice *chat.User, recoveryKey string) {
	s.t.Helper()
	keys, err := alice.BackUp(s.ctx, recoveryKey)
	s.must(err)
	phone := s.login("alice")
	before, unreadable, err := phone.History(s.ctx, s.room)
	s.must(err)
	if len(before) != 0 || unreadable == 0 {
		s.t.Fatalf("a new device reads %d messages and cannot read %d, without any key", len(before), unreadable)
	}
	s.must(phone.Restore(s.ctx, recoveryKey))
	after, left, err := phone.History(s.ctx, s.room)
	s.must(err)
	if left != 0 {
		s.t.Errorf("with %d keys from the backup the new device cannot read %d messages", keys, left)
	}
	want := map[string]int{"photo.jpg": 2, "hello from @alice:test.example": 1, "hello from @bob:test.example": 1}
	for i := range 4 {
		want[fmt.Sprint("four devices ", i)], want[fmt.Sprint("verified ", i)] = 1, 1
	}
	if diff := cmp.Diff(want, after); diff != "" {
		s.t.Errorf("messages that the new device reads (-want +got):\n%s", diff)
	}
	_, err = phone.Logout(s.ctx)
	s.must(err)
}

// lateJoiner has Carol come to the room: she reads what is said from then on.
func (s *story) lateJoiner(all []*chat.User) {
	s.t.Helper()
	carol := s.register("carol")
	_, err := all[0].InviteUser(s.ctx, s.room, &mautrix.ReqInviteUser{UserID: carol.UserID})
	s.must(err)
	_, err = carol.JoinRoomByID(s.ctx, s.room)
	s.must(err)
	for _, u := range append([]*chat.User{carol}, all...) {
		s.must(u.WaitForEncryption(s.ctx, s.room, 3))
	}
	s.everyoneReadsEveryone("three of us", append(all[:len(all):len(all)], carol)...)
	_, unreadable, err := carol.History(s.ctx, s.room)
	s.must(err)
	if unreadable == 0 {
		s.t.Error("somebody who joined late reads what was said before")
	}
}

// signOut ends Bob's second device: the others go on without it.
func (s *story) signOut(alice, alice2, bob, bob2 *chat.User) {
	s.t.Helper()
	_, err := bob2.Logout(s.ctx)
	s.must(err)
	s.knowDevices([]*chat.User{alice, alice2, bob}, bob)
	s.everyoneReadsEveryone("without it", alice, alice2, bob)
	if seen := bob2.Messages(s.room, "without it"); len(seen) != 0 {
		s.t.Errorf("a device that signed out read %v", seen)
	}
}
