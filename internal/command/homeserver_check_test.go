// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"database/sql"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// runCommand runs foyer homeserver with arguments.
func runCommand(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	cmd := Homeserver()
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return out.String() + err.Error(), coded.ExitCode()
	}
	if err != nil {
		t.Fatalf("error %v has no exit code", err)
	}
	return out.String(), 0
}

func TestTheCheckSaysWhatItFinds(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	s.Register("alice").Post("/_matrix/client/v3/createRoom", homeservertest.Object{}).OK()
	out, code := runCommand(t, "check", "--data", s.Config.DataDir)
	if !regexp.MustCompile(`^ok: 1 rooms, \d+ events .*, at position \d+\n$`).MatchString(out) || code != 0 {
		t.Errorf("beside a running server: %d, %s", code, out)
	}
	s.Stop()
	db, err := sql.Open("sqlite", filepath.Join(s.Config.DataDir, "foyer.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM memberships`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	out, code = runCommand(t, "check", "--full", "--data", s.Config.DataDir)
	want := regexp.MustCompile(`^error: a member of a room has no membership: room=!\S+ user_id=@alice:test.example; stop the server .*\n` +
		`error: the number of a room's members is wrong: .*\n2 errors in 1 rooms, `)
	if !want.MatchString(out) || code != 1 {
		t.Errorf("a damaged database: %d, %s", code, out)
	}
}

func TestTheCheckSaysWhyItCannotBeDone(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
		code int
	}{
		"nothing said":   {nil, "ConfigInvalid: ", exitConfig},
		"no database":    {[]string{"--data", t.TempDir()}, "foyer.db: no such file", 1},
		"a bad URL":      {[]string{"--database", "postgres://user:secret@host:99999999/"}, "not a valid postgres:// URL", 1},
		"an absent file": {[]string{"--config", "/nowhere.yaml"}, "/nowhere.yaml", exitConfig},
		"nobody listens": {[]string{"--database", "postgres://127.0.0.1:1/x"}, "DatabaseUnreachable: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := runCommand(t, append([]string{"check"}, test.args...)...)
			if !strings.Contains(out, test.want) || strings.Contains(out, "secret") || code != test.code {
				t.Errorf("%d, %s", code, out)
			}
		})
	}
}
