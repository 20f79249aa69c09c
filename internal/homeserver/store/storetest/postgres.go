// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// cluster is a throw-away Postgres, one for each test process.
type cluster struct {
	dir string
	// attr runs a command as the owner of the cluster; nil: as ourselves.
	attr *syscall.SysProcAttr
	bin  string
	// setting is an option of the server.
	setting string
	// hold is the end of a pipe whose closing, by the kernel, stops the cluster.
	hold *os.File
}

// shared starts the cluster when the first test wants it.
var shared = sync.OnceValues(func() (*cluster, error) {
	// fsync is off: tests check what we do, not what the disk does.
	return startCluster("-c fsync=off")
})

// StartPostgres starts a Postgres for measurements, which ends with stop or
// with this process. Unlike that of the tests it has on disk what it
// acknowledges. The URL is that of its maintenance database, as a superuser.
func StartPostgres() (u *url.URL, stop func() error, err error) {
	c, err := startCluster("-c fsync=on")
	if err != nil {
		return nil, nil, err
	}
	return c.url("postgres"), c.hold.Close, nil
}

// PostgresURL returns the URL of a fresh, empty database that is dropped when
// the test ends. Where FOYER_TEST_POSTGRES holds a superuser's URL the
// database is made there, else in a cluster of this process that needs
// Postgres' programs (Debian: package postgresql). A machine that has
// neither fails the test: a suite that silently leaves one of two databases
// out proves nothing.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if base := os.Getenv("FOYER_TEST_POSTGRES"); base != "" {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatalf("FOYER_TEST_POSTGRES: %v", err)
		}
		return createDatabase(t, u)
	}
	c, err := shared()
	if err != nil {
		t.Fatalf("start Postgres: %v", err)
	}
	return createDatabase(t, c.url("postgres"))
}

var databases atomic.Int64

func createDatabase(t testing.TB, server *url.URL) string {
	t.Helper()
	name := fmt.Sprintf("foyer_test_%d_%d", os.Getpid(), databases.Add(1))
	execute := func(statement string) error {
		conn, err := pgx.Connect(context.Background(), server.String())
		if err != nil {
			return err
		}
		_, err = conn.Exec(context.Background(), statement)
		return errors.Join(err, conn.Close(context.Background()))
	}
	if err := execute("CREATE DATABASE " + name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	own := *server
	own.Path = "/" + name
	return own.String()
}

func (c *cluster) url(database string) *url.URL {
	q := url.Values{"host": {c.dir}, "sslmode": {"disable"}}
	return &url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: q.Encode()}
}

// Cluster is a Postgres of one test's own, which it may stop and start.
type Cluster struct {
	// URL is that of its database postgres.
	URL string

	t testing.TB
	*cluster
}

// NewCluster starts a cluster of the test's own.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := startCluster("-c fsync=off")
	if err != nil {
		t.Fatalf("start Postgres: %v", err)
	}
	t.Cleanup(func() {
		if err := c.hold.Close(); err != nil { // the reaper removes it
			t.Errorf("stop Postgres: %v", err)
		}
	})
	return &Cluster{URL: c.url("postgres").String(), t: t, cluster: c}
}

// Stop stops the cluster as a crash does.
func (c *Cluster) Stop() {
	c.t.Helper()
	stop := c.command("pg_ctl", "stop", "--silent", "--mode=immediate", "--pgdata="+filepath.Join(c.dir, "data"))
	if out, err := stop.CombinedOutput(); err != nil {
		c.t.Fatalf("stop Postgres: %v: %s", err, out)
	}
}

// Start starts the cluster again.
func (c *Cluster) Start() {
	c.t.Helper()
	if err := c.start(); err != nil {
		c.t.Fatal(err)
	}
}

// startCluster makes a cluster in a temporary directory. It listens on a Unix
// socket only. Its server is a child of a shell that stops it as soon as this
// process is gone, however it ends.
func startCluster(setting string) (*cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "foyer-pg-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, bin: bin, setting: setting}
	if err := c.own(); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := c.command("initdb", "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8",
		"--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, c.stopAfterUs(data)
}

// start starts the server of the cluster.
func (c *cluster) start() error {
	data := filepath.Join(c.dir, "data")
	options := "-c listen_addresses='' -c unix_socket_directories='" + c.dir + "' " + c.setting + " -c max_connections=400 -c shared_buffers=32MB"
	start := c.command("pg_ctl", "start", "--wait", "--silent", "--pgdata="+data, "--log="+filepath.Join(c.dir, "log"), "--options="+options)
	if out, err := start.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl start: %w: %s", err, out)
	}
	return nil
}

// stopAfterUs leaves a shell behind that waits for the end of its standard
// input, which comes when this process ends, and then removes the cluster.
func (c *cluster) stopAfterUs(data string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	script := `cat >/dev/null; "$1/pg_ctl" stop --silent --mode=immediate --pgdata="$2" >/dev/null 2>&1; rm -rf "$3"`
	reaper := exec.Command("/bin/sh", "-c", script, "sh", c.bin, data, c.dir) //nolint:gosec,noctx // outlives us on purpose
	reaper.Stdin = r
	reaper.Dir = "/"
	reaper.SysProcAttr = c.attr
	if reaper.SysProcAttr == nil {
		reaper.SysProcAttr = &syscall.SysProcAttr{}
	}
	reaper.SysProcAttr.Setsid = true
	if err := reaper.Start(); err != nil {
		return err
	}
	c.hold = w
	return r.Close()
}

// own gives the directory to the user that runs the cluster: Postgres refuses to run as root.
func (c *cluster) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(owner.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(owner.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return os.Chown(c.dir, int(uid), int(gid))
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...) //nolint:gosec,noctx // Postgres' own programs
	cmd.Dir = c.dir
	cmd.SysProcAttr = c.attr
	return cmd
}

// postgresBin finds the newest Postgres of this machine.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("initdb not found: install Postgres (Debian: apt-get install postgresql) or set FOYER_TEST_POSTGRES")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}
