// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
)

// H84: an event whose hash is wrong is good only in its redacted form; one without
// the sender's signature is good for nothing.
func TestH84HashAndSignatureAreVerified(t *testing.T) {
	signer := specSigner(t)
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		tampered := mustParse(t, v, bytes.Replace(e.JSON(), []byte("hello"), []byte("jello"), 1))
		if tampered.HashOK() || tampered.ID() != e.ID() {
			t.Errorf("version %s: other content has hash ok %v and id %s", v, tampered.HashOK(), tampered.ID())
		}
		if err := tampered.VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
			t.Errorf("version %s: the signature covers the redacted event only: %v", v, err)
		}
		if bytes.Contains(tampered.Redacted().JSON(), []byte("jello")) {
			t.Errorf("version %s: %s", v, tampered.Redacted().JSON())
		}
		for name, raw := range map[string][]byte{
			"no signature":       setMember(e.JSON(), "signatures", []byte(`{}`)),
			"another server":     bytes.Replace(e.JSON(), []byte(`"signatures":{"domain"`), []byte(`"signatures":{"evil"`), 1),
			"a short signature":  setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":"AAAA"}}`)),
			"no string":          setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":5}}`)),
			"not base64":         setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":"`+strings.Repeat("!", 86)+`"}}`)),
			"a changed depth":    setMember(e.JSON(), "depth", []byte("8")),
			"another state":      setMember(e.JSON(), "state_key", []byte(`""`)),
			"signatures no list": setMember(e.JSON(), "signatures", []byte(`{"domain":[]}`)),
		} {
			if err := mustParse(t, v, raw).VerifySignature("domain", "ed25519:1", signer.public()); !errors.Is(err, ErrSignature) {
				t.Errorf("version %s, %s: %v", v, name, err)
			}
		}
		if err := e.VerifySignature("domain", "ed25519:1", signer.public()[:31]); !errors.Is(err, ErrSignature) {
			t.Errorf("version %s, a short key: %v", v, err)
		}
	}
}

func TestSigners(t *testing.T) {
	tests := []struct {
		name    string
		typ     string
		content string
		old     []ServerName // versions 1 and 2
		middle  []ServerName // versions 3 to 7
		modern  []ServerName // version 8 on
	}{
		{
			"a message needs its sender's server", "m.room.message", `{"join_authorised_via_users_server":"@x:other"}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender"},
		},
		{
			"a restricted join needs the authorising server", "m.room.member", `{"membership":"join","join_authorised_via_users_server":"@x:other"}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender", "other"},
		},
		{
			"an authorising server that is the sender's counts once", "m.room.member", `{"membership":"join","join_authorised_via_users_server":"@x:sender"}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender"},
		},
		{
			"an authorising user that is none can never be satisfied", "m.room.member", `{"membership":"join","join_authorised_via_users_server":5}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender", ""},
		},
		{
			"an invite needs its sender's server", "m.room.member", `{"membership":"invite"}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender"},
		},
		{
			"an invite from a third-party invite does not", "m.room.member", `{"membership":"invite","third_party_invite":{}}`,
			[]ServerName{"domain"},
			[]ServerName{},
			[]ServerName{},
		},
		{
			"a join cannot pass for one", "m.room.member", `{"membership":"join","third_party_invite":{}}`,
			[]ServerName{"sender", "domain"},
			[]ServerName{"sender"},
			[]ServerName{"sender"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, v := range SupportedVersions() {
				d := draft(t, v)
				d.Type, d.StateKey, d.Sender, d.Content = test.typ, ptr("@u:sender"), "@u:sender", []byte(test.content)
				want := test.modern
				if i < 2 {
					want = test.old
				} else if i < 7 {
					want = test.middle
				}
				if got := mustBuild(t, v, d).Signers(); !slices.Equal(got, want) {
					t.Errorf("version %s: %q, want %q", v, got, want)
				}
			}
		})
	}
}

func TestSignAddsToTheSignatures(t *testing.T) {
	first := specSigner(t)
	seed := bytes.Repeat([]byte{7}, 32)
	second := Signer{Server: "other", KeyID: "ed25519:b", PrivateKey: ed25519.NewKeyFromSeed(seed)}
	for _, v := range SupportedVersions() {
		e := mustBuild(t, v, draft(t, v))
		signed, err := e.Sign(second)
		if err != nil {
			t.Fatal(err)
		}
		signed = mustParse(t, v, signed.JSON())
		if signed.ID() != e.ID() || !signed.HashOK() {
			t.Errorf("version %s: %s", v, signed.JSON())
		}
		for _, s := range []Signer{first, second} {
			if err := signed.VerifySignature(s.Server, s.KeyID, s.public()); err != nil {
				t.Errorf("version %s: %v", v, err)
			}
			if got := signed.KeyIDs(s.Server); !slices.Equal(got, []string{s.KeyID}) {
				t.Errorf("version %s: keys of %s are %v", v, s.Server, got)
			}
		}
		if err := signed.VerifySignature("other", "ed25519:b", first.public()); !errors.Is(err, ErrSignature) {
			t.Errorf("version %s, another's key: %v", v, err)
		}
	}
}

func TestSignedObjects(t *testing.T) {
	signer := specSigner(t)
	signer.Server = "@u:domain" // users sign too
	signed, err := SignJSON([]byte(`{"b":1,"unsigned":{"x":1.5},"signatures":{"@u:domain":{"ed25519:0":"old","curve:1":"x"},"a":{}}}`), signer)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := ParseObject(signed)
	if got := KeyIDs(o, "@u:domain"); !slices.Equal(got, []string{"ed25519:0", "ed25519:1"}) {
		t.Errorf("keys %v", got)
	}
	if unsigned, _ := o.Get("unsigned"); string(unsigned) != `{"x":1.5}` {
		t.Errorf("unsigned %s", unsigned)
	}
	if err := VerifyJSON(signed, "@u:domain", "ed25519:1", signer.public()); err != nil {
		t.Error(err)
	}
	if err := VerifyJSON(setMember(signed, "unsigned", []byte(`{}`)), "@u:domain", "ed25519:1", signer.public()); err != nil {
		t.Errorf("unsigned is not covered: %v", err)
	}
	for name, obj := range map[string][]byte{"changed": setMember(signed, "b", []byte("2")), "unsigned by anyone": []byte(`{}`), "signatures of a wrong type": []byte(`{"signatures":5}`)} {
		if err := VerifyJSON(obj, "@u:domain", "ed25519:1", signer.public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, obj := range []string{"", "[]", `{"a":1.5}`, "5"} {
		if _, err := SignJSON([]byte(obj), signer); !errors.Is(err, ErrBadJSON) {
			t.Errorf("signing %q: %v", obj, err)
		}
	}
	if err := VerifyJSON([]byte("[]"), "a", "ed25519:1", signer.public()); !errors.Is(err, ErrBadJSON) {
		t.Errorf("verifying an array: %v", err)
	}
}

func TestSignRefusesWhatNoLongerFits(t *testing.T) {
	d := draft(t, "11")
	d.Content = []byte(`{"body":""}`)
	d.Content = []byte(`{"body":"` + strings.Repeat("a", maxEvent-len(mustBuild(t, "11", d).JSON())) + `"}`)
	signer := specSigner(t)
	signer.Server = "other"
	if _, err := mustBuild(t, "11", d).Sign(signer); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := mustBuild(t, "11", draft(t, "11")).Sign(Signer{}); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

func TestSignaturesInOtherBase64AreRead(t *testing.T) {
	e := mustBuild(t, "11", draft(t, "11"))
	urlSafe := strings.NewReplacer("+", "-", "/", "_")
	o, _ := ParseObject(e.JSON())
	signatures, _ := o.Object("signatures")
	ours, _ := signatures.Object("domain")
	signature, _ := ours.String("ed25519:1")
	for _, s := range []string{signature + "==", urlSafe.Replace(signature)} {
		other := mustParse(t, "11", setMember(e.JSON(), "signatures", []byte(`{"domain":{"ed25519:1":"`+s+`"}}`)))
		if err := other.VerifySignature("domain", "ed25519:1", specSigner(t).public()); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
