// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// found returns whom a stranger finds.
func found(t *testing.T, s *store.Store, term string) []string {
	t.Helper()
	users, _, err := s.SearchUsers(t.Context(), store.UserSearch{Searcher: "@stranger:test.example", Term: term, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range users {
		ids = append(ids, u.UserID)
	}
	return ids
}

// openRoom makes a room that everybody may join, with a member.
func openRoom(ctx context.Context, tx *store.Tx, nid int64, members ...string) error {
	err := tx.InsertRoom(ctx, store.Room{NID: nid, ID: fmt.Sprintf("!%d:test.example", nid), Version: "12", Heads: []byte{}})
	for _, m := range members {
		pos := tx.Change(store.Change{Kind: store.ChangeEvent, RoomNID: nid, UserID: m})
		tx.SetMembership(&store.Membership{UserID: m, RoomNID: nid, Membership: "join"}, pos)
	}
	tx.SetRoomFlag(nid, store.RoomJoinable, true)
	return err
}

func TestAccountsThatCameWithoutWordsAreIndexed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		storetest.Start(context.Background(), t, s)
		var users []string
		for i := range 120 {
			users = append(users, fmt.Sprintf("@user%03d:test.example", i))
		}
		err := s.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for _, u := range users {
				if _, err := tx.Exec(ctx, `INSERT INTO users (user_id, password, flags, created_ts) VALUES ($1, $2, 0, 0)`, u, []byte{}); err != nil {
					return err
				}
			}
			return openRoom(ctx, tx, 1, users...)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetProfileField(t.Context(), users[7], store.ProfileField{Name: "displayname", Value: []byte(`"Seven"`)}, 1000); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := s.IndexUsers(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := s.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
				tx.SetRoomFlag(1, store.RoomJoinable, true) // its state does not say so
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := found(t, s, "user"); !slices.Equal(got, users) {
				t.Errorf("%d users found, want %d", len(got), len(users))
			}
			if got := found(t, s, "seven"); !slices.Equal(got, users[7:8]) {
				t.Errorf("by name: %v", got)
			}
		}
	})
}

func TestRoomsThatCameWithoutFlagsAreIndexed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		storetest.Start(context.Background(), t, s)
		rooms := []struct{ user, typ, key, content string }{
			{"@x.joinable:test.example", "m.room.join_rules", "", `{"join_rule":"public"}`},
			{"@x.invited:test.example", "m.room.join_rules", "", `{"join_rule":"invite"}`},
			{"@x.readable:test.example", "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`},
			{"@x.shared:test.example", "m.room.history_visibility", "", `{"history_visibility":"shared"}`},
			{"@x.keyed:test.example", "m.room.join_rules", "a", `{"join_rule":"public"}`},
			{"@x.other:test.example", "m.room.topic", "", `{"join_rule":"public"}`},
		}
		for i, r := range rooms {
			nid := int64(i + 1)
			skid, err := s.InternStateKey(t.Context(), store.StateKey{Type: r.typ, Key: r.key})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CreateUser(t.Context(), store.NewUser{User: store.User{ID: r.user}}); err != nil {
				t.Fatal(err)
			}
			err = s.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				pos := tx.Change(store.Change{Kind: store.ChangeEvent, RoomNID: nid, Ref: nid})
				tx.InsertEvent(&store.Event{
					NID: nid, ID: fmt.Sprint("$", nid), RoomNID: nid, Type: r.typ, StateKeyID: skid, JSON: []byte(`{"content":` + r.content + `}`),
				}, pos)
				tx.InsertCurrentState(nid, map[int64]int64{skid: nid})
				return openRoom(ctx, tx, nid, r.user)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.IndexUsers(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := found(t, s, "x"), []string{rooms[0].user, rooms[2].user}; !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	})
}

func TestASearchOfUsersReadsNoWholeTable(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var queries []string
	s, err := store.Open(t.Context(), store.Options{Dir: dir, ServerName: storetest.ServerName, Wrap: storetest.Tap(func(query string) error {
		mu.Lock()
		defer mu.Unlock()
		queries = append(queries, query)
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	found(t, s, "one two three")
	mu.Lock()
	query := queries[len(queries)-1]
	mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "foyer.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	args := make([]any, strings.Count(query, "?"))
	for i := range args {
		args[i] = []byte("x")
	}
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args[:8]...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	steps := 0
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps++
		if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
			t.Errorf("the plan has %q", step)
		}
	}
	if err := rows.Err(); err != nil || steps == 0 {
		t.Errorf("%d steps, %v", steps, err)
	}
}
