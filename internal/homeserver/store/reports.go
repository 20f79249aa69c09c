// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"math"
)

// ReportKind says what was reported.
type ReportKind string

// The kinds of reports. Values are stored: never rename.
const (
	ReportedRoom  ReportKind = "room"
	ReportedEvent ReportKind = "event"
	ReportedUser  ReportKind = "user"
)

// Report is what a user told the administrators about a room, an event or a user.
type Report struct {
	ID       int64
	Reporter string
	Kind     ReportKind
	// RoomID, EventID and UserID are empty where they do not apply. For an
	// event UserID is its sender.
	RoomID, EventID, UserID string
	Reason                  string
	// CreatedTS is in milliseconds since 1970.
	CreatedTS int64
}

const (
	reportColumns = `report_id, reporter, kind, room_id, event_id, user_id, reason, created_ts`
	// Who reports the same again corrects what they said.
	insertReport = `INSERT INTO reports (` + reportColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (reporter, kind, room_id, event_id, user_id) DO UPDATE SET reason = excluded.reason, created_ts = excluded.created_ts`
	countReports  = `SELECT COUNT(*) FROM reports WHERE reporter = $1`
	selectReports = `SELECT ` + reportColumns + ` FROM reports WHERE report_id < $1 ORDER BY report_id DESC LIMIT $2`
	deleteReport  = `DELETE FROM reports WHERE report_id = $1`
)

// AddReport keeps a report. Its ID is chosen here. Reporting the same thing
// again replaces the reason.
func (s *Store) AddReport(ctx context.Context, r Report) error {
	id, err := s.NewIDs(ctx, "report", 1)
	if err != nil {
		return err
	}
	return s.Do(ctx, func(_ context.Context, tx *Tx) error {
		tx.Later(insertReport, id, r.Reporter, string(r.Kind), r.RoomID, r.EventID, r.UserID, []byte(r.Reason), r.CreatedTS)
		return nil
	})
}

// CountReports returns how many reports by reporter are kept.
func (s *Store) CountReports(ctx context.Context, reporter string) (int64, error) {
	return queryOne(ctx, s, scanInt64, countReports, reporter)
}

// Reports returns up to limit reports for the administrators, the newest
// first, that were made before the report before; 0 for the newest of all.
func (s *Store) Reports(ctx context.Context, before int64, limit int) ([]Report, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	return queryAll(ctx, s, func(row scanner) (Report, error) {
		var r Report
		var reason []byte
		err := row.Scan(&r.ID, &r.Reporter, &r.Kind, &r.RoomID, &r.EventID, &r.UserID, &reason, &r.CreatedTS)
		r.Reason = string(reason)
		return r, err
	}, selectReports, before, limit)
}

// DeleteReport deletes a report that was dealt with; ErrNotFound if there is none.
func (s *Store) DeleteReport(ctx context.Context, id int64) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, deleteReport, id)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}
