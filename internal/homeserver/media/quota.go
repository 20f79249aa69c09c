// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"io"
	"math"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// quota is how many bytes a user may upload in all.
func (s *Service) quota() int64 {
	if s.MaxUserBytes <= 0 {
		return math.MaxInt64
	}
	return s.MaxUserBytes
}

// errQuota is what the specification has for a user who reached the quota.
func errQuota() error { return matrixerr.Forbidden("you have uploaded as much as you may") }

// overQuota says what store.ErrTooMany means to a user who uploads.
func overQuota(err error) error {
	if errors.Is(err, store.ErrTooMany) {
		return errQuota()
	}
	return err
}

// underway counts the bytes of uploads that go on, so that many at a time
// cannot fill the disk before any of them is recorded.
type underway struct {
	mu     sync.Mutex
	byUser map[event.UserID]int64
}

func newUnderway() *underway { return &underway{byUser: map[event.UserID]int64{}} }

// add changes what is under way of a user and returns it.
func (u *underway) add(user event.UserID, bytes int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.byUser[user] + bytes
	if now == 0 {
		delete(u.byUser, user)
		return 0
	}
	u.byUser[user] = now
	return now
}

// meter is the content of an upload, which ends with an error where the quota does.
type meter struct {
	from     io.Reader
	underway *underway
	user     event.UserID
	// left is what the user may upload, all that is under way together.
	left int64
	// counted is how much of this upload is counted, read how much there was.
	counted, read int64
}

// count makes sure that at least so many bytes of this upload are counted.
func (m *meter) count(bytes int64) error {
	more := bytes - m.counted
	if more <= 0 {
		return nil
	}
	m.counted = bytes
	if m.underway.add(m.user, more) > m.left {
		return errQuota()
	}
	return nil
}

// close ends the counting.
func (m *meter) close() { m.underway.add(m.user, -m.counted) }

// Read implements io.Reader.
func (m *meter) Read(b []byte) (int, error) {
	n, err := m.from.Read(b)
	m.read += int64(n)
	if over := m.count(m.read); over != nil {
		return n, over
	}
	return n, err
}
