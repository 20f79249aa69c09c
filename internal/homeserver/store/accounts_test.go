// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

func session(user, device, token string) store.Session {
	return store.Session{
		Device:    store.Device{UserID: user, DeviceID: device, DisplayName: "name", CreatedTS: 1, LastSeenTS: 1, LastSeenIP: "192.0.2.1"},
		TokenHash: []byte(token),
	}
}

func TestAccountsOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		alice := store.User{ID: "@alice:test.example", Password: "hash", Flags: store.UserAdmin, CreatedTS: 5}
		first := session(alice.ID, "PHONE", "one")
		if err := s.CreateUser(ctx, store.NewUser{
			User: alice, Profile: []store.ProfileField{{Name: "displayname", Value: []byte(`"a"`)}}, Session: &first,
		}); err != nil {
			t.Fatal(err)
		}
		second := session(alice.ID, "OTHER", "stray")
		other := alice
		other.Password = "other"
		if err := s.CreateUser(ctx, store.NewUser{User: other, Session: &second}); !errors.Is(err, store.ErrExists) {
			t.Fatalf("a second account of the name: %v", err)
		}
		if got, err := s.User(ctx, alice.ID); err != nil || got != alice {
			t.Errorf("user %+v (%v)", got, err)
		}
		if _, err := s.TokenOwner(ctx, []byte("stray")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a refused registration left a token: %v", err)
		}
		want := store.TokenOwner{UserID: alice.ID, DeviceID: "PHONE", UserFlags: store.UserAdmin, Generation: 1}
		if got, err := s.TokenOwner(ctx, []byte("one")); err != nil || got != want {
			t.Errorf("owner %+v (%v)", got, err)
		}
		again := session(alice.ID, "PHONE", "two")
		again.Password = alice.Password
		again.DisplayName = "ignored: the device is known"
		if err := s.StartSession(ctx, again); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TokenOwner(ctx, []byte("one")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the old token of the device still works: %v", err)
		}
		if d, err := s.Device(ctx, alice.ID, "PHONE"); err != nil || d != first.Device {
			t.Errorf("device %+v (%v)", d, err)
		}
		if err := s.DeleteDevices(ctx, alice.ID, []string{"NONE", "PHONE"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TokenOwner(ctx, []byte("two")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the token of a deleted device works: %v", err)
		}
		if left, err := s.Devices(ctx, alice.ID); err != nil || len(left) != 0 {
			t.Errorf("devices %v (%v)", left, err)
		}
	})
}

func TestASignInThatIsOvertakenLeavesNoSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		const id = "@alice:test.example"
		if err := s.CreateUser(ctx, store.NewUser{User: store.User{ID: id, Password: "old"}}); err != nil {
			t.Fatal(err)
		}
		start := func(token, password string) error {
			n := session(id, "D"+token, token)
			n.Password = password
			return s.StartSession(ctx, n)
		}
		devices := func() []string {
			t.Helper()
			ids, err := s.DeviceIDs(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		for _, token := range []string{"1", "2", "3"} {
			if err := start(token, "old"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetPassword(ctx, store.PasswordChange{UserID: id, Hash: "new", SignOut: true, Keep: "D2"}); err != nil {
			t.Fatal(err)
		}
		if err := start("4", "old"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a sign-in with the old password: %v", err)
		}
		if got := devices(); !cmp.Equal(got, []string{"D2"}) {
			t.Errorf("devices %v, want the one that changed the password", got)
		}
		if err := start("5", "new"); err != nil {
			t.Errorf("a sign-in with the new password: %v", err)
		}
		if err := s.Deactivate(ctx, store.Deactivation{UserID: id}); err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"new", ""} {
			if err := start("6", password); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a sign-in after the end: %v", err)
			}
		}
		if got := devices(); len(got) != 0 {
			t.Errorf("devices %v are left", got)
		}
		if err := s.SetPassword(ctx, store.PasswordChange{UserID: "@nobody:test.example"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a password for nobody: %v", err)
		}
	})
}

func TestVisitsOnlyMoveForward(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		first := session("@a:b", "D", "t")
		if err := s.CreateUser(ctx, store.NewUser{User: store.User{ID: "@a:b"}, Session: &first}); err != nil {
			t.Fatal(err)
		}
		for _, v := range []store.Visit{{UserID: "@a:b", DeviceID: "D", IP: "192.0.2.9", TS: 50}, {UserID: "@a:b", DeviceID: "D", IP: "192.0.2.3", TS: 20}} {
			if err := s.RecordVisits(ctx, []store.Visit{v}); err != nil {
				t.Fatal(err)
			}
		}
		if d, err := s.Device(ctx, "@a:b", "D"); err != nil || d.LastSeenTS != 50 || d.LastSeenIP != "192.0.2.9" {
			t.Errorf("device %+v (%v)", d, err)
		}
	})
}

func TestProfilesOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		set := func(name, value string) error {
			f := store.ProfileField{Name: name}
			if value != "" {
				f.Value = []byte(value)
			}
			return s.SetProfileField(ctx, "@a:b", f, 110)
		}
		if err := errors.Join(set("a", `"\u0000"`), set("b", "1"), set("b", "2"), set("c", "3"), set("c", "")); err != nil {
			t.Fatal(err)
		}
		if err := set("d", strings.Repeat("x", 95)); !errors.Is(err, store.ErrProfileTooLarge) {
			t.Errorf("a profile over its limit: %v", err)
		}
		if err := set("a", strings.Repeat("x", 95)); err != nil {
			t.Errorf("a field that takes another's place counts once: %v", err)
		}
		got, err := s.Profile(ctx, "@a:b")
		want := []store.ProfileField{{Name: "a", Value: []byte(strings.Repeat("x", 95))}, {Name: "b", Value: []byte("2")}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("(-want +got): %s (%v)", diff, err)
		}
	})
}

func TestMediaOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, s := t.Context(), open()
		storetest.Start(context.Background(), t, s)
		want := store.Media{ID: "abc", UserID: "@a:b", SHA256: []byte{1, 0, 2}, Size: 7, ContentType: "image/png", FileName: "a\x00b", CreatedTS: 9}
		if err := s.AddMedia(ctx, want, 5000); err != nil {
			t.Fatal(err)
		}
		got, err := s.Media(ctx, "abc")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("(-want +got): %s (%v)", diff, err)
		}
		if _, err := s.Media(ctx, "ABC"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an id in another case: %v", err)
		}
	})
}
