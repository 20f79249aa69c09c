// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed schema/[0-9]*.sql
var schemaFiles embed.FS

// schemaSteps returns the numbered schema files in order.
func schemaSteps() ([]string, error) {
	entries, err := schemaFiles.ReadDir("schema")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// splitSQL returns the statements of a schema file, without comments.
func splitSQL(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			lines = append(lines, line)
		}
	}
	var statements []string
	for st := range strings.SplitSeq(strings.Join(lines, ""), ";\n") {
		if st = strings.TrimSpace(st); st != "" {
			statements = append(statements, st)
		}
	}
	return statements
}

// schemaLock serialises replicas that start together (Postgres).
const schemaLock = 0x666f796572 // "foyer"

// migrate brings the schema up to this program's, one transaction for all
// steps, so that a kill leaves either the old schema or the new one.
func (d *dialect) migrate(ctx context.Context, db *sql.DB) error {
	steps, err := schemaSteps()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return d.dbError("connect", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, d.begin); err != nil {
		return d.dbError("begin", err)
	}
	if err := d.migrateSteps(ctx, conn, steps); err != nil {
		if _, rollback := conn.ExecContext(ctx, "ROLLBACK"); rollback != nil {
			return fmt.Errorf("%w (and roll back: %w)", err, rollback)
		}
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return d.dbError("commit schema", err)
}

func (d *dialect) migrateSteps(ctx context.Context, conn *sql.Conn, steps []string) error {
	if d == postgresDialect {
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
			return d.dbError("lock schema", err)
		}
	}
	create := `CREATE TABLE IF NOT EXISTS schema_version (one BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)`
	if _, err := conn.ExecContext(ctx, d.rewrite(create)+d.createSuffix); err != nil {
		return d.dbError("create schema_version", err)
	}
	var version int
	row := conn.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`)
	if err := row.Scan(&version); err != nil {
		return d.dbError("read schema version", err)
	}
	if version > len(steps) {
		return fmt.Errorf("%w: it has version %d, this program knows %d", ErrSchemaTooNew, version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	for _, name := range steps[version:] {
		if err := d.runStep(ctx, conn, name); err != nil {
			return fmt.Errorf("schema step %s: %w", name, err)
		}
	}
	set := `INSERT INTO schema_version (one, version) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET version = $1`
	_, err := conn.ExecContext(ctx, d.rewrite(set), len(steps))
	return d.dbError("write schema version", err)
}

func (d *dialect) runStep(ctx context.Context, conn *sql.Conn, name string) error {
	text, err := schemaFiles.ReadFile("schema/" + name)
	if err != nil {
		return err
	}
	for _, statement := range splitSQL(string(text)) {
		sqlText := d.rewrite(statement)
		if strings.HasPrefix(statement, "CREATE TABLE") {
			sqlText += d.createSuffix
		}
		if _, err := conn.ExecContext(ctx, sqlText); err != nil {
			return d.dbError("execute", err)
		}
	}
	return nil
}
