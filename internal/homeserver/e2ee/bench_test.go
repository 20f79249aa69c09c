// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// benchService returns a service with a device PHONE of alice.
func benchService(b *testing.B) *e2ee.Service {
	b.Helper()
	db := storetest.SQLite(b)
	service := e2ee.New(db, db.Log(), storetest.ServerName, time.Now)
	storetest.Start(context.Background(), b, db)
	session := store.Session{Device: store.Device{UserID: benchUser, DeviceID: "PHONE"}, TokenHash: []byte("hash")}
	if err := db.CreateUser(b.Context(), store.NewUser{User: store.User{ID: benchUser}, Session: &session}); err != nil {
		b.Fatal(err)
	}
	return service
}

const benchUser = "@alice:" + storetest.ServerName

func BenchmarkSendToDevice(b *testing.B) {
	service := benchService(b)
	content := json.RawMessage(`{"algorithm":"m.olm.v1.curve25519-aes-sha2","ciphertext":{"key":{"body":"text","type":0}}}`)
	var n int
	for b.Loop() {
		n++
		err := service.SendToDevice(b.Context(), e2ee.ToDevice{
			Sender: benchUser, SenderDevice: "PHONE", Type: "m.room.encrypted", TxnID: fmt.Sprint(n),
			Messages: map[event.UserID]map[string]json.RawMessage{benchUser: {"PHONE": content}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim uploads fifty keys whenever none is left, as a client does.
func BenchmarkClaim(b *testing.B) {
	service := benchService(b)
	wanted := map[event.UserID]map[string]string{benchUser: {"PHONE": "signed_curve25519"}}
	var n int
	for b.Loop() {
		if n%50 == 0 {
			keys := map[string]json.RawMessage{}
			for i := range 50 {
				keys[fmt.Sprintf("signed_curve25519:%d-%d", n, i)] = json.RawMessage(`{"key":"base64"}`)
			}
			if err := service.Upload(b.Context(), benchUser, "PHONE", e2ee.Upload{OneTimeKeys: keys}); err != nil {
				b.Fatal(err)
			}
		}
		n++
		got, err := service.Claim(b.Context(), wanted)
		if err != nil || len(got[benchUser]["PHONE"]) != 1 {
			b.Fatalf("claimed %v, %v", got, err)
		}
	}
}
