// SPDX-License-Identifier: Apache-2.0

// Package media keeps uploaded files: their content on disk, named by its
// SHA-256 so that it is stored once and no client ever names a file, and who
// uploaded what in the database.
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
	"time"

	"golang.org/x/sys/unix"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// mediaStore is where uploads are recorded; *store.Store is one.
type mediaStore interface {
	AddMedia(ctx context.Context, m store.Media) error
	Media(ctx context.Context, id string) (store.Media, error)
}

// Options are what a Service needs.
type Options struct {
	Store mediaStore
	// Dir holds the files.
	Dir        string
	ServerName event.ServerName
	// MaxUploadBytes is the largest upload.
	MaxUploadBytes int64
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Service is the media of one server. It is safe for concurrent use.
type Service struct {
	Options
	// decoding holds a place for each image that may be decoded at a time.
	decoding chan struct{}
}

// tmpDir, in Dir, holds uploads that are not complete.
const tmpDir = "tmp"

// New returns a Service, and removes what interrupted uploads left behind.
func New(o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	tmp := filepath.Join(o.Dir, tmpDir)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("remove unfinished uploads: %w", err)
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("create media directory: %w", err)
	}
	return &Service{Options: o, decoding: make(chan struct{}, 1)}, nil
}

// Upload is a file that a user sends.
type Upload struct {
	User event.UserID
	// Content is read to its end; its errors are passed on.
	Content io.Reader
	// ContentType and FileName are as the user says.
	ContentType, FileName string
}

const (
	maxContentType = 255
	maxFileName    = 1000
)

// Upload stores a file and returns its mxc:// URI, once it is on disk.
func (s *Service) Upload(ctx context.Context, u Upload) (string, error) {
	if len(u.ContentType) > maxContentType || len(u.FileName) > maxFileName {
		return "", matrixerr.InvalidParam("content type or file name is too long")
	}
	hash, size, err := s.keep(u.Content)
	if err != nil {
		return "", err
	}
	m := store.Media{
		ID: newMediaID(), UserID: string(u.User), SHA256: hash, Size: size,
		ContentType: u.ContentType, FileName: u.FileName, CreatedTS: s.Now().UnixMilli(),
	}
	if err := s.Store.AddMedia(ctx, m); err != nil {
		return "", err
	}
	return "mxc://" + string(s.ServerName) + "/" + m.ID, nil
}

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
	f, err := os.CreateTemp(filepath.Join(s.Dir, tmpDir), "upload-*")
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

// Open returns an upload and its content, which the caller closes. A file of
// another server, or one that does not exist, is 404 M_NOT_FOUND.
func (s *Service) Open(ctx context.Context, server event.ServerName, id string) (store.Media, *os.File, error) {
	if server != s.ServerName {
		return store.Media{}, nil, matrixerr.NotFound("media of other servers is not available")
	}
	m, err := s.Store.Media(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return m, nil, matrixerr.NotFound("no such media")
	}
	if err != nil {
		return m, nil, err
	}
	f, err := os.Open(s.path(m.SHA256))
	if err != nil {
		return m, nil, fmt.Errorf("open media: %w", err)
	}
	return m, f, nil
}
