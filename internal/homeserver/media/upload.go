// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Upload is a file that a user sends.
type Upload struct {
	User event.UserID
	// Content is read to its end; its errors are passed on.
	Content io.Reader
	// Size is how many bytes the user announces, 0 or less where that is not known.
	Size int64
	// ContentType and FileName are as the user says.
	ContentType, FileName string
}

const (
	maxContentType = 255
	maxFileName    = 1000
)

// Upload stores a file and returns its mxc:// URI, once it is on disk.
//
// Errors for clients: 403 M_FORBIDDEN when the user has uploaded all that one may.
func (s *Service) Upload(ctx context.Context, u Upload) (string, error) {
	m, err := s.receive(ctx, u)
	if err != nil {
		return "", err
	}
	m.ID = newMediaID()
	if err := s.Store.AddMedia(ctx, m, s.quota()); err != nil {
		return "", overQuota(err)
	}
	return s.uri(m.ID), nil
}

// receive stores the content of an upload under its hash and returns what is
// to be recorded of it, all but its id. When nobody records it, the content
// stays behind: the same may have been uploaded meanwhile and be recorded.
func (s *Service) receive(ctx context.Context, u Upload) (store.Media, error) {
	m := store.Media{UserID: string(u.User), ContentType: u.ContentType, FileName: u.FileName}
	if len(u.ContentType) > maxContentType || len(u.FileName) > maxFileName {
		return m, matrixerr.InvalidParam("content type or file name is too long")
	}
	used, err := s.Store.MediaUsage(ctx, m.UserID)
	if err != nil {
		return m, err
	}
	meter := &meter{from: u.Content, underway: s.underway, user: u.User, left: s.quota() - used}
	defer meter.close()
	if err := meter.count(max(u.Size, store.MediaUnit)); err != nil {
		return m, err
	}
	if m.SHA256, m.Size, err = s.keep(meter); err != nil {
		return m, err
	}
	m.CreatedTS = s.Now().UnixMilli()
	return m, nil
}

func (s *Service) uri(id string) string { return "mxc://" + string(s.ServerName) + "/" + id }

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newMediaID returns 24 random letters: an id is also what protects a file
// from those who were not told of it.
func newMediaID() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails: crypto/rand
	for i := range b {
		b[i] = idLetters[int(b[i])%len(idLetters)]
	}
	return string(b)
}

// keep copies content to its place and makes sure that it survives a power cut.
func (s *Service) keep(content io.Reader) (hash []byte, size int64, err error) {
	f, err := os.CreateTemp(s.tmp(), "upload-*")
	if err != nil {
		return nil, 0, full(fmt.Errorf("create upload: %w", err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	size, err = io.Copy(&teeWriter{f, h}, content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, 0, full(err)
	}
	hash = h.Sum(nil)
	return hash, size, full(s.place(f.Name(), hash))
}

// teeWriter writes to the file and the hash; unlike io.MultiWriter it keeps
// errors of the file apart from those of the reader, which stay as they are.
type teeWriter struct {
	file io.Writer
	hash io.Writer
}

func (w *teeWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	_, _ = w.hash.Write(p[:n]) // never fails: hash.Hash
	return n, err
}

// full marks errors of a full disk as the store does.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}

// place moves a complete upload to where its hash says. If the same content
// is there already the two are equal, and either may win.
func (s *Service) place(tmp string, hash []byte) error {
	path := s.path(hash)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create media directory: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("place upload: %w", err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes new names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open media directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync media directory: %w", err)
	}
	return nil
}

// path of the content with this hash: two levels, so that no directory gets huge.
func (s *Service) path(hash []byte) string {
	name := hex.EncodeToString(hash)
	return filepath.Join(s.Dir, name[:2], name)
}
