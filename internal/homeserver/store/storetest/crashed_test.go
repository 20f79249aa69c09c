// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// A start after a crash looks at the file; one after a proper end does not
// spend time on it.
func TestADamagedFileIsNoticedAfterACrash(t *testing.T) {
	dir := t.TempDir()
	o := store.Options{Dir: dir, ServerName: ServerName}
	open := func() error {
		s, err := store.Open(t.Context(), o)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "foyer.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A log that ends in its header, as a crash right after its beginning leaves it.
	torn := func() { write(path+"-wal", make([]byte, 32)) }
	torn()
	if err := open(); err != nil {
		t.Fatalf("after a crash that did no harm: %v", err)
	}
	const page = 4096
	noticed := 0
	for at := len(content) - page; at > page; at -= page {
		damaged := bytes.Clone(content)
		copy(damaged[at:], "no page")
		write(path, damaged)
		if err := open(); err != nil {
			continue // every start reads this page
		}
		write(path, damaged)
		torn()
		if err := open(); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("page %d, after a crash: %v, want %v", at/page, err, store.ErrCorrupt)
		}
		noticed++
	}
	if noticed == 0 {
		t.Error("every start reads every page")
	}
	write(path, content)
	torn()
	if err := open(); err != nil {
		t.Errorf("after the file was put back: %v", err)
	}
}
