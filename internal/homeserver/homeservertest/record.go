// SPDX-License-Identifier: Apache-2.0

package homeservertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// RecordVariable is the environment variable that names an existing folder
// into which tests write what they called and what was answered, a line each:
// the package, the test, the method, the path, the status and the errcode,
// separated by tabs. docs/homeserver-endpoints.md is made of that.
const RecordVariable = "FOYER_RECORD_CALLS"

// recorder notes the calls of a server's clients; nil notes nothing.
type recorder struct {
	mu    sync.Mutex
	lines map[string]bool
}

// newRecorder returns nil unless the environment asks for a record.
func newRecorder(t testing.TB) *recorder {
	dir := os.Getenv(RecordVariable)
	if dir == "" {
		return nil
	}
	r := &recorder{lines: map[string]bool{}}
	t.Cleanup(func() {
		if err := r.write(dir); err != nil {
			t.Errorf("record calls: %v", err)
		}
	})
	return r
}

// note notes one call.
func (r *recorder) note(t testing.TB, method, path string, answer *Response) {
	if r == nil {
		return
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	path, _, _ = strings.Cut(path, "?")
	code := ""
	if answer.Status >= 400 && bytes.HasPrefix(answer.Body, []byte("{")) {
		var e struct {
			Errcode string `json:"errcode"`
		}
		if json.Unmarshal(answer.Body, &e) == nil {
			code = e.Errcode
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[fmt.Sprintf("%s\t%s\t%s\t%d\t%s", test, method, path, answer.Status, code)] = true
}

// write writes a file of its own, since packages are tested side by side.
func (r *recorder) write(dir string) error {
	folder, err := os.Getwd() // a test runs in the folder of its package
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for line := range r.lines {
		b.WriteString(filepath.Base(folder) + "\t" + line + "\n")
	}
	file, err := os.CreateTemp(dir, "calls-*")
	if err != nil {
		return err
	}
	_, err = file.WriteString(b.String())
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}
