// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func TestH31OfMoreThanAThousandDevicesTheLeastUsedGoes(t *testing.T) {
	f := newFixture(t)
	alice := string(f.register(t, "alice").UserID)
	account, err := f.store.User(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 999 {
		s := store.Session{
			Device:    store.Device{UserID: alice, DeviceID: fmt.Sprint(i)},
			TokenHash: hash(fmt.Sprint(i)), Password: account.Password,
		}
		s.LastSeenTS = f.now.UnixMilli() - 1000
		if i == 7 {
			s.LastSeenTS -= 1000
		}
		if err := f.store.StartSession(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Login(t.Context(), accounts.Login{User: "alice", Password: password}); err != nil {
		t.Fatal(err)
	}
	if all, err := f.store.Devices(t.Context(), alice); err != nil || len(all) != 1000 {
		t.Errorf("%d devices (%v), want 1000", len(all), err)
	}
	if _, err := f.store.Device(t.Context(), alice, "7"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the device that was not used for longest is still there: %v", err)
	}
	if _, err := f.Authenticate(t.Context(), "7"); err == nil {
		t.Error("its token is good for something")
	}
	if _, err := f.Authenticate(t.Context(), "8"); err != nil {
		t.Errorf("another device: %v", err)
	}
}
