// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// These tests meet the server over HTTP, as clients do, on both databases.

const v3 = "/_matrix/client/v3"

type object = homeservertest.Object

// key is a signing key. Its id is complete, as in "ed25519:DEVICE".
type key struct {
	id, public string
	private    ed25519.PrivateKey
}

// newKey makes a key called name, or like its public part if name is empty.
func newKey(t *testing.T, name string) key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawStdEncoding.EncodeToString(public)
	if name == "" {
		name = text
	}
	return key{"ed25519:" + name, text, private}
}

// signed returns o with user's signatures by keys added.
func signed(t *testing.T, o object, user string, keys ...key) object {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		text, err = event.SignJSON(text, event.Signer{Server: event.ServerName(user), KeyID: k.id, PrivateKey: k.private})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out object
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// device is a device with encryption.
type device struct {
	*homeservertest.Client
	key  key
	keys object // as uploaded
}

// encrypt uploads identity keys for a client.
func encrypt(t *testing.T, c *homeservertest.Client) device {
	t.Helper()
	d := device{Client: c, key: newKey(t, c.DeviceID)}
	d.keys = d.identity(t)
	c.Post(v3+"/keys/upload", object{"device_keys": d.keys}).OK()
	return d
}

func (d device) identity(t *testing.T) object {
	t.Helper()
	return signed(t, object{
		"user_id": d.UserID, "device_id": d.DeviceID,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys":       object{d.key.id: d.key.public, "curve25519:" + d.DeviceID: "c" + d.key.public[1:]},
	}, d.UserID, d.key)
}

// crossSigning is the three keys of a user.
type crossSigning struct{ master, self, user key }

func newCrossSigning(t *testing.T) crossSigning {
	t.Helper()
	return crossSigning{newKey(t, ""), newKey(t, ""), newKey(t, "")}
}

func crossSigningKey(user, usage string, k key) object {
	return object{"user_id": user, "usage": []string{usage}, "keys": object{k.id: k.public}}
}

// body is the request that uploads the keys.
func (c crossSigning) body(t *testing.T, user string) object {
	t.Helper()
	return object{
		"master_key":       crossSigningKey(user, "master", c.master),
		"self_signing_key": signed(t, crossSigningKey(user, "self_signing", c.self), user, c.master),
		"user_signing_key": signed(t, crossSigningKey(user, "user_signing", c.user), user, c.master),
	}
}

func uploadCrossSigning(t *testing.T, c *homeservertest.Client) crossSigning {
	t.Helper()
	keys := newCrossSigning(t)
	c.Post(v3+"/keys/device_signing/upload", keys.body(t, c.UserID)).OK().Equal(`{}`)
	return keys
}

func query(c *homeservertest.Client, user string) *homeservertest.Response {
	return c.Post(v3+"/keys/query", object{"device_keys": object{user: []string{}}}).OK()
}

// token returns a sync token of now.
func token(c *homeservertest.Client) string {
	return c.Get(v3 + "/sync?filter=" + `%7B%22room%22%3A%7B%22rooms%22%3A%5B%5D%7D%7D`).OK().String("next_batch")
}

// changedSince returns whose devices changed for c since a token.
func changedSince(c *homeservertest.Client, from string) any {
	return c.Get(v3 + "/keys/changes?from=" + from + "&to=" + token(c)).OK().Value("changed")
}

func each(t *testing.T, test func(t *testing.T, s *homeservertest.Server)) {
	t.Helper()
	homeservertest.Each(t, homeservertest.Options{}, test)
}

// oneTimeKeys are n keys whose ids begin with prefix.
func oneTimeKeys(prefix string, n int) object {
	keys := object{}
	for i := range n {
		id := fmt.Sprintf("%s%03d", prefix, i)
		keys["signed_curve25519:"+id] = object{"key": "key of " + id}
	}
	return keys
}

// claim takes a key of a device and returns its id without the algorithm; "" if there was none.
func claim(c *homeservertest.Client, user, device string) string {
	r := c.Post(v3+"/keys/claim", object{"one_time_keys": object{user: object{device: "signed_curve25519"}}}).OK()
	keys, _ := r.Value("one_time_keys", user, device).(map[string]any)
	for name := range keys {
		return name[len("signed_curve25519:"):]
	}
	return ""
}

func refused(t *testing.T, r *homeservertest.Response, errcode string) {
	t.Helper()
	r.Refused(http.StatusBadRequest, errcode)
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(normal(t, want), normal(t, got)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

// normal is v as JSON has it.
func normal(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
