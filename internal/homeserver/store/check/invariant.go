// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"
)

// invariant is something that holds in every database: its query returns the
// rows that break it, and the names and values of their columns say where.
type invariant struct {
	broken string // what is wrong if there is such a row
	query  string
	do     string
}

// hold checks invariants one after the other.
func (c *checker) hold(ctx context.Context, all []invariant) error {
	for _, inv := range all {
		err := c.Each(ctx, inv.query, nil, func(rows *sql.Rows) error {
			where, err := place(rows)
			if err != nil {
				return err
			}
			return c.found(Finding{What: inv.broken, Where: where, Do: inv.do})
		})
		if err != nil {
			return fmt.Errorf("check whether %s: %w", inv.broken, err)
		}
	}
	return nil
}

// place words a row as name=value pairs.
func place(rows *sql.Rows) (string, error) {
	names, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return "", err
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + "=" + word(values[i])
	}
	return strings.Join(parts, " "), nil
}

// word shows a value; bytes that are no text as such.
func word(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case []byte:
		if utf8.Valid(v) {
			return word(string(v))
		}
		return fmt.Sprintf("%q", v)
	case string:
		if strings.ContainsAny(v, " \n\r\t\x00") || v == "" {
			return fmt.Sprintf("%q", v)
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}
