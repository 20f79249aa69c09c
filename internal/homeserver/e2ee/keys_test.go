// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestIdentityKeysComeBackWithTheNameOfTheDevice(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		bob := s.Register("bob")
		alice.Put(v3+"/devices/{device}", object{"display_name": `Alice's <phone>`}).OK()
		got := query(bob, alice.UserID)
		want := alice.keys
		want["unsigned"] = object{"device_display_name": `Alice's <phone>`}
		equal(t, got.Value("device_keys", alice.UserID, alice.DeviceID), want)
		equal(t, got.Value("failures"), object{})

		only := object{"device_keys": object{alice.UserID: []string{"NONE"}, "@nobody:test.example": []string{}}}
		bob.Post(v3+"/keys/query", only).OK().
			Equal(`{"device_keys":{"@alice:test.example":{},"@nobody:test.example":{}},"failures":{},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`)
		bob.Post(v3+"/keys/query", object{}).Refused(http.StatusBadRequest, "M_MISSING_PARAM")
		bob.Post(v3+"/keys/query", object{"device_keys": object{"alice": []string{}}}).Refused(http.StatusBadRequest, "M_INVALID_PARAM")
	})
}

// H69: identity keys are those of the caller's device.
func TestH69DeviceKeysOfNobodyOrOfAnotherAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		other := s.Login("alice", "OTHER")
		change := func(name string, value any) object {
			keys := alice.identity(t)
			keys[name] = value
			return keys
		}
		cases := map[string]any{
			"null":                     nil,
			"a list":                   []string{},
			"another user's":           change("user_id", "@bob:test.example"),
			"another device's":         change("device_id", "OTHER"),
			"a device id of no string": change("device_id", 1),
			"keys of no object":        change("keys", []string{}),
			"signatures of no object":  change("signatures", "none"),
			"algorithms of no list":    change("algorithms", object{}),
			"a float":                  change("number", 1.5),
		}
		for name, keys := range cases {
			t.Run(name, func(t *testing.T) {
				refused(t, alice.With(t).Post(v3+"/keys/upload", object{"device_keys": keys}), "M_BAD_JSON")
			})
		}
		refused(t, other.Post(v3+"/keys/upload", object{"device_keys": alice.keys}), "M_BAD_JSON")
		equal(t, query(other, alice.UserID).Value("device_keys", alice.UserID), object{alice.DeviceID: alice.keys})
	})
}

func TestIdentityKeysThatTheirOwnKeyHasNotSignedAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		forged := alice.identity(t)
		forged["algorithms"] = []string{"m.none"}
		refused(t, alice.Post(v3+"/keys/upload", object{"device_keys": forged}), "M_INVALID_SIGNATURE")
		// A signature that nobody here can verify is not passed on.
		foreign := signed(t, alice.identity(t), "@bob:test.example", newKey(t, "BOB"))
		alice.Post(v3+"/keys/upload", object{"device_keys": foreign}).OK()
		equal(t, query(alice.Client, alice.UserID).Value("device_keys", alice.UserID, alice.DeviceID), alice.keys)
	})
}

func TestDeviceListsChangeOnceForEachChangeOfKeys(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		from := token(alice.Client)
		alice.Post(v3+"/keys/upload", object{"device_keys": alice.keys, "one_time_keys": oneTimeKeys("A", 2)}).OK()
		equal(t, changedSince(alice.Client, from), []any{})
		steps := map[string]func(){
			"other keys": func() {
				d := alice
				d.key = newKey(t, alice.DeviceID)
				d.Post(v3+"/keys/upload", object{"device_keys": d.identity(t)}).OK()
			},
			"a name":           func() { alice.Put(v3+"/devices/{device}", object{"display_name": "phone"}).OK() },
			"cross-signing":    func() { uploadCrossSigning(t, alice.Client) },
			"a device goes":    func() { encrypt(t, s.Login("alice", "")).Post(v3+"/logout", nil).OK() },
			"all devices come": func() { encrypt(t, s.Login("alice", "")) },
		}
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				from := token(alice.Client)
				step()
				equal(t, changedSince(alice.With(t), from), []any{alice.UserID})
			})
		}
		refused(t, alice.Get(v3+"/keys/changes?from=s0"), "M_MISSING_PARAM")
		refused(t, alice.Get(v3+"/keys/changes?from=s0&to=x"), "M_INVALID_PARAM")
		refused(t, alice.Get(v3+"/keys/changes?from=1&to=s0"), "M_INVALID_PARAM")
	})
}

func TestOtherIdentityKeysMakeOneTimeKeysAndSignaturesWorthless(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		keys := uploadCrossSigning(t, alice.Client)
		alice.Post(v3+"/keys/upload", object{"one_time_keys": oneTimeKeys("OLD", 3)}).OK()
		sign := object{alice.UserID: object{alice.DeviceID: signed(t, alice.keys, alice.UserID, keys.self)}}
		alice.Post(v3+"/keys/signatures/upload", sign).OK().Equal(`{"failures":{}}`)

		alice.key = newKey(t, alice.DeviceID)
		renewed := alice.identity(t)
		alice.Post(v3+"/keys/upload", object{"device_keys": renewed, "one_time_keys": oneTimeKeys("NEW", 1)}).OK().
			Equal(`{"one_time_key_counts":{"signed_curve25519":1}}`)
		equal(t, query(alice.Client, alice.UserID).Value("device_keys", alice.UserID, alice.DeviceID), renewed)
		if got := claim(alice.Client, alice.UserID, alice.DeviceID); got != "NEW000" {
			t.Errorf("claimed %q, want the key that the new identity signed", got)
		}
	})
}

// H64: an id of a one-time key names one key.
func TestH64OneTimeKeyIDsAreNotUsedForTwoKeys(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		upload := func(keys object) *homeservertest.Response {
			return alice.Post(v3+"/keys/upload", object{"one_time_keys": keys})
		}
		first := oneTimeKeys("A", 3)
		upload(first).OK().Equal(`{"one_time_key_counts":{"signed_curve25519":3}}`)
		upload(first).OK().Equal(`{"one_time_key_counts":{"signed_curve25519":3}}`)
		mixed := oneTimeKeys("B", 2)
		mixed["signed_curve25519:A001"] = object{"key": "another"}
		refused(t, upload(mixed), "M_INVALID_PARAM")
		upload(object{}).OK().Equal(`{"one_time_key_counts":{"signed_curve25519":3}}`)
		for _, name := range []string{"signed_curve25519", ":id", "signed_curve25519:", strings.Repeat("a", 256) + ":b"} {
			refused(t, upload(object{name: "key"}), "M_BAD_JSON")
		}
		for _, value := range []any{nil, 1, []string{}, true} {
			refused(t, upload(object{"signed_curve25519:C": value}), "M_BAD_JSON")
		}
		upload(oneTimeKeys("D", 1001)).Refused(http.StatusForbidden, "M_RESOURCE_LIMIT_EXCEEDED")
	})
}

func TestOneTimeKeysAreHandedOutInTheOrderOfUploads(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		bob := s.Register("bob")
		// Ids that look like numbers, in the order that neither numbers nor texts have.
		uploads := [][]string{{"10"}, {"9", "11"}, {"1"}, {"AAAAHg"}, {"+/"}}
		for _, ids := range uploads {
			keys := object{}
			for _, id := range ids {
				keys["signed_curve25519:"+id] = object{"key": id}
			}
			alice.Post(v3+"/keys/upload", object{"one_time_keys": keys}).OK()
		}
		var got []string
		for range 6 {
			got = append(got, claim(bob, alice.UserID, alice.DeviceID))
		}
		// Within one upload there is no order to keep; ours is that of the names.
		if want := []string{"10", "11", "9", "1", "AAAAHg", "+/"}; !slices.Equal(got, want) {
			t.Errorf("claimed %q, want %q", got, want)
		}
		if got := claim(bob, alice.UserID, alice.DeviceID); got != "" {
			t.Errorf("claimed %q, want none", got)
		}
	})
}

// H65: every key once, the oldest first, then the fallback key.
func TestH65ParallelClaimsGetEachKeyOnceThenTheFallbackKey(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		bob := s.Register("bob")
		servers := []*homeservertest.Client{bob}
		if s.Config.Database.URL != "" {
			other := s.Replica().Client()
			other.AccessToken = bob.AccessToken
			servers = append(servers, other)
		}
		for i := range 10 { // ten uploads of ten keys
			alice.Post(v3+"/keys/upload", object{"one_time_keys": oneTimeKeys(fmt.Sprintf("%d-", i), 10)}).OK()
		}
		alice.Post(v3+"/keys/upload", object{"fallback_keys": object{"signed_curve25519:FALLBACK": object{"key": "f", "fallback": true}}}).OK().
			Equal(`{"one_time_key_counts":{"signed_curve25519":100}}`)
		claimed := make([]string, 200)
		var wait sync.WaitGroup
		for i := range claimed {
			wait.Go(func() { claimed[i] = claim(servers[i%len(servers)], alice.UserID, alice.DeviceID) })
		}
		wait.Wait()
		count := map[string]int{}
		for _, id := range claimed {
			count[id]++
		}
		for i := range 100 {
			id := fmt.Sprintf("%d-%03d", i/10, i%10)
			if count[id] != 1 {
				t.Errorf("key %s was handed out %d times", id, count[id])
			}
		}
		if count["FALLBACK"] != 100 {
			t.Errorf("the fallback key was handed out %d times, want 100", count["FALLBACK"])
		}
		sync := alice.Get(v3 + "/sync").OK()
		equal(t, sync.Value("device_one_time_keys_count"), object{"signed_curve25519": 0.0})
		equal(t, sync.Value("device_unused_fallback_key_types"), []any{})
	})
}

// A client that got no answer repeats an upload, and somebody may have claimed
// a key of it meanwhile.
func TestAClaimedKeyDoesNotComeBackWhenItsUploadIsRepeated(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		bob := s.Register("bob")
		upload := object{"one_time_keys": oneTimeKeys("A", 3)}
		alice.Post(v3+"/keys/upload", upload).OK()
		var got []string
		for range 2 {
			got = append(got, claim(bob, alice.UserID, alice.DeviceID))
			alice.Post(v3+"/keys/upload", upload).OK()
		}
		got = append(got, claim(bob, alice.UserID, alice.DeviceID), claim(bob, alice.UserID, alice.DeviceID))
		if want := []string{"A000", "A001", "A002", ""}; !slices.Equal(got, want) {
			t.Errorf("claimed %q, want %q", got, want)
		}
		// The keys of an account that begins anew may have the names of the old one's.
		alice.key = newKey(t, alice.DeviceID)
		alice.Post(v3+"/keys/upload", object{"device_keys": alice.identity(t), "one_time_keys": object{"signed_curve25519:A000": object{"key": "new"}}}).OK()
		if got := claim(bob, alice.UserID, alice.DeviceID); got != "A000" {
			t.Errorf("claimed %q of the new keys", got)
		}
	})
}

func TestOldestKeysGoFirst(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		for i := range 5 {
			alice.Post(v3+"/keys/upload", object{"one_time_keys": oneTimeKeys(fmt.Sprintf("%d-", 9-i), 4)}).OK()
		}
		for i := range 20 {
			if got, want := claim(alice.Client, alice.UserID, alice.DeviceID), fmt.Sprintf("%d-%03d", 9-i/4, i%4); got != want {
				t.Errorf("claim %d got %s, want %s", i, got, want)
			}
		}
	})
}

func TestAFallbackKeyIsUnusedUntilItIsHandedOut(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		fallback := func(id string) object {
			return object{"fallback_keys": object{"signed_curve25519:" + id: object{"key": id, "fallback": true}}}
		}
		unused := func() any { return alice.Get(v3 + "/sync").OK().Value("device_unused_fallback_key_types") }
		equal(t, unused(), []any{})
		alice.Post(v3+"/keys/upload", fallback("ONE")).OK().Equal(`{"one_time_key_counts":{"signed_curve25519":0}}`)
		equal(t, unused(), []any{"signed_curve25519"})
		for range 2 {
			if got := claim(alice.Client, alice.UserID, alice.DeviceID); got != "ONE" {
				t.Errorf("claimed %q", got)
			}
		}
		equal(t, unused(), []any{})
		// The answer to the first upload was lost: the key has been used all the same.
		alice.Post(v3+"/keys/upload", fallback("ONE")).OK()
		equal(t, unused(), []any{})
		alice.Post(v3+"/keys/upload", fallback("TWO")).OK()
		equal(t, unused(), []any{"signed_curve25519"})
		if got := claim(alice.Client, alice.UserID, alice.DeviceID); got != "TWO" {
			t.Errorf("claimed %q", got)
		}
		two := object{"fallback_keys": object{"signed_curve25519:A": "a", "signed_curve25519:B": "b"}}
		refused(t, alice.Post(v3+"/keys/upload", two), "M_BAD_JSON")
	})
}

func TestCountsNameTheUsualAlgorithmEvenAtZero(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		equal(t, alice.Get(v3+"/sync").OK().Value("device_one_time_keys_count"), object{"signed_curve25519": 0.0})
		alice.Post(v3+"/keys/upload", object{}).OK().Equal(`{"one_time_key_counts":{"signed_curve25519":0}}`)
		alice.Post(v3+"/keys/upload", object{"one_time_keys": object{"curve25519:A": "key"}}).OK().
			Equal(`{"one_time_key_counts":{"signed_curve25519":0,"curve25519":1}}`)
	})
}

func TestADeletedDeviceLeavesNoKeys(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		phone := encrypt(t, s.Login("alice", "PHONE"))
		keys := uploadCrossSigning(t, alice.Client)
		phone.Post(v3+"/keys/upload", object{
			"one_time_keys": oneTimeKeys("A", 2), "fallback_keys": object{"signed_curve25519:F": object{"key": "f"}},
		}).OK()
		master := signed(t, crossSigningKey(alice.UserID, "master", keys.master), alice.UserID, phone.key)
		alice.Post(v3+"/keys/signatures/upload", object{alice.UserID: object{
			"PHONE": signed(t, phone.keys, alice.UserID, keys.self), keys.master.public: master,
		}}).OK().Equal(`{"failures":{}}`)
		alice.Put(v3+"/sendToDevice/m.test/1", object{"messages": object{alice.UserID: object{"PHONE": object{}}}}).OK()
		phone.Post(v3+"/logout", nil).OK()

		check := func() {
			t.Helper()
			got := query(alice.Client, alice.UserID)
			equal(t, got.Value("device_keys", alice.UserID), object{alice.DeviceID: alice.keys})
			equal(t, got.Value("master_keys", alice.UserID, "signatures"), object{})
			if got := claim(alice.Client, alice.UserID, "PHONE"); got != "" {
				t.Errorf("claimed %q of a deleted device", got)
			}
		}
		check()
		again := s.Login("alice", "PHONE")
		check()
		first := again.Get(v3 + "/sync").OK()
		equal(t, first.Value("to_device", "events"), nil)
		equal(t, first.Value("device_one_time_keys_count"), object{"signed_curve25519": 0.0})
	})
}
