// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// TestADeviceThatIsDeletedWhileItIsUsedLeavesNothingToTheNextOfItsName has
// uploads, messages and a deletion race, in one group or on two replicas.
func TestADeviceThatIsDeletedWhileItIsUsedLeavesNothingToTheNextOfItsName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		replicas := []*store.Store{open()}
		if t.Name()[len(t.Name())-len("postgres"):] == "postgres" {
			replicas = append(replicas, open())
		}
		for _, s := range replicas {
			storetest.Start(ctx, t, s)
		}
		const alice, phone = "@alice:test.example", "PHONE"
		if err := replicas[0].CreateUser(ctx, store.NewUser{User: store.User{ID: alice}}); err != nil {
			t.Fatal(err)
		}
		for round := range 20 {
			signIn(t, replicas[0], alice, phone, fmt.Sprint(round))
			if err := unused(ctx, replicas[0], alice, phone); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			var wait sync.WaitGroup
			for i := range 6 {
				s := replicas[i%len(replicas)]
				wait.Go(func() {
					if err := use(ctx, s, alice, phone, fmt.Sprint(round, " ", i)); err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Error(err)
					}
				})
			}
			wait.Go(func() {
				if err := replicas[round%len(replicas)].DeleteDevices(ctx, alice, []string{phone}); err != nil {
					t.Error(err)
				}
			})
			wait.Wait()
		}
	})
}

func signIn(t *testing.T, s *store.Store, user, device, token string) {
	t.Helper()
	err := s.StartSession(t.Context(), store.Session{Device: store.Device{UserID: user, DeviceID: device}, TokenHash: []byte(token)})
	if err != nil {
		t.Fatal(err)
	}
}

// use uploads keys for a device and sends it a message.
func use(ctx context.Context, s *store.Store, user, device, txn string) error {
	key := []store.OneTimeKey{{Algorithm: "a", KeyID: txn, Key: []byte(`"key"`)}}
	err := s.UploadKeys(ctx, store.KeyUpload{
		UserID: user, DeviceID: device, Keys: []byte(`{}`), OneTime: key, Fallback: key, MaxOneTime: 100,
		Signatures: []store.KeySignature{{UserID: user, KeyID: device, Signer: user, SigningKey: "ed25519:A", Signature: "s"}},
	})
	if err != nil {
		return err
	}
	message := []store.ToDeviceMessage{{UserID: user, DeviceID: device, Content: []byte(`{}`)}}
	return s.SendToDevice(ctx, store.TxnKey{UserID: user, DeviceID: "SENDER", Request: txn}, 0, message)
}

// unused returns an error that says what is there of a device that was just made.
func unused(ctx context.Context, s *store.Store, user, device string) error {
	keys, err := s.DeviceKeysOf(ctx, []string{user})
	if err != nil {
		return err
	}
	counts, err := s.CountKeys(ctx, user, device)
	if err != nil {
		return err
	}
	signatures, err := s.SignaturesOn(ctx, []string{user}, user)
	if err != nil {
		return err
	}
	messages, err := s.ToDevice(ctx, user, device, 0, 1<<60, 10)
	if err != nil {
		return err
	}
	if len(keys)+len(counts.OneTime)+len(counts.UnusedFallback)+len(signatures)+len(messages) > 0 {
		return fmt.Errorf("identity keys %v, other keys %v, signatures %v, messages %v", keys, counts, signatures, messages)
	}
	return nil
}
