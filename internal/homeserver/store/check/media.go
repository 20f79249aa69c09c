// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files are named by their content, so that many uploads may share one.
const (
	selectUploads  = `SELECT DISTINCT sha256, size FROM media ORDER BY sha256`
	selectUploaded = `SELECT 1 FROM media WHERE sha256 = $1 LIMIT 1`
	doMedia        = "copy the file back from a backup of the media directory; until then it cannot be downloaded"
	// uploadTime is how long an upload may be on disk and not in the snapshot.
	uploadTime = time.Hour
)

// media compares the uploads with the files on disk.
func (c *checker) media(ctx context.Context) error {
	if c.MediaDir == "" {
		return nil
	}
	err := c.Each(ctx, selectUploads, nil, func(rows *sql.Rows) error {
		var hash []byte
		var size int64
		if err := rows.Scan(&hash, &size); err != nil {
			return err
		}
		c.counts.Files++
		return c.upload(hash, size)
	})
	if err != nil {
		return err
	}
	err = filepath.WalkDir(c.MediaDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return c.storedFile(ctx, path, d)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever uploaded, or each file was reported as missing
	}
	return err
}

// upload checks the file that an upload's hash names.
func (c *checker) upload(hash []byte, size int64) error {
	name := hex.EncodeToString(hash)
	if len(hash) != sha256.Size {
		return c.found(Finding{What: "an upload has no hash", Where: "sha256=" + name, Do: doRestore})
	}
	path := filepath.Join(c.MediaDir, name[:2], name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c.found(Finding{What: "an uploaded file is missing", Where: path, Do: doMedia})
	}
	if err != nil {
		return fmt.Errorf("look at upload: %w", err)
	}
	if info.Size() != size {
		where := fmt.Sprintf("%s size=%d recorded=%d", path, info.Size(), size)
		return c.found(Finding{What: "an uploaded file has another size than was recorded", Where: where, Do: doMedia})
	}
	if !c.Full {
		return nil
	}
	same, err := hasHash(path, name)
	if err != nil || same {
		return err
	}
	return c.found(Finding{What: "an uploaded file has other content than was uploaded", Where: path, Do: doMedia})
}

func hasHash(path, want string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("read upload: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, fmt.Errorf("read upload: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)) == want, nil
}

// storedFile reports a file that is no upload's: a kill between writing the
// file and recording it leaves one. Files that just came may be newer than
// the snapshot.
func (c *checker) storedFile(ctx context.Context, path string, d fs.DirEntry) error {
	hash, err := hex.DecodeString(d.Name())
	if err != nil || len(hash) != sha256.Size {
		return nil //nolint:nilerr // not a file of ours, or an unfinished upload, which the next start removes
	}
	known := false
	err = c.Each(ctx, selectUploaded, []any{hash}, func(*sql.Rows) error { known = true; return nil })
	if err != nil || known {
		return err
	}
	info, err := d.Info()
	if err != nil || time.Since(info.ModTime()) < uploadTime {
		return nil //nolint:nilerr // it was removed meanwhile
	}
	return c.found(Finding{
		What: "a file belongs to no upload", Where: path, Do: "it may be deleted", Harmless: true,
	})
}
