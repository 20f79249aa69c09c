// SPDX-License-Identifier: Apache-2.0

// Command bench prints what the homeserver costs, beside what the machine can
// do at all: the rate at which its disk syncs, measured in the same run. It
// drives a foyer binary over HTTP like any client. Nothing here is a test:
// figures of a busy machine are for people to judge.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// options say what to measure.
type options struct {
	binary, database string
	senders          int
	duration         time.Duration
	operator         int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/foyer", "the foyer binary")
	flag.StringVar(&o.database, "database", "", "postgres:// URL of an empty database; default: SQLite")
	flag.IntVar(&o.senders, "senders", 16, "concurrent senders")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each load lasts")
	flag.IntVar(&o.operator, "operator", 0, "measure the operator with this many Homeservers instead; needs KUBEBUILDER_ASSETS")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// figure is one line of the result.
type figure struct{ name, value, limit string }

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "foyer-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	syncs, err := syncRate(dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(o.binary)
	if err != nil {
		return fmt.Errorf("%w: run `make build` first", err)
	}
	figures := []figure{
		{"disk syncs of this machine", fmt.Sprintf("%.0f/s", syncs), ""},
		{"binary", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "90 MB"},
	}
	measure := measureServer
	if o.operator > 0 {
		measure = measureOperator
	}
	more, err := measure(ctx, o, dir, syncs)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range append(figures, more...) {
		limit := f.limit
		if limit != "" {
			limit = "limit " + limit
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\n", f.name, f.value, limit); err != nil {
			return err
		}
	}
	return w.Flush()
}

// syncRate returns how many times a second the disk below dir makes 4 KiB durable.
func syncRate(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	start, n := time.Now(), 0
	for ; time.Since(start) < 2*time.Second; n++ {
		if _, err := f.WriteAt(page, int64(n%1000)*4096); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// measureServer starts a server and puts it under each load in turn.
func measureServer(ctx context.Context, o options, dir string, syncs float64) ([]figure, error) {
	data := filepath.Join(dir, "data")
	// The first start makes the database; the second is what is measured.
	first, err := startServer(ctx, o, data)
	if err != nil {
		return nil, err
	}
	if err := first.stop(); err != nil {
		return nil, err
	}
	s, err := startServer(ctx, o, data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.stop() }()
	idle, err := residentMiB(s.pid())
	if err != nil {
		return nil, err
	}
	figures := []figure{
		{"ready after", fmt.Sprintf("%d ms", s.readyAfter.Milliseconds()), "500 ms"},
		{"idle memory", fmt.Sprintf("%.0f MiB", idle), "40 MiB"},
	}
	users, err := s.registerUsers(ctx, o.senders)
	if err != nil {
		return nil, err
	}
	for _, l := range loads() {
		f, err := l.measure(ctx, s, users, o.duration, syncs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		figures = append(figures, f...)
	}
	loaded, err := residentMiB(s.pid())
	if err != nil {
		return nil, err
	}
	return append(figures, figure{"memory after the loads", fmt.Sprintf("%.0f MiB", loaded), ""}), nil
}
