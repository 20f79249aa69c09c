// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func TestH31AnAccountHasAThousandDevicesAtMost(t *testing.T) {
	f := newFixture(t)
	alice := string(f.register(t, "alice").UserID)
	for i := range 998 {
		s := store.Session{Device: store.Device{UserID: alice, DeviceID: fmt.Sprint(i)}, TokenHash: hash(fmt.Sprint(i))}
		if err := f.store.StartSession(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	login := func() error {
		_, err := f.Login(t.Context(), accounts.Login{User: "alice", Password: password})
		return err
	}
	if err := login(); err != nil {
		t.Errorf("the thousandth device: %v", err)
	}
	var refused *matrixerr.Error
	if err := login(); !errors.As(err, &refused) || refused.Status != http.StatusForbidden || refused.Code != matrixerr.CodeResourceLimitExceeded {
		t.Errorf("one device more: %v", err)
	}
	if err := f.store.DeleteDevices(t.Context(), alice, []string{"7"}); err != nil {
		t.Fatal(err)
	}
	if err := login(); err != nil {
		t.Errorf("after one was signed out: %v", err)
	}
}
