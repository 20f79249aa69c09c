// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// The bits of rooms.flags. Values are stored: never renumber.
const (
	// RoomJoinable: the join rule is public.
	RoomJoinable = 1
	// RoomReadable: the history is world-readable.
	RoomReadable = 2
)

const setRoomFlag = `UPDATE rooms SET flags = (flags & $1) | $2 WHERE room_nid = $3`

// SetRoomFlag sets or clears a bit of the room's flags.
func (tx *Tx) SetRoomFlag(roomNID, bit int64, set bool) {
	value := int64(0)
	if set {
		value = bit
	}
	tx.Later(setRoomFlag, ^bit, value, roomNID)
}

// UserSearch asks the user directory.
type UserSearch struct {
	// Searcher is who asks.
	Searcher string
	// Term is what the user typed.
	Term string
	// Limit is how many users are wanted.
	Limit int
}

// DirectoryUser is a user as the directory shows them; what is not set is empty.
type DirectoryUser struct {
	UserID, DisplayName, AvatarURL string
}

// searchUsers walks along the index of words, so that it reads those who match
// and stops at its limit. A user with several words that match counts with the first.
const searchUsers = `SELECT w.user_id FROM user_words w JOIN users u ON u.user_id = w.user_id
	WHERE w.word >= $1 AND w.word < $2 AND (u.flags & 2) = 0
	AND NOT EXISTS (SELECT 1 FROM user_words f WHERE f.user_id = w.user_id AND f.word >= $1 AND f.word < w.word)
	AND (EXISTS (SELECT 1 FROM memberships m JOIN memberships s ON s.user_id = $3 AND s.room_nid = m.room_nid
			WHERE m.user_id = w.user_id AND m.user_id <> $3 AND m.membership = 'join' AND s.membership = 'join')
		OR EXISTS (SELECT 1 FROM memberships m JOIN rooms r ON r.room_nid = m.room_nid
			WHERE m.user_id = w.user_id AND m.membership = 'join' AND (r.flags & 3) <> 0))`

const selectNames = `SELECT user_id, field, value FROM profiles WHERE user_id IN `

// SearchUsers returns the accounts that have a word for each word of the term
// that begins with it, and whether there are more of them than the limit. They
// share a room with the searcher or are in a room that everybody may join or
// read. Shorter words come first, so that whole ones do.
func (s *Store) SearchUsers(ctx context.Context, q UserSearch) (found []DirectoryUser, limited bool, err error) {
	terms := searchTerms(q.Term, s.serverName)
	if len(terms) == 0 {
		return nil, false, nil
	}
	// The longest term is likely to be the rarest.
	slices.SortFunc(terms, func(a, b string) int { return len(b) - len(a) })
	query, args := strings.Builder{}, []any{}
	query.WriteString(searchUsers)
	for i, t := range terms {
		// No word has the byte 0xff: words are UTF-8.
		args = append(args, []byte(t), []byte(t+"\xff"))
		if i == 0 {
			args = append(args, q.Searcher)
			continue
		}
		query.WriteString(` AND EXISTS (SELECT 1 FROM user_words o WHERE o.user_id = w.user_id AND o.word >= $` +
			strconv.Itoa(len(args)-1) + ` AND o.word < $` + strconv.Itoa(len(args)) + `)`)
	}
	args = append(args, q.Limit+1)
	query.WriteString(` ORDER BY w.word, w.user_id LIMIT $` + strconv.Itoa(len(args)))
	users, err := queryAll(ctx, s, scanString, query.String(), args...)
	if err != nil {
		return nil, false, err
	}
	if limited = len(users) > q.Limit; limited {
		users = users[:q.Limit]
	}
	found, err = s.directoryUsers(ctx, users)
	return found, limited, err
}

// directoryUsers adds what users are called.
func (s *Store) directoryUsers(ctx context.Context, users []string) ([]DirectoryUser, error) {
	all := make([]DirectoryUser, len(users))
	places := make(map[string]*DirectoryUser, len(users))
	for i, user := range users {
		all[i].UserID = user
		places[user] = &all[i]
	}
	scan := func(row scanner) (string, error) {
		var user string
		var field, value []byte
		err := row.Scan(&user, &field, &value)
		switch string(field) {
		case fieldDisplayName:
			places[user].DisplayName = profileText(value)
		case fieldAvatarURL:
			places[user].AvatarURL = profileText(value)
		}
		return user, err
	}
	for chunk := range slices.Chunk(users, maxList) {
		n := 1 + padded(len(chunk))
		query := selectNames + list(1, len(chunk)) + ` AND field IN ` + list(n, 2)
		args := append(listArgs(nil, chunk), []byte(fieldDisplayName), []byte(fieldAvatarURL))
		if _, err := queryAll(ctx, s, scan, query, args...); err != nil {
			return nil, err
		}
	}
	return all, nil
}
