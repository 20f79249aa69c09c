// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

const deviceSigning = v3 + "/keys/device_signing/upload"

// H27: a device must not be called like a cross-signing key.
func TestH27LoginWithADeviceIDThatIsACrossSigningKeyIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		keys := uploadCrossSigning(t, alice)
		for _, k := range []key{keys.master, keys.self, keys.user} {
			s.Client().Post(v3+"/login", object{
				"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "alice"},
				"password": homeservertest.Password, "device_id": k.public,
			}).Refused(http.StatusForbidden, "M_FORBIDDEN")
		}
		s.Register("bob")
		s.Login("bob", keys.master.public) // it is nothing to others

		carol := s.Register("carol")
		taken := newCrossSigning(t)
		s.Login("carol", taken.user.public)
		carol.Post(deviceSigning, taken.body(t, carol.UserID)).Refused(http.StatusForbidden, "M_FORBIDDEN")
		equal(t, query(carol, carol.UserID).Value("master_keys"), object{})
	})
}

// confirmed adds to a request what completes the session of a challenge.
func confirmed(body object, challenge *homeservertest.Response, user, password string) object {
	out := object{"auth": object{
		"type": "m.login.password", "session": challenge.String("session"), "password": password,
		"identifier": object{"type": "m.id.user", "user": user},
	}}
	for name, value := range body {
		out[name] = value
	}
	return out
}

// H66: the first upload is free, a repeated one too, others need the user.
func TestH66CrossSigningKeysAreReplacedOnlyByWhoProvesWhoTheyAre(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		s.Register("bob")
		first := newCrossSigning(t).body(t, alice.UserID)
		alice.Post(deviceSigning, first).OK()
		alice.Post(deviceSigning, first).OK() // the first answer was lost
		alice.Post(deviceSigning, object{"master_key": first["master_key"]}).OK()
		alice.Post(deviceSigning, object{}).OK().Equal(`{}`)

		fresh := newCrossSigning(t)
		second := fresh.body(t, alice.UserID)
		challenge := alice.Post(deviceSigning, second)
		if challenge.Status != http.StatusUnauthorized || challenge.String("errcode") != "" || challenge.Value("flows") == nil {
			t.Fatalf("answer %d %s, want a challenge", challenge.Status, challenge.Body)
		}
		alice.Post(deviceSigning, confirmed(second, challenge, "alice", "wrong")).Refused(http.StatusUnauthorized, "M_FORBIDDEN")
		alice.Post(deviceSigning, confirmed(second, challenge, "bob", homeservertest.Password)).Refused(http.StatusUnauthorized, "M_FORBIDDEN")
		third := newCrossSigning(t).body(t, alice.UserID)
		if r := alice.Post(deviceSigning, confirmed(third, challenge, "alice", homeservertest.Password)); r.Status != http.StatusUnauthorized {
			t.Errorf("a session for other keys was accepted: %d %s", r.Status, r.Body)
		}
		equal(t, query(alice, alice.UserID).Value("master_keys", alice.UserID, "keys"), first["master_key"].(object)["keys"])

		from := token(alice)
		alice.Post(deviceSigning, confirmed(second, challenge, "alice", homeservertest.Password)).OK()
		got := query(alice, alice.UserID)
		equal(t, got.Value("master_keys", alice.UserID, "keys"), object{fresh.master.id: fresh.master.public})
		equal(t, got.Value("self_signing_keys", alice.UserID), second["self_signing_key"])
		equal(t, got.Value("user_signing_keys", alice.UserID), second["user_signing_key"])
		equal(t, changedSince(alice, from), []any{alice.UserID})
	})
}

func TestH66BadCrossSigningKeysAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		keys := newCrossSigning(t)
		good := keys.body(t, alice.UserID)
		with := func(name string, value any) object {
			body := object{}
			for k, v := range good {
				body[k] = v
			}
			body[name] = value
			return body
		}
		stranger := newKey(t, "")
		lying := stranger
		lying.id = keys.master.id
		misnamed := crossSigningKey(alice.UserID, "master", stranger)
		misnamed["keys"] = object{keys.self.id: stranger.public}
		twoKeys := crossSigningKey(alice.UserID, "master", stranger)
		twoKeys["keys"] = object{keys.self.id: keys.self.public, stranger.id: stranger.public}
		wrongDevice := alice.key
		wrongDevice.private = stranger.private
		cases := []struct {
			name string
			body object
			code string
		}{
			{"signing keys without a master key", object{"self_signing_key": good["self_signing_key"]}, "M_MISSING_PARAM"},
			{"nothing at all", object{}, "M_MISSING_PARAM"},
			{"a signing key without signature", with("self_signing_key", crossSigningKey(alice.UserID, "self_signing", keys.self)), "M_INVALID_SIGNATURE"},
			{"a signing key signed by somebody else", with("user_signing_key", signed(t, crossSigningKey(alice.UserID, "user_signing", keys.user), alice.UserID, stranger)), "M_INVALID_SIGNATURE"},
			{"a forged signature", with("user_signing_key", signed(t, crossSigningKey(alice.UserID, "user_signing", keys.user), alice.UserID, lying)), "M_INVALID_SIGNATURE"},
			{"a master key that a device did not sign", with("master_key", signed(t, crossSigningKey(alice.UserID, "master", keys.master), alice.UserID, wrongDevice)), "M_INVALID_SIGNATURE"},
			{"a key of another user", with("master_key", crossSigningKey("@bob:test.example", "master", keys.master)), "M_BAD_JSON"},
			{"another usage", with("master_key", crossSigningKey(alice.UserID, "self_signing", keys.master)), "M_BAD_JSON"},
			{"null", with("master_key", nil), "M_BAD_JSON"},
			{"two keys in one", with("master_key", twoKeys), "M_BAD_JSON"},
			{"a key that is called otherwise", with("master_key", misnamed), "M_BAD_JSON"},
			{"a key of no length", with("master_key", crossSigningKey(alice.UserID, "master", key{id: "ed25519:"})), "M_BAD_JSON"},
		}
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { refused(t, alice.With(t).Post(deviceSigning, c.body), c.code) })
		}
		equal(t, query(alice.Client, alice.UserID).Value("master_keys"), object{})
		alice.Post(deviceSigning, good).OK()
	})
}

func TestOfTwoFirstUploadsAtOnceOnlyOneIsFree(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		const devices = 8
		statuses, masters := make([]int, devices), make([]string, devices)
		var wait sync.WaitGroup
		for i := range devices {
			keys := newCrossSigning(t)
			body := keys.body(t, alice.UserID)
			masters[i] = keys.master.public
			wait.Go(func() { statuses[i] = alice.Post(deviceSigning, body).Status })
		}
		wait.Wait()
		free := -1
		for i, status := range statuses {
			if status == http.StatusOK && free >= 0 {
				t.Errorf("more than one first upload was free: %v", statuses)
			}
			if status == http.StatusOK {
				free = i
			}
		}
		if free < 0 {
			t.Fatalf("no upload succeeded: %v", statuses)
		}
		equal(t, query(alice, alice.UserID).Value("master_keys", alice.UserID, "keys"), object{"ed25519:" + masters[free]: masters[free]})
	})
}

func TestANewMasterKeyAloneMakesTheOldSigningKeysGo(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		bob := s.Register("bob")
		keys, bobs := uploadCrossSigning(t, alice.Client), uploadCrossSigning(t, bob)
		alice.Post(v3+"/keys/signatures/upload", object{
			alice.UserID: object{alice.DeviceID: signed(t, alice.keys, alice.UserID, keys.self)},
			bob.UserID:   object{bobs.master.public: signed(t, crossSigningKey(bob.UserID, "master", bobs.master), alice.UserID, keys.user)},
		}).OK().Equal(`{"failures":{}}`)
		fresh := newCrossSigning(t)
		body := object{"master_key": crossSigningKey(alice.UserID, "master", fresh.master)}
		challenge := alice.Post(deviceSigning, body)
		alice.Post(deviceSigning, confirmed(body, challenge, "alice", homeservertest.Password)).OK()
		got := alice.Post(v3+"/keys/query", object{"device_keys": object{alice.UserID: []string{}, bob.UserID: []string{}}}).OK()
		equal(t, got.Value("master_keys", alice.UserID, "keys"), object{fresh.master.id: fresh.master.public})
		equal(t, got.Value("self_signing_keys", alice.UserID), nil)
		equal(t, got.Value("user_signing_keys"), object{})
		equal(t, got.Value("device_keys", alice.UserID, alice.DeviceID), alice.keys)
		equal(t, got.Value("master_keys", bob.UserID, "signatures"), object{})
	})
}

// H67: what does not verify is a failure and is not stored.
func TestH67ForgedSignaturesAreNotStored(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := encrypt(t, s.Register("alice"))
		phone := encrypt(t, s.Login("alice", "PHONE"))
		mallory := encrypt(t, s.Register("mallory"))
		keys, theirs := uploadCrossSigning(t, alice.Client), uploadCrossSigning(t, mallory.Client)
		forged := keys.self
		forged.private = theirs.self.private
		changed := phone.identity(t)
		changed["algorithms"] = []string{"m.none"}
		upload := alice.Post(v3+"/keys/signatures/upload", object{
			alice.UserID: object{
				alice.DeviceID: signed(t, alice.keys, alice.UserID, keys.self), // good
				"PHONE":        signed(t, phone.keys, alice.UserID, forged),
				"NONE":         signed(t, phone.keys, alice.UserID, keys.self),
			},
			mallory.UserID: object{
				// Devices of others are theirs to sign.
				mallory.DeviceID: signed(t, mallory.keys, alice.UserID, keys.user),
			},
		}).OK()
		equal(t, failureCodes(upload), object{
			alice.UserID:   object{"PHONE": "M_INVALID_SIGNATURE", "NONE": "M_NOT_FOUND"},
			mallory.UserID: object{mallory.DeviceID: "M_NOT_FOUND"},
		})
		for name, o := range map[string]object{
			"of another object":              signed(t, changed, alice.UserID, keys.self),
			"by a key that may not":          signed(t, phone.keys, alice.UserID, keys.user),
			"that are not there":             {},
			"by a key that nobody knows":     signed(t, phone.identity(t), alice.UserID, newKey(t, "")),
			"by another user's key":          {"signatures": signed(t, object{}, mallory.UserID, theirs.user)["signatures"]},
			"that are no text":               {"signatures": object{alice.UserID: object{keys.self.id: 1}}},
			"by the right key of wrong size": {"signatures": object{alice.UserID: object{keys.self.id: "AAAA"}}},
		} {
			t.Run("signatures "+name, func(t *testing.T) {
				if o["user_id"] == nil {
					for k, v := range phone.identity(t) {
						if k != "signatures" {
							o[k] = v
						}
					}
				}
				r := alice.With(t).Post(v3+"/keys/signatures/upload", object{alice.UserID: object{"PHONE": o}}).OK()
				code := "M_INVALID_SIGNATURE"
				if name == "that are no text" {
					code = "M_BAD_JSON"
				}
				equal(t, failureCodes(r), object{alice.UserID: object{"PHONE": code}})
			})
		}
		mallory.Post(v3+"/keys/signatures/upload", object{alice.UserID: object{"PHONE": signed(t, phone.keys, mallory.UserID, theirs.user)}}).OK()
		got := query(mallory.Client, alice.UserID)
		equal(t, got.Value("device_keys", alice.UserID, alice.DeviceID), signed(t, alice.keys, alice.UserID, keys.self))
		equal(t, got.Value("device_keys", alice.UserID, "PHONE"), phone.keys)
		refused(t, alice.Post(v3+"/keys/signatures/upload", object{"alice": object{}}), "M_INVALID_PARAM")
		refused(t, alice.Post(v3+"/keys/signatures/upload", object{alice.UserID: []string{}}), "M_BAD_JSON")
	})
}

// failureCodes returns the errcodes of failures, by user and key.
func failureCodes(r *homeservertest.Response) object {
	codes := object{}
	failures, _ := r.Value("failures").(map[string]any)
	for user := range failures {
		byKey, of := object{}, failures[user].(map[string]any)
		for key := range of {
			byKey[key] = of[key].(map[string]any)["errcode"]
		}
		codes[user] = byKey
	}
	return codes
}

func TestSignaturesOnOthersAreSeenByTheirOwnerAndWhoMadeThem(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob, carol := s.Register("alice"), s.Register("bob"), s.Register("carol")
		keys, bobs := uploadCrossSigning(t, alice), uploadCrossSigning(t, bob)
		plain := crossSigningKey(bob.UserID, "master", bobs.master)
		sign := object{bob.UserID: object{bobs.master.public: signed(t, plain, alice.UserID, keys.user)}}
		mine, others := token(alice), token(bob)
		alice.Post(v3+"/keys/signatures/upload", sign).OK().Equal(`{"failures":{}}`)
		if got := query(alice, bob.UserID).Value("master_keys", bob.UserID, "signatures", alice.UserID, keys.user.id); got == nil {
			t.Error("who signed does not see the signature")
		}
		for _, viewer := range []*homeservertest.Client{bob, carol} {
			got := query(viewer, bob.UserID)
			if viewer == carol {
				equal(t, got.Value("user_signing_keys"), object{})
			}
			equal(t, got.Value("master_keys", bob.UserID, "signatures"), object{})
		}
		equal(t, changedSince(alice, mine), []any{bob.UserID})
		equal(t, changedSince(bob, others), []any{})
		again := token(alice)
		alice.Post(v3+"/keys/signatures/upload", sign).OK().Equal(`{"failures":{}}`)
		equal(t, changedSince(alice, again), []any{})
	})
}
