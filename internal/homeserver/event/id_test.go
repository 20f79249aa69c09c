// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestServerNames(t *testing.T) {
	valid := []string{
		"matrix.org", "matrix.org:8888", "1.2.3.4", "1.2.3.4:1234", "[1234:5678::abcd]", "[1234:5678::abcd]:5678", "[::ffff:10.0.0.1]",
		"localhost", "A.B", "xn--bcher-kva.example", "a-b.c", strings.Repeat("a", 255),
	}
	for _, s := range valid {
		if got, err := ParseServerName(s); err != nil || string(got) != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	invalid := map[string]string{
		"nothing": "", "no host": ":80", "an empty port": "a:", "a port with letters": "a:80x", "a long port": "a:123456",
		"a scheme": "https://a", "a path": "a/b", "an underscore": "a_b", "a space": "a b", "NUL": "a\x00", "a newline": "a\n",
		"an open bracket": "[::1", "a bracket without colon": "[::1]80", "IPv4 in brackets": "[1.2.3.4]", "a zone": "[fe80::1%eth0]", "IPv6 without brackets": "::1",
		"letters outside ASCII": "bücher.example", "256 bytes": strings.Repeat("a", 256), "two ports": "a:1:2", "an empty IPv6": "[]",
	}
	for name, s := range invalid {
		if got, err := ParseServerName(s); !errors.Is(err, ErrInvalidID) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestUserIDs(t *testing.T) {
	for _, s := range []string{"@a:b", "@:b", "@A B:b", "@ü:b", "@\x01:b", "@a/+=:[::1]:80", "@" + strings.Repeat("a", 252) + ":b"} {
		u, err := ParseUserID(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if "@"+u.Localpart()+":"+string(u.Server()) != s {
			t.Errorf("%q has localpart %q and server %q", s, u.Localpart(), u.Server())
		}
	}
	for name, s := range map[string]string{
		"nothing": "", "only a sigil": "@", "no server": "@a", "an empty server": "@a:", "another sigil": "!a:b", "NUL": "@a\x00:b",
		"invalid UTF-8": "@\xff:b", "256 bytes": "@" + strings.Repeat("a", 253) + ":b", "a bad server": "@a:b_c",
	} {
		if got, err := ParseUserID(s); !errors.Is(err, ErrInvalidID) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestNewUserIDs(t *testing.T) {
	if u, err := NewUserID("a.b_c=d-e/f+0", "example.org"); err != nil || u != "@a.b_c=d-e/f+0:example.org" {
		t.Errorf("%q, %v", u, err)
	}
	for name, localpart := range map[string]string{
		"nothing": "", "upper case": "Bob", "a colon": "a:b", "an exclamation mark": "bob!", "a space": "a b", "other letters": "ü", "256 bytes": strings.Repeat("a", 250),
	} {
		if u, err := NewUserID(localpart, "example.org"); !errors.Is(err, ErrInvalidID) || u != "" {
			t.Errorf("%s: %q, %v", name, u, err)
		}
	}
	if _, err := NewUserID("a", "no server"); !errors.Is(err, ErrInvalidID) {
		t.Errorf("a bad server name: %v", err)
	}
}

func TestRoomIDs(t *testing.T) {
	hash := "!" + strings.Repeat("aZ0-_", 8) + "abc"
	for s, server := range map[string]ServerName{"!a:b": "b", "!ü \x01:b:80": "b:80", hash: ""} {
		r, err := ParseRoomID(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if got, ok := r.Server(); got != server || ok != (server != "") {
			t.Errorf("%q has server %q, %v", s, got, ok)
		}
	}
	for name, s := range map[string]string{
		"nothing": "", "no server": "!a", "a short hash": hash[:43], "a long hash": hash + "a", "a hash of the other alphabet": hash[:43] + "+",
		"another sigil": "#a:b", "nothing before the colon": "!:b", "NUL": "!\x00:b", "256 bytes": "!" + strings.Repeat("a", 253) + ":b",
	} {
		if got, err := ParseRoomID(s); !errors.Is(err, ErrInvalidID) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestRoomAliases(t *testing.T) {
	a, err := ParseRoomAlias("#foyer d'été:example.org:80")
	if err != nil || a.Localpart() != "foyer d'été" || a.Server() != "example.org:80" {
		t.Errorf("%q, %q, %v", a.Localpart(), a.Server(), err)
	}
	for _, s := range []string{"", "#", "#a", "#:b", "#a:", "!a:b", "#a\x00:b", "#" + strings.Repeat("a", 253) + ":b"} {
		if got, err := ParseRoomAlias(s); !errors.Is(err, ErrInvalidID) || got != "" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func TestEventIDs(t *testing.T) {
	for _, s := range []string{"$a:b", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", "$x"} {
		if got, err := ParseEventID(s); err != nil || string(got) != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "$", "a", "$a:", "$a:b c", "$\x00", "$\xff", "!a:b", "$" + strings.Repeat("a", 255)} {
		if got, err := ParseEventID(s); !errors.Is(err, ErrInvalidID) || got != "" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func FuzzIdentifiers(f *testing.F) {
	for _, seed := range []string{"", "@a:b", "!a:b", "#a:b", "$a:b", "$a", "[::1]:80", "a:80", "@:[", "!" + strings.Repeat("a", 43), "@\x00:b", ":", "["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Getters of what was never parsed must not panic either.
		u, r, a, e := UserID(s), RoomID(s), RoomAlias(s), EventID(s)
		_, _, _, _ = u.Localpart(), u.Server(), a.Localpart(), a.Server()
		_, _ = r.Server()
		_, _ = r.createEventID(), e.server()
		_, serverErr := ParseServerName(s)
		_, userErr := ParseUserID(s)
		_, roomErr := ParseRoomID(s)
		_, aliasErr := ParseRoomAlias(s)
		_, eventErr := ParseEventID(s)
		for _, err := range []error{serverErr, userErr, roomErr, aliasErr, eventErr} {
			if err != nil && !errors.Is(err, ErrInvalidID) {
				t.Fatalf("error of another kind: %v", err)
			}
			if err == nil && (len(s) > maxID || strings.Contains(s, "\x00") || !utf8.ValidString(s)) {
				t.Fatalf("%q was accepted", s)
			}
		}
		if userErr == nil && "@"+u.Localpart()+":"+string(u.Server()) != s {
			t.Fatalf("%q is cut into %q and %q", s, u.Localpart(), u.Server())
		}
		if _, err := NewUserID(u.Localpart(), u.Server()); err == nil && userErr != nil && strings.HasPrefix(s, "@") {
			t.Fatalf("%q is new but no user id", s)
		}
	})
}
