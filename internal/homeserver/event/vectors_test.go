// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"
)

// specSigner returns the key of the specification's test vectors (appendices,
// "Cryptographic Test Vectors").
func specSigner(t testing.TB) Signer {
	t.Helper()
	seed, err := base64.RawStdEncoding.DecodeString("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	return Signer{Server: "domain", KeyID: "ed25519:1", PrivateKey: ed25519.NewKeyFromSeed(seed)}
}

func (s Signer) public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }

func rules(t testing.TB, v RoomVersion) *Rules {
	t.Helper()
	r, ok := RulesFor(v)
	if !ok {
		t.Fatalf("room version %s is not supported", v)
	}
	return r
}

func TestSpecificationVectorsOfSigningJSON(t *testing.T) {
	tests := []struct{ name, object, want string }{
		{
			"an empty object", `{}`,
			`{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}`,
		},
		{
			"an object with data", `{"one": 1, "two": "Two"}`,
			`{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer := specSigner(t)
			got, err := SignJSON([]byte(test.object), signer)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if err := VerifyJSON(got, "domain", "ed25519:1", signer.public()); err != nil {
				t.Errorf("our own signature: %v", err)
			}
		})
	}
}

// The second vector is no complete PDU (it has no depth, for one), so the vectors
// are tried on the parts that Build and Parse are made of.
func TestSpecificationVectorsOfSigningEvents(t *testing.T) {
	tests := []struct{ name, event, hash, signature string }{
		{
			"a minimal event",
			`{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},"hashes":{},` +
				`"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}`,
			"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
			"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
		},
		{
			"an event whose content is redactable",
			`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain","origin_server_ts":1000000,` +
				`"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","signatures":{},"unsigned":{"age_ts":1000000}}`,
			"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
			"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer := specSigner(t)
			canonical, err := Canonical([]byte(test.event), true)
			if err != nil {
				t.Fatal(err)
			}
			hashed := setMember(canonical, "hashes", []byte(`{"sha256":"`+test.hash+`"}`))
			e, err := rules(t, "1").Load("$0:domain", hashed)
			if err != nil {
				t.Fatal(err)
			}
			if !e.HashOK() {
				t.Errorf("the content hash is not %s", test.hash)
			}
			signed, err := e.Sign(signer)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := ParseObject(signed.JSON())
			signatures, _ := o.Object("signatures")
			ours, _ := signatures.Object("domain")
			if got, _ := ours.String("ed25519:1"); got != test.signature {
				t.Errorf("signature %s, want %s", got, test.signature)
			}
			if err := signed.VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
				t.Error(err)
			}
			if err := signed.Redacted().VerifySignature("domain", "ed25519:1", signer.public()); err != nil {
				t.Errorf("the redacted event: %v", err)
			}
		})
	}
}
