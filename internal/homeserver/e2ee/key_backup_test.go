// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/fault"
	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

const (
	versions   = v3 + "/room_keys/version"
	backupKeys = v3 + "/room_keys/keys"
	backupAlgo = "m.megolm_backup.v1.curve25519-aes-sha2"
	room       = "!room:test.example"
)

func newVersion(c *homeservertest.Client) string {
	return c.Post(versions, object{"algorithm": backupAlgo, "auth_data": object{"public_key": "abc"}}).OK().String("version")
}

func roomKey(index, forwarded int, verified bool, data string) object {
	return object{
		"first_message_index": index, "forwarded_count": forwarded, "is_verified": verified,
		"session_data": object{"ciphertext": data},
	}
}

// at is a path below room_keys/keys with a version.
func at(version string, path ...string) string {
	return strings.Join(append([]string{backupKeys}, path...), "/") + "?version=" + version
}

func TestBackupVersions(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		alice.Get(versions).Refused(http.StatusNotFound, "M_NOT_FOUND")
		alice.Get(versions+"/1").Refused(http.StatusNotFound, "M_NOT_FOUND")
		alice.Do("DELETE", versions+"/1", nil).Refused(http.StatusNotFound, "M_NOT_FOUND")
		if got := newVersion(alice); got != "1" {
			t.Fatalf("version %q", got)
		}
		one := `{"algorithm":"` + backupAlgo + `","auth_data":{"public_key":"abc"},"count":0,"etag":"0","version":"1"}`
		alice.Get(versions).OK().Equal(one)
		alice.Get(versions + "/1").OK().Equal(one)
		bob.Get(versions+"/1").Refused(http.StatusNotFound, "M_NOT_FOUND")
		two := newVersion(alice)
		equal(t, alice.Get(versions).OK().Value("version"), two)
		alice.Get(versions + "/1").OK().Equal(one)

		// A version that is deleted is gone, again and again; its number never comes back.
		for range 2 {
			alice.Do("DELETE", versions+"/"+two, nil).OK().Equal(`{}`)
			alice.Get(versions+"/"+two).Refused(http.StatusNotFound, "M_NOT_FOUND")
		}
		alice.Get(versions).OK().Equal(one)
		if three := newVersion(alice); three != "3" {
			t.Errorf("version %q after 1 and 2", three)
		}
		for _, version := range []string{"1", "2", "3", "1"} {
			alice.Do("DELETE", versions+"/"+version, nil).OK()
		}
		alice.Get(versions).Refused(http.StatusNotFound, "M_NOT_FOUND")
		for _, version := range []string{"4", "0", "-1", "01", "x", "99999999999999999999"} {
			alice.Do("DELETE", versions+"/"+version, nil).Refused(http.StatusNotFound, "M_NOT_FOUND")
			alice.Get(versions+"/"+version).Refused(http.StatusNotFound, "M_NOT_FOUND")
		}
		if four := newVersion(alice); four != "4" {
			t.Errorf("version %q after 3 was deleted", four)
		}
	})
}

func TestBackupVersionsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		auth := object{"public_key": "abc"}
		refused(t, alice.Post(versions, object{"auth_data": auth}), "M_MISSING_PARAM")
		refused(t, alice.Post(versions, object{"algorithm": "a"}), "M_MISSING_PARAM")
		refused(t, alice.Post(versions, object{"algorithm": 1, "auth_data": auth}), "M_BAD_JSON")
		refused(t, alice.Post(versions, object{"algorithm": "a", "auth_data": "abc"}), "M_BAD_JSON")
		large := object{"public_key": strings.Repeat("a", 64<<10)}
		alice.Post(versions, object{"algorithm": "a", "auth_data": large}).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
		s.Client().Post(versions, object{"algorithm": "a", "auth_data": auth}).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
		for range 50 {
			newVersion(alice)
		}
		alice.Post(versions, object{"algorithm": "a", "auth_data": auth}).Refused(http.StatusForbidden, "M_RESOURCE_LIMIT_EXCEEDED")
		alice.Do("DELETE", versions+"/7", nil).OK()
		newVersion(alice)
	})
}

func TestOnlyTheAuthDataOfABackupChanges(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		version := newVersion(alice)
		put := func(path string, body object) *homeservertest.Response { return alice.Put(versions+"/"+path, body) }
		signed := object{"public_key": "abc", "signatures": object{alice.UserID: object{"ed25519:A": "sig"}}}
		put(version, object{"algorithm": backupAlgo, "auth_data": signed}).OK().Equal(`{}`)
		put(version, object{"algorithm": backupAlgo, "auth_data": signed, "version": version}).OK()
		equal(t, alice.Get(versions).OK().Value("auth_data"), signed)
		refused(t, put(version, object{"algorithm": backupAlgo, "auth_data": signed, "version": "2"}), "M_INVALID_PARAM")
		refused(t, put(version, object{"algorithm": "another", "auth_data": signed}), "M_INVALID_PARAM")
		refused(t, put(version, object{"auth_data": signed}), "M_MISSING_PARAM")
		put("2", object{"algorithm": backupAlgo, "auth_data": signed}).Refused(http.StatusNotFound, "M_NOT_FOUND")
	})
}

func TestRoomKeysComeBackByAllPaths(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice, bob := s.Register("alice"), s.Register("bob")
		version := newVersion(alice)
		alice.Get(at(version)).OK().Equal(`{"rooms":{}}`)
		alice.Get(at(version, room)).OK().Equal(`{"sessions":{}}`)
		alice.Get(at(version, room, "A")).Refused(http.StatusNotFound, "M_NOT_FOUND")
		a, b, c, d := roomKey(0, 0, true, "a"), roomKey(1, 2, false, "<b>"), roomKey(3, 0, false, "c"), roomKey(0, 9, true, "d")
		const other = "!other:test.example"
		alice.Put(at(version, room, "A"), a).OK().Equal(`{"count":1,"etag":"1"}`)
		alice.Put(at(version, room), object{"sessions": object{"B": b, "s/ä": c}}).OK().Equal(`{"count":3,"etag":"2"}`)
		alice.Put(at(version), object{"rooms": object{room: object{"sessions": object{"A": a}}, other: object{"sessions": object{"D": d}}}}).OK().
			Equal(`{"count":4,"etag":"3"}`)
		equal(t, alice.Get(at(version)).OK().Value("rooms"), object{
			room: object{"sessions": object{"A": a, "B": b, "s/ä": c}}, other: object{"sessions": object{"D": d}},
		})
		equal(t, alice.Get(at(version, room)).OK().Value("sessions"), object{"A": a, "B": b, "s/ä": c})
		equal(t, alice.Get(at(version, room, "s%2F%C3%A4")).OK().Value(), c)
		equal(t, alice.Get(versions).OK().Value("count"), 4)
		equal(t, alice.Get(versions).OK().Value("etag"), "3")

		alice.Do("DELETE", at(version, room, "B"), nil).OK().Equal(`{"count":3,"etag":"4"}`)
		alice.Do("DELETE", at(version, room, "B"), nil).OK().Equal(`{"count":3,"etag":"4"}`)
		alice.Do("DELETE", at(version, room), nil).OK().Equal(`{"count":1,"etag":"5"}`)
		equal(t, alice.Get(at(version)).OK().Value("rooms"), object{other: object{"sessions": object{"D": d}}})
		alice.Do("DELETE", at(version), nil).OK().Equal(`{"count":0,"etag":"6"}`)
		alice.Get(at(version)).OK().Equal(`{"rooms":{}}`)

		for _, path := range []string{at("9"), at("9", room), at("9", room, "A"), at("x")} {
			alice.Get(path).Refused(http.StatusNotFound, "M_NOT_FOUND")
			alice.Do("DELETE", path, nil).Refused(http.StatusNotFound, "M_NOT_FOUND")
		}
		for _, path := range []string{backupKeys, backupKeys + "/" + room, backupKeys + "/" + room + "/A"} {
			refused(t, alice.Get(path), "M_MISSING_PARAM")
			refused(t, alice.Do("DELETE", path, nil), "M_MISSING_PARAM")
			refused(t, alice.Put(path, object{"rooms": object{}, "sessions": object{}}), "M_MISSING_PARAM")
		}
		bob.Get(at(version)).Refused(http.StatusNotFound, "M_NOT_FOUND")
		bob.Put(at(version, room, "A"), a).Refused(http.StatusNotFound, "M_NOT_FOUND")
		refused(t, alice.Get(at(version, "room")), "M_INVALID_PARAM")
	})
}

func TestABetterRoomKeyReplacesAWorseOne(t *testing.T) {
	stored := roomKey(5, 5, true, "stored")
	unverified := roomKey(5, 5, false, "stored")
	cases := []struct {
		name     string
		old, new object
		better   bool
	}{
		{"the same", stored, stored, false},
		{"verified", unverified, roomKey(9, 9, true, "new"), true},
		{"not verified", stored, roomKey(0, 0, false, "new"), false},
		{"an earlier message", stored, roomKey(4, 9, true, "new"), true},
		{"a later message", stored, roomKey(6, 0, true, "new"), false},
		{"fewer hands", stored, roomKey(5, 4, true, "new"), true},
		{"more hands", stored, roomKey(5, 6, true, "new"), false},
		{"only other data", stored, roomKey(5, 5, true, "new"), false},
	}
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		version := newVersion(alice)
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				path := at(version, room, fmt.Sprint("S", i))
				before := alice.Put(path, c.old).OK()
				after := alice.Put(path, c.new).OK()
				want := c.old
				if c.better {
					want = c.new
				}
				equal(t, alice.Get(path).OK().Value(), want)
				equal(t, after.Value("count"), before.Value("count"))
				if changed := after.String("etag") != before.String("etag"); changed != c.better {
					t.Errorf("etag changed: %v, want %v", changed, c.better)
				}
			})
		}
	})
}

func TestOfManyUploadsOfOneSessionTheBestKeyStays(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		version := newVersion(alice)
		var wait sync.WaitGroup
		for i := range 20 {
			wait.Go(func() { alice.Put(at(version, room, "A"), roomKey(20-i, 0, true, fmt.Sprint(20-i))).OK() })
		}
		wait.Wait()
		equal(t, alice.Get(at(version, room, "A")).OK().Value(), roomKey(1, 0, true, "1"))
		equal(t, alice.Get(versions).OK().Value("count"), 1)
	})
}

func TestRoomKeysThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		version := newVersion(alice)
		with := func(name string, value any) object {
			k := roomKey(0, 0, true, "a")
			if k[name] = value; value == nil {
				delete(k, name)
			}
			return k
		}
		for name := range roomKey(0, 0, true, "a") {
			refused(t, alice.Put(at(version, room, "A"), with(name, nil)), "M_MISSING_PARAM")
			refused(t, alice.Put(at(version, room, "A"), with(name, "text")), "M_BAD_JSON")
		}
		refused(t, alice.Put(at(version, room, "A"), with("first_message_index", -1)), "M_BAD_JSON")
		refused(t, alice.Put(at(version, room, "A"), with("forwarded_count", 1.5)), "M_BAD_JSON")
		large := with("session_data", object{"a": strings.Repeat("a", 32<<10)})
		alice.Put(at(version, room, "A"), large).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
		refused(t, alice.Put(at(version, "room", "A"), with("", "")), "M_INVALID_PARAM")
		refused(t, alice.Put(at(version, room), object{"sessions": object{"": with("", "")}}), "M_BAD_JSON")
		refused(t, alice.Put(at(version, room), object{}), "M_MISSING_PARAM")
		refused(t, alice.Put(at(version), object{"rooms": object{room: object{}}}), "M_MISSING_PARAM")
		refused(t, alice.Put(at(version), object{"rooms": object{"room": object{"sessions": object{}}}}), "M_INVALID_PARAM")
		// One bad key, and none of them is stored.
		refused(t, alice.Put(at(version, room), object{"sessions": object{"A": with("", ""), "B": with("is_verified", 1)}}), "M_BAD_JSON")
		equal(t, alice.Get(versions).OK().Value("count"), 0)
		alice.Put(at(version), object{"rooms": object{}}).OK().Equal(`{"count":0,"etag":"0"}`)
	})
}

// H68: keys go to the current version, and the answer says which that is.
func TestH68KeysForAnotherVersionThanTheCurrentOneAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		k := roomKey(0, 0, true, "a")
		puts := func(version string) []*homeservertest.Response {
			return []*homeservertest.Response{
				alice.Put(at(version), object{"rooms": object{room: object{"sessions": object{"A": k}}}}),
				alice.Put(at(version, room), object{"sessions": object{"A": k}}),
				alice.Put(at(version, room, "A"), k),
			}
		}
		for _, r := range puts("1") {
			r.Refused(http.StatusNotFound, "M_NOT_FOUND")
		}
		old := newVersion(alice)
		alice.Put(at(old, room, "A"), k).OK()
		current := newVersion(alice)
		for _, version := range []string{old, "3", "x"} {
			for _, r := range puts(version) {
				r.Refused(http.StatusForbidden, "M_WRONG_ROOM_KEYS_VERSION")
				equal(t, r.Value("current_version"), current)
			}
		}
		equal(t, alice.Get(at(old, room, "A")).OK().Value(), k) // reading it still works
		alice.Do("DELETE", versions+"/"+current, nil).OK()
		for _, r := range puts(current) {
			r.Refused(http.StatusForbidden, "M_WRONG_ROOM_KEYS_VERSION")
			equal(t, r.Value("current_version"), old)
		}
	})
}

func TestALargeBackupIsStoredReadAndDeletedInPieces(t *testing.T) {
	each(t, func(t *testing.T, s *homeservertest.Server) {
		alice := s.Register("alice")
		version := newVersion(alice)
		rooms, total := object{}, 0
		for r := range 3 {
			sessions := object{}
			for i := range 900 { // more than is read, written or deleted at once
				sessions[fmt.Sprintf("session%d-%d", r, i)] = roomKey(i, r, i%2 == 0, "data")
				total++
			}
			rooms[fmt.Sprintf("!room%d:test.example", r)] = object{"sessions": sessions}
		}
		put := alice.Put(at(version), object{"rooms": rooms}).OK()
		equal(t, put.Value("count"), total)
		equal(t, alice.Put(at(version), object{"rooms": rooms}).OK().Value(), put.Value())
		equal(t, alice.Get(at(version)).OK().Value("rooms"), rooms)
		equal(t, alice.Get(at(version, "!room1:test.example")).OK().Value(), rooms["!room1:test.example"])
		equal(t, alice.Do("DELETE", at(version, "!room1:test.example"), nil).OK().Value("count"), total-900)
		delete(rooms, "!room1:test.example")
		equal(t, alice.Get(at(version)).OK().Value("rooms"), rooms)
		equal(t, alice.Do("DELETE", at(version), nil).OK().Value("count"), 0)
		alice.Get(at(version)).OK().Equal(`{"rooms":{}}`)
	})
}

func TestTheKeysOfADeletedVersionGoEvenThroughACrash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		var commits atomic.Int64 // how many succeed before the power goes
		commits.Store(1 << 40)
		ctx := fault.With(t.Context(), func(point string) error {
			if point == "store.commit.before" && commits.Add(-1) < 0 {
				return errors.New("power is gone")
			}
			return nil
		})
		db := open()
		service := e2ee.New(db, db.Log(), "test.example", time.Now)
		storetest.Start(ctx, t, db)
		const alice = "@alice:test.example"
		version, err := service.CreateBackup(ctx, alice, "algorithm", []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		keys := make([]store.BackupKey, 2500)
		for i := range keys {
			keys[i] = store.BackupKey{RoomID: room, SessionID: fmt.Sprint("S", i), SessionData: []byte(`{}`)}
		}
		if _, err := service.PutRoomKeys(ctx, alice, version, keys); err != nil {
			t.Fatal(err)
		}
		commits.Store(2) // the version, and the first thousand keys
		if err := service.DeleteBackup(ctx, alice, version); err == nil {
			t.Fatal("the backup was deleted without power")
		}
		if _, err := service.CurrentBackup(ctx, alice); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("current version: %v, want none", err)
		}
		left := func() int {
			found, err := db.BackupKeys(ctx, store.KeyBackup{UserID: alice, Version: 1}, store.BackupKey{}, 5000)
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		if n := left(); n != 1500 {
			t.Errorf("%d keys are left by the crash, want 1500", n)
		}
		commits.Store(1 << 40)
		if err := service.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := left(); n != 0 {
			t.Errorf("%d keys are left after the start, want 0", n)
		}
	})
}
