// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// What an initial sync asks of many rooms, in one question for all of them.

// maxUnion is how many selects go into one UNION.
const maxUnion = 128

const (
	selectRoomsByNID = `SELECT ` + roomColumns + ` FROM rooms WHERE room_nid IN `
	// The chain is found by its numbers first, so that what many states share is read once.
	selectChains = `WITH RECURSIVE chain (state_nid) AS (SELECT state_nid FROM state WHERE state_nid IN %s
	UNION SELECT s.parent_nid FROM state s JOIN chain c ON s.state_nid = c.state_nid WHERE s.parent_nid <> 0)
	SELECT s.state_nid, s.room_nid, s.parent_nid, s.level, s.n, s.added, s.removed FROM chain c JOIN state s ON s.state_nid = c.state_nid`
	selectManyReceipts = `SELECT room_nid, user_id, type, thread, event_id, event_pos, ts, stream_pos FROM receipts
	WHERE stream_pos <= $1 AND room_nid IN `
	selectLastEvents = `SELECT * FROM (SELECT room_nid, event_nid, stream_pos FROM events
	WHERE room_nid = $%d AND stream_pos <= $1 AND stream_pos <> 0 ORDER BY stream_pos DESC LIMIT $2) AS last%[1]d`
	selectManyHeroes = `SELECT * FROM (SELECT room_nid, user_id, membership, event_nid, stream_pos FROM memberships
	WHERE room_nid = $%d AND membership IN ($1, $2) AND user_id <> $3 ORDER BY stream_pos, user_id LIMIT $4) AS first%[1]d`
	selectPointedAt = `SELECT DISTINCT relates_to FROM relations WHERE (room_nid, relates_to) IN `
)

// RoomsByNID returns those of the rooms that exist, in no particular order.
func (s *Store) RoomsByNID(ctx context.Context, nids []int64) ([]Room, error) {
	return inChunks(ctx, s, scanRoom, nids, func(n int) string { return selectRoomsByNID + list(1, n) })
}

// StateChains returns states and their parents, each once, in no particular order.
func (s *Store) StateChains(ctx context.Context, nids []int64) ([]StateRow, error) {
	return inChunks(ctx, s, scanStateRow, nids, func(n int) string { return fmt.Sprintf(selectChains, list(1, n)) })
}

func inChunks[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), nids []int64, query func(n int) string) ([]T, error) {
	var all []T
	for chunk := range slices.Chunk(nids, maxList) {
		found, err := queryAll(ctx, s, scan, query(len(chunk)), listArgs(nil, chunk)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// ReceiptsOf returns the receipts of many rooms up to a position, by room and
// in the order of the stream, private ones of everybody included.
func (s *Store) ReceiptsOf(ctx context.Context, rooms []int64, upTo int64) (map[int64][]Receipt, error) {
	byRoom := map[int64][]Receipt{}
	for chunk := range slices.Chunk(rooms, maxList) {
		query := selectManyReceipts + list(2, len(chunk)) + ` ORDER BY stream_pos`
		found, err := queryAll(ctx, s, scanReceipt, query, listArgs([]any{upTo}, chunk)...)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			byRoom[r.RoomNID] = append(byRoom[r.RoomNID], r)
		}
	}
	return byRoom, nil
}

// union returns a select for each of n rooms, whose placeholders begin at
// $first, and their arguments behind args.
func union(each string, first int, args []any, rooms []int64) (query string, all []any) {
	selects := make([]string, padded(len(rooms)))
	for i := range selects {
		selects[i] = fmt.Sprintf(each, first+i)
		if i < len(rooms) {
			args = append(args, rooms[i])
		} else {
			args = append(args, 0) // no room: few distinct texts are prepared
		}
	}
	return strings.Join(selects, " UNION ALL "), args
}

// LastEvents returns the newest events of each room up to a position, at most
// limit, the newest first.
func (s *Store) LastEvents(ctx context.Context, rooms []int64, upTo int64, limit int) (map[int64][]int64, error) {
	type place struct{ room, nid, pos int64 }
	scan := func(row scanner) (place, error) {
		var p place
		return p, row.Scan(&p.room, &p.nid, &p.pos)
	}
	byRoom := make(map[int64][]int64, len(rooms))
	for chunk := range slices.Chunk(rooms, maxUnion) {
		query, args := union(selectLastEvents, 3, []any{upTo, limit}, chunk)
		found, err := queryAll(ctx, s, scan, query, args...)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b place) int { return int(b.pos - a.pos) })
		for _, p := range found {
			byRoom[p.room] = append(byRoom[p.room], p.nid)
		}
	}
	return byRoom, nil
}

// HeroesOf is Heroes for many rooms, by room.
func (s *Store) HeroesOf(ctx context.Context, rooms []int64, memberships [2]string, without string, limit int) (map[int64][]Hero, error) {
	byRoom := make(map[int64][]Hero, len(rooms))
	scan := func(row scanner) (Hero, error) {
		var room int64
		var h Hero
		err := row.Scan(&room, &h.UserID, &h.Membership, &h.EventNID, &h.StreamPos)
		byRoom[room] = append(byRoom[room], h)
		return h, err
	}
	for chunk := range slices.Chunk(rooms, maxUnion) {
		query, args := union(selectManyHeroes, 5, []any{memberships[0], memberships[1], without, limit}, chunk)
		if _, err := queryAll(ctx, s, scan, query, args...); err != nil {
			return nil, err
		}
	}
	for _, heroes := range byRoom {
		slices.SortFunc(heroes, func(a, b Hero) int {
			if a.StreamPos != b.StreamPos {
				return int(a.StreamPos - b.StreamPos)
			}
			return strings.Compare(a.UserID, b.UserID)
		})
	}
	return byRoom, nil
}

// EventRef is an event and its room.
type EventRef struct {
	RoomNID int64
	ID      string
}

// PointedAt returns those of the events that others of their room point at.
func (s *Store) PointedAt(ctx context.Context, events []EventRef) (map[string]bool, error) {
	pointed := map[string]bool{}
	for chunk := range slices.Chunk(events, maxList) {
		var b strings.Builder
		args := make([]any, 0, 2*padded(len(chunk)))
		for i := range padded(len(chunk)) {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "(CAST($%d AS BIGINT),CAST($%d AS TEXT))", 2*i+1, 2*i+2)
			ref := chunk[min(i, len(chunk)-1)]
			args = append(args, ref.RoomNID, ref.ID)
		}
		found, err := queryAll(ctx, s, scanString, selectPointedAt+"(VALUES "+b.String()+")", args...)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			pointed[id] = true
		}
	}
	return pointed, nil
}
