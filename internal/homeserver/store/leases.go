// SPDX-License-Identifier: Apache-2.0

package store

import "context"

const (
	insertLease = `INSERT INTO leases (name, owner, until_ts, fence) VALUES ($1, $2, $3, 1) ON CONFLICT (name) DO UPDATE
	SET owner = excluded.owner, until_ts = excluded.until_ts,
	fence = CASE WHEN leases.owner = excluded.owner THEN leases.fence ELSE leases.fence + 1 END
	WHERE leases.owner = excluded.owner OR leases.until_ts <= $4`
	selectLease = `SELECT owner, until_ts, fence FROM leases WHERE name = $1`
)

// Lease says which replica does a piece of work until when.
type Lease struct {
	Name, Owner string
	Until       int64 // unix milliseconds
	// Fence grows whenever the owner changes.
	Fence int64
}

// TakeLease gives a piece of work to l.Owner until l.Until, unless it is
// another's at the time now. It returns who has it.
func (s *Store) TakeLease(ctx context.Context, l Lease, now int64) (Lease, error) {
	var has Lease
	err := s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, insertLease, l.Name, l.Owner, l.Until, now); err != nil {
			return err
		}
		var err error
		has, err = queryOne(ctx, tx, func(row scanner) (Lease, error) {
			has := Lease{Name: l.Name}
			return has, row.Scan(&has.Owner, &has.Until, &has.Fence)
		}, selectLease, l.Name)
		return err
	})
	return has, err
}

// Shared reports whether other replicas may use the same database.
func (s *Store) Shared() bool { return s.notify != nil }
