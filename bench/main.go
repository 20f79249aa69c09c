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
	compare, growth  bool
	out              string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/foyer", "the foyer binary")
	flag.StringVar(&o.database, "database", "", "postgres:// URL of an empty database; default: SQLite")
	flag.IntVar(&o.senders, "senders", 16, "concurrent senders")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each load lasts")
	flag.IntVar(&o.operator, "operator", 0, "measure the operator with this many Homeservers instead; needs KUBEBUILDER_ASSETS")
	flag.BoolVar(&o.compare, "compare", false, "compare with Synapse instead, on SQLite and on Postgres")
	flag.BoolVar(&o.growth, "growth", false, "measure what operations cost in rooms of 100 to 10,000 events and members instead")
	flag.StringVar(&o.out, "out", "", "with -compare: the Markdown file to write, with -growth: to append to; default: standard output")
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
	info, err := os.Stat(o.binary)
	if err != nil {
		return fmt.Errorf("%w: run `make build` first", err)
	}
	if o.compare {
		return compare(ctx, o, dir)
	}
	if o.growth {
		return measureGrowth(ctx, o, dir)
	}
	figures := []figure{{"binary", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "90 MB"}}
	measure := measureServer
	if o.operator > 0 {
		measure = measureOperator
	}
	more, err := measure(ctx, o, dir)
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

// measureServer puts our own homeserver under each load in turn.
func measureServer(ctx context.Context, o options, dir string) ([]figure, error) {
	syncs, err := syncRate(dir)
	if err != nil {
		return nil, err
	}
	r, err := examine(ctx, foyer(o.binary), o, place{data: filepath.Join(dir, "data"), database: o.database})
	if err != nil {
		return nil, err
	}
	figures := []figure{
		{"disk syncs of this machine", fmt.Sprintf("%.0f/s", syncs), ""},
		{"ready after", fmt.Sprintf("%d ms", r.readyAfter.Milliseconds()), "500 ms"},
		{"idle memory", fmt.Sprintf("%.0f MiB", r.idle), "40 MiB"},
	}
	for _, c := range r.costs {
		figures = append(figures, figure{c.name, c.String(), c.limit})
	}
	return append(figures,
		figure{fmt.Sprintf("last of %d waiting clients woken after", waiters), fmt.Sprintf("%.1f ms", milliseconds(r.lastWoken)), ""},
		figure{"memory after the loads", fmt.Sprintf("%.0f MiB", r.loaded), ""},
		figure{"database for each event", fmt.Sprintf("%.2f KB", r.bytesPerEvent/1000), ""},
	), nil
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
