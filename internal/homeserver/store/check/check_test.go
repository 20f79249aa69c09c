// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
)

type object = homeservertest.Object

const v3 = "/_matrix/client/v3"

// lived is a server on which something of everything happened.
type lived struct {
	*homeservertest.Server
	room  string
	media string // path of an uploaded file
}

func live(t *testing.T, s *homeservertest.Server) *lived {
	t.Helper()
	l := &lived{Server: s}
	alice, bob, carol := s.Register("alice"), s.Register("bob"), s.Register("carol")
	l.room = alice.Post(v3+"/createRoom", object{"preset": "public_chat", "name": "A room"}).OK().String("room_id")
	in := v3 + "/rooms/" + url.PathEscape(l.room)
	bob.Post(in+"/join", object{}).OK()
	alice.Post(in+"/invite", object{"user_id": carol.UserID}).OK()
	for i := range 30 { // more states than are written in full
		alice.Put(in+fmt.Sprintf("/state/test.state/%d", i), object{"n": i}).OK()
	}
	var event string
	for i := range 5 {
		event = bob.Put(in+fmt.Sprintf("/send/m.room.message/%d", i), object{"body": fmt.Sprint(i), "msgtype": "m.text"}).OK().String("event_id")
	}
	alice.Put(in+"/redact/"+url.PathEscape(event)+"/r", object{}).OK()
	said := bob.Put(in+"/send/m.room.message/last", object{"body": "last", "msgtype": "m.text"}).OK().String("event_id")
	for i, relation := range []object{
		{"rel_type": "m.thread", "event_id": said}, {"rel_type": "m.thread", "event_id": said}, {"rel_type": "m.reference", "event_id": said},
	} {
		content := object{"body": "related", "msgtype": "m.text", "m.relates_to": relation}
		bob.Put(in+fmt.Sprintf("/send/m.room.message/related%d", i), content).OK()
	}
	alice.Post(in+"/receipt/m.read/"+url.PathEscape(said), object{}).OK()
	alice.Put(v3+"/user/{user}/account_data/test.data", object{"a": 1}).OK()
	alice.Put(v3+"/sendToDevice/test.message/1", object{"messages": object{bob.UserID: object{bob.DeviceID: object{"a": 1}}}}).OK()
	alice.Post(v3+"/keys/upload", object{"one_time_keys": object{"signed_curve25519:A": object{"key": "a"}, "signed_curve25519:B": object{"key": "b"}}}).OK()
	version := alice.Post(v3+"/room_keys/version", object{"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": object{}}).OK().String("version")
	alice.Put(v3+"/room_keys/keys/"+url.PathEscape(l.room)+"/session?version="+version, object{
		"first_message_index": 0, "forwarded_count": 0, "is_verified": false, "session_data": object{},
	}).OK()
	alice.Post("/_matrix/media/v3/upload", "some content").OK()
	files, err := filepath.Glob(filepath.Join(s.Config.Media.Dir, "??", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("uploaded files: %v, %v", files, err)
	}
	l.media = files[0]
	alice.Post(in+"/upgrade", object{"new_version": "12"}).OK()
	carol.Post(in+"/leave", object{}).OK()
	return l
}

func (l *lived) options() check.Options {
	return check.Options{
		Store:    store.Options{Dir: l.Config.DataDir, PostgresURL: l.Config.Database.URL, ServerName: homeservertest.ServerName},
		MediaDir: l.Config.Media.Dir,
	}
}

// findings runs a check.
func findings(t *testing.T, o check.Options) ([]check.Finding, check.Counts) {
	t.Helper()
	var all []check.Finding
	counts, err := check.Run(t.Context(), o, func(f check.Finding) error {
		if strings.Contains(f.String(), "\n") || f.Do == "" {
			t.Errorf("finding %q is not one line that says what to do", f)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, counts
}

// database opens the database of a server beside it.
func (l *lived) database(t *testing.T) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", l.Config.Database.URL
	if dsn == "" {
		driver, dsn = "sqlite", filepath.Join(l.Config.DataDir, "foyer.db")
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestADatabaseThatLivedIsClean(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		l := live(t, s)
		o := l.options()
		for _, full := range []bool{false, true} {
			o.Full = full
			beside, counts := findings(t, o)
			if len(beside) > 0 {
				t.Errorf("beside the running server: %v", beside)
			}
			if counts.Rooms != 2 || counts.Files != 1 || counts.Events < 50 || counts.Hashed != counts.Events || counts.States < 30 || counts.Position == 0 {
				t.Errorf("looked at %+v", counts)
			}
		}
		s.Stop()
		before := l.files(t)
		if found, _ := findings(t, o); len(found) > 0 {
			t.Errorf("after the server stopped: %v", found)
		}
		if after := l.files(t); !maps.Equal(before, after) {
			t.Error("the check wrote to the database")
		}
	})
}

// files are the database's files with their hashes, without the index of the
// write-ahead log, which is no data.
func (l *lived) files(t *testing.T) map[string][32]byte {
	t.Helper()
	hashes := map[string][32]byte{}
	for _, name := range []string{"foyer.db", "foyer.db-wal"} {
		content, err := os.ReadFile(filepath.Join(l.Config.DataDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		hashes[name] = sha256.Sum256(content)
	}
	return hashes
}

// damages are what is done to a table, and the finding that it must give.
var damages = []struct {
	what, table, damage, where string
}{
	{"positions are missing in the change log", "changes", `DELETE FROM changes WHERE stream_pos = 5`, "after_position=4"},
	{"a position is beyond the head of the stream", "receipts", `UPDATE receipts SET stream_pos = 99999`, "receipts"},
	{"two events are at one position", "events", `UPDATE events SET stream_pos = (SELECT MAX(stream_pos) FROM events) WHERE depth = 3`, "events=3"},
	{"an event is not in the change log", "changes", `UPDATE changes SET kind = 8 WHERE kind = 1 AND stream_pos = (SELECT MAX(stream_pos) FROM events)`, "event_id=$"},
	{"the change log tells of an event that is missing", "changes", `UPDATE changes SET ref = 99999 WHERE kind = 1 AND stream_pos = (SELECT MAX(stream_pos) FROM events)`, "event_nid=99999"},
	{"a row is at a position where the change log has something else", "account_data", `UPDATE account_data SET stream_pos = 1`, "account_data"},
	{"the stream has more than one head, or none", "stream_head", `DELETE FROM stream_head`, "heads=0"},
	{"one message to a device is there twice", "to_device", `INSERT INTO to_device SELECT '@alice:test.example', device_id, stream_pos, content FROM to_device`, "messages=2"},
	{"something belongs to a device that does not exist", "to_device", `UPDATE to_device SET user_id = '@nobody:test.example'`, "to_device"},
	{"something belongs to a device that does not exist", "access_tokens", `UPDATE access_tokens SET user_id = '@nobody:test.example' WHERE user_id = '@bob:test.example'`, "access_tokens"},
	{"something belongs to an account that does not exist", "users", `DELETE FROM users WHERE user_id = '@bob:test.example'`, "user_id=@bob:test.example"},
	{"an event is of no room", "rooms", `DELETE FROM rooms WHERE version = '12' AND room_nid = (SELECT MIN(room_nid) FROM rooms)`, "room_nid="},
	{"the state before an event is missing", "events", `UPDATE events SET state_nid = 99999 WHERE depth = 5`, "state_nid=99999"},
	{"the state that an event sets is not named", "state_keys", `DELETE FROM state_keys WHERE skid = (SELECT MAX(skid) FROM events)`, "skid="},
	{"what an event replaced is missing", "events", `UPDATE events SET replaces_nid = 99999 WHERE depth = 5`, "replaces_nid=99999"},
	{"the redaction of an event is missing", "events", `UPDATE events SET redacted_by = 99999 WHERE redacted_by <> 0`, "redacted_by=99999"},
	{"an event cannot be read", "events", `UPDATE events SET json = $1 WHERE depth = 5`, "event_id=$"},
	{"an event's columns differ from its JSON", "events", `UPDATE events SET sender = '@mallory:test.example' WHERE depth = 5`, "event_id=$"},
	{"an event's columns differ from its JSON", "state_keys", `UPDATE state_keys SET state_key = $1 WHERE skid = (SELECT MAX(skid) FROM events)`, "event_id=$"},
	{"an event refers to one that is missing in its room", "events", `DELETE FROM events WHERE depth = 6`, "needs=$"},
	{"an event's id is not that of its content", "events", `UPDATE events SET event_id = event_id || 'x' WHERE depth = 6`, "x room="},
	{"an event's content hash is wrong", "events", `UPDATE events SET redacted_by = 0 WHERE redacted_by <> 0`, "event_id=$"},
	{"a state's parent is missing or not above it", "state", `UPDATE state SET parent_nid = 99999 WHERE parent_nid <> 0 AND state_nid = (SELECT MAX(state_nid) FROM state WHERE parent_nid <> 0)`, "parent_nid=99999"},
	{"a state has no parent and is not complete", "state", `UPDATE state SET level = 4 WHERE parent_nid = 0 AND state_nid = (SELECT MIN(state_nid) FROM state)`, "level=4"},
	{"a state cannot be read", "state", `UPDATE state SET added = $1 WHERE state_nid = (SELECT MIN(state_nid) FROM state)`, "state_nid="},
	{"the state of a room cannot be read", "rooms", `UPDATE rooms SET state_nid = 99999`, "room=!"},
	{"a state has another size than it says", "state", `UPDATE state SET n = n + 1`, "counted="},
	{"a head of a room is missing", "events", `DELETE FROM events WHERE event_nid = (SELECT MAX(head_nid) FROM rooms)`, "event_id=$"},
	{"the heads of a room cannot be read", "rooms", `UPDATE rooms SET heads = $1`, "room=!"},
	{"a room's current state is not the state at its heads", "current_state", `DELETE FROM current_state WHERE skid = (SELECT MAX(skid) FROM current_state)`, "current=0"},
	{"a room's current state is not the state at its heads", "current_state", `INSERT INTO current_state SELECT room_nid, 999990, event_nid FROM current_state WHERE skid = (SELECT MAX(skid) FROM current_state)`, "at_heads=0"},
	{"the current state names an event that is not of its room and key", "current_state", `UPDATE current_state SET event_nid = (SELECT MIN(event_nid) FROM events)`, "room=!"},
	{"the last change of a room's state is not its current state", "state_deltas", `UPDATE state_deltas SET new_nid = 99999 WHERE stream_pos = (SELECT MAX(stream_pos) FROM state_deltas)`, "position="},
	{"a member of a room has no membership", "memberships", `DELETE FROM memberships WHERE user_id = '@bob:test.example'`, "user_id=@bob:test.example"},
	{"a membership is not in the room's state", "memberships", `UPDATE memberships SET event_nid = 99999 WHERE user_id = '@bob:test.example'`, "user_id=@bob:test.example"},
	{"a membership is not what its event says", "memberships", `UPDATE memberships SET membership = 'ban' WHERE user_id = '@bob:test.example'`, "membership=ban"},
	{"the number of a room's members is wrong", "rooms", `UPDATE rooms SET joined = joined + 1`, "counted="},
	{"a relation is not that of its event", "relations", `UPDATE relations SET sender = '@mallory:test.example'`, "event_id=$"},
	{"a thread has another number of events than it says", "threads", `UPDATE threads SET n = 7`, "counted=2"},
	{"the last event of a thread is another one", "threads", `UPDATE threads SET last_pos = last_pos - 1`, "root_id=$"},
	{"an event in a thread is not counted", "threads", `DELETE FROM threads`, "relates_to=$"},
	{"a one-time key is there twice", "one_time_keys", `UPDATE one_time_keys SET place = 0`, "place=0"},
	{"a key backup has another number of keys than it says", "key_backups", `UPDATE key_backups SET key_count = 7`, "key_count=7"},
	{"a key is in no key backup", "backup_keys", `UPDATE backup_keys SET version = 99`, "version=99"},
	{"an uploaded file is missing", "media", `UPDATE media SET sha256 = $1`, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"},
	{"an uploaded file has another size than was recorded", "media", `UPDATE media SET size = size + 1`, "recorded=13"},
	{"an upload has no hash", "media", `UPDATE media SET sha256 = $1 `, "sha256=8080"},
}

func TestEveryDamageIsFound(t *testing.T) {
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		l := live(t, s)
		s.Stop()
		db := l.database(t)
		execute := func(t *testing.T, statement string, args ...any) int64 {
			t.Helper()
			res, err := db.ExecContext(t.Context(), statement, args...)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, d := range damages {
			t.Run(d.what+" in "+d.table, func(t *testing.T) {
				execute(t, `CREATE TABLE saved AS SELECT * FROM `+d.table)
				var args []any
				if strings.Contains(d.damage, "$1") {
					args = append(args, rubbish(d.damage))
				}
				if execute(t, d.damage, args...) == 0 {
					t.Fatal("the damage changed nothing")
				}
				found, counts := findings(t, l.options())
				if !slices.ContainsFunc(found, func(f check.Finding) bool { return f.What == d.what && strings.Contains(f.Where, d.where) }) {
					t.Errorf("found %v", found)
				}
				if counts.Errors == 0 {
					t.Error("no errors were counted")
				}
				execute(t, `DELETE FROM `+d.table)
				execute(t, `INSERT INTO `+d.table+` SELECT * FROM saved`)
				execute(t, `DROP TABLE saved`)
			})
		}
		if found, _ := findings(t, l.options()); len(found) > 0 {
			t.Errorf("after everything was put back: %v", found)
		}
	})
}

// rubbish is bytes that nothing can be read from, or a hash of nothing.
func rubbish(damage string) []byte {
	if strings.HasSuffix(damage, "sha256 = $1") {
		hash, _ := hex.DecodeString("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20")
		return hash
	}
	return []byte{0x80, 0x80}
}

func TestFilesOfTheMediaDirectory(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	l := live(t, s)
	s.Stop()
	o := l.options()
	stray := filepath.Join(filepath.Dir(l.media), strings.Repeat("ab", 32))
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _ := findings(t, o); len(found) > 0 {
		t.Errorf("an upload that is being made is a finding: %v", found)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(stray, old, old); err != nil {
		t.Fatal(err)
	}
	found, counts := findings(t, o)
	if len(found) != 1 || !found[0].Harmless || found[0].Where != stray || counts.Errors != 0 || counts.Notes != 1 {
		t.Errorf("a file of no upload: %v, %+v", found, counts)
	}
	if err := os.WriteFile(l.media, []byte("SOME content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, counts := findings(t, o); counts.Errors != 0 {
		t.Error("the content of files was read without Full")
	}
	o.Full = true
	found, _ = findings(t, o)
	if len(found) != 2 || found[0].What != "an uploaded file has other content than was uploaded" {
		t.Errorf("a changed file: %v", found)
	}
}

func TestADamagedFileIsFound(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	l := live(t, s)
	s.Stop()
	path := filepath.Join(l.Config.DataDir, "foyer.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// One byte of an index entry: only a look at the file itself shows it.
	for _, place := range regexp.MustCompile(`\$[A-Za-z0-9_-]{43}`).FindAllIndex(content, -1) {
		damaged := bytes.Clone(content)
		damaged[place[0]+1] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		found, _ := findings(t, l.options())
		if slices.ContainsFunc(found, func(f check.Finding) bool { return f.What == "the database file is damaged" }) {
			return
		}
	}
	t.Error("no change of an id in the file was found by the database's own check")
}

// TestEveryTableIsCovered fails when a table is added that has positions or
// owners and is in none of the lists.
func TestEveryTableIsCovered(t *testing.T) {
	schema, err := os.ReadFile("../schema/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("stream.go")
	if err != nil {
		t.Fatal(err)
	}
	owners, err := os.ReadFile("devices.go")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)?[^;]*;`)
	for _, m := range table.FindAllStringSubmatch(string(schema), -1) {
		name, columns := m[1], m[2]
		if strings.Contains(columns, "\tstream_pos ") && !strings.Contains(string(code), `{"`+name+`"`) {
			t.Errorf("positions of %s are not checked", name)
		}
		if strings.Contains(columns, "\tdevice_id ") && !strings.Contains(string(owners), `"`+name+`"`) && name != "txns" {
			t.Errorf("devices of %s are not checked", name)
		}
	}
}
