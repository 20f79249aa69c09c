// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

var update = flag.Bool("update", false, "write ../schema/schema.sql anew")

// column is a column as both databases describe it.
type column struct {
	Table, Name, Type string
	NotNull           bool
	Key               int // place in the primary key, from 1; 0: not in it
}

func sortColumns(all []column) []column {
	slices.SortFunc(all, func(a, b column) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func queryColumns(t *testing.T, db *sql.DB, query string) []column {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.Table, &c.Name, &c.Type, &c.NotNull, &c.Key); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return sortColumns(all)
}

const (
	sqliteColumns = `SELECT m.name, c.name, CASE c.type WHEN 'INTEGER' THEN 'BIGINT' WHEN 'BLOB' THEN 'BYTEA' ELSE c.type END, c."notnull", c.pk
	FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'`
	postgresColumns = `SELECT c.table_name, c.column_name, UPPER(c.data_type), c.is_nullable = 'NO', COALESCE(k.ordinal_position, 0)
	FROM information_schema.columns c
	LEFT JOIN information_schema.table_constraints p ON p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY' AND p.table_schema = c.table_schema
	LEFT JOIN information_schema.key_column_usage k ON k.constraint_name = p.constraint_name AND k.column_name = c.column_name AND k.table_schema = c.table_schema
	WHERE c.table_schema = 'public'`
)

// migrated returns an SQLite and a Postgres database with the whole schema.
func migrated(t *testing.T) (sqlite, postgres *sql.DB) {
	t.Helper()
	dir, url := t.TempDir(), PostgresURL(t)
	for _, o := range []store.Options{{Dir: dir, ServerName: ServerName}, {PostgresURL: url, ServerName: ServerName}} {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open := func(driver, dsn string) *sql.DB {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	return open("sqlite", filepath.Join(dir, "foyer.db")), open("pgx", url)
}

func TestBothDatabasesHaveTheSameTables(t *testing.T) {
	sqlite, postgres := migrated(t)
	a, b := queryColumns(t, sqlite, sqliteColumns), queryColumns(t, postgres, postgresColumns)
	if diff := gocmp.Diff(a, b); diff != "" {
		t.Errorf("SQLite (-) and Postgres (+) differ:\n%s", diff)
	}
	for _, c := range a {
		if c.Type != "TEXT" && c.Type != "BIGINT" && c.Type != "BYTEA" {
			t.Errorf("%s.%s has type %s; only TEXT, BIGINT and BYTEA are the same on both databases", c.Table, c.Name, c.Type)
		}
	}
}

func TestEveryTableHasAMigrationRule(t *testing.T) {
	sqlite, _ := migrated(t)
	rules := map[string]bool{}
	for _, table := range store.Tables() {
		if rules[table.Name] {
			t.Errorf("table %s has two rules", table.Name)
		}
		rules[table.Name] = true
	}
	schema := map[string]bool{}
	for _, c := range queryColumns(t, sqlite, sqliteColumns) {
		schema[c.Table] = true
	}
	for name := range schema {
		if !rules[name] {
			t.Errorf("table %s has no rule in store.Tables", name)
		}
	}
	for name := range rules {
		if !schema[name] {
			t.Errorf("store.Tables names %s, which the schema does not have", name)
		}
	}
}

// TestADeactivationDealsWithEveryTableOfUsers fails when a table is added and
// nobody thought of what becomes of it when its user is gone.
func TestADeactivationDealsWithEveryTableOfUsers(t *testing.T) {
	sqlite, _ := migrated(t)
	for _, c := range queryColumns(t, sqlite, sqliteColumns) {
		if c.Name == "user_id" && !store.OfUsers(c.Table) {
			t.Errorf("table %s has users and is not in store/deactivate.go", c.Table)
		}
	}
}

// TestSchemaFileIsTheMigratedSchema keeps one file in which the whole schema
// can be read, whatever the steps that lead to it.
func TestSchemaFileIsTheMigratedSchema(t *testing.T) {
	sqlite, _ := migrated(t)
	got := dump(t.Context(), t, sqlite)
	const path = "../schema/schema.sql"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("schema.sql (-) is not the migrated schema (+); run this test with -update:\n%s", diff)
	}
}

func dump(ctx context.Context, t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.QueryContext(ctx, `SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var b strings.Builder
	b.WriteString("-- Generated: the schema that the numbered steps lead to, as SQLite has it.\n")
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n%s;\n", text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
