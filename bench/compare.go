// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// compare runs Foyer and Synapse through the same work on both databases, and
// writes what it found as Markdown.
func compare(ctx context.Context, o options, dir string) (err error) {
	python, err := installSynapse(ctx)
	if err != nil {
		return err
	}
	postgres, stop, err := storetest.StartPostgres()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	syncs, err := syncRate(dir)
	if err != nil {
		return err
	}
	subjects := []launch{foyer(o.binary), synapse(python)}
	text := &strings.Builder{}
	introduce(text, syncs, subjects[1].name)
	for _, database := range []string{"SQLite", "Postgres"} {
		var results []result
		for i, l := range subjects {
			p := place{data: filepath.Join(dir, fmt.Sprintf("%s-%d", database, i))}
			if database == "Postgres" {
				if p.database, err = createDatabase(ctx, postgres, fmt.Sprintf("bench_%d", i)); err != nil {
					return err
				}
			}
			fmt.Fprintf(os.Stderr, "%s on %s …\n", l.name, database)
			r, err := examine(ctx, l, o, p)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", l.name, database, err)
			}
			results = append(results, r)
		}
		table(text, database, subjects[1].name, results[0], results[1])
	}
	if o.out == "" {
		_, err := io.WriteString(os.Stdout, text.String())
		return err
	}
	return os.WriteFile(o.out, []byte(text.String()), 0o644) //nolint:gosec // documentation
}

func introduce(w *strings.Builder, syncs float64, peer string) {
	fmt.Fprintf(w, `# Performance
Written by `+"`go run -tags goolm ./bench -compare -out docs/performance.md`"+` on %s; do not edit.

Foyer's homeserver and %s did the same work in one run, each alone on the same machine: %d cores of %s, whose disk makes %.0f
writes a second durable. CPU time is that of the server's process, user and system together, without Postgres'. Sixteen users repeat each
operation at the same time over HTTP; rate limits and presence are off, passwords cheap, and Synapse's cache of whole /sync
answers is off so that each answer is worked out. Both keep what they acknowledge: SQLite as they ship, Postgres with fsync.

*Share* is Foyer's part of the other's figure, *wanted* what we aim at.
`, time.Now().UTC().Format(time.DateOnly), peer, runtime.NumCPU(), runtime.GOARCH, syncs)
}

// line is one row of a comparison; smaller is better.
type line struct {
	what, unit   string
	ours, theirs float64
	wanted       float64
	detail       string
}

func table(w *strings.Builder, database, peer string, ours, theirs result) {
	var lines []line
	for i, c := range ours.costs {
		lines = append(lines, line{
			c.name, "CPU-ms", c.cpuMS, theirs.costs[i].cpuMS, c.share,
			fmt.Sprintf("%.0f/s, %.0f/s", c.perSecond, theirs.costs[i].perSecond),
		})
	}
	lines = append(lines,
		line{fmt.Sprintf("last of %d waiting clients has a message", waiters), "ms", milliseconds(ours.lastWoken), milliseconds(theirs.lastWoken), 1. / 15, ""},
		line{"memory, idle", "MiB", ours.idle, theirs.idle, 1. / 3, ""},
		line{"memory after all of this", "MiB", ours.loaded, theirs.loaded, 1. / 3, ""},
		line{"database, for each event of a mix of joins and messages", "KB", ours.bytesPerEvent / 1000, theirs.bytesPerEvent / 1000, 1. / 3, ""},
		line{"ready after", "ms", milliseconds(ours.readyAfter), milliseconds(theirs.readyAfter), 0, ""},
	)
	fmt.Fprintf(w, "\n## %s\n| | Foyer | %s | share | wanted | operations a second |\n|---|---|---|---|---|---|\n", database, peer)
	for _, l := range lines {
		wanted := ""
		if l.wanted > 0 {
			wanted = fmt.Sprintf("1/%.0f", 1/l.wanted)
		}
		fmt.Fprintf(w, "| %s | %.2f %s | %.1f %s | 1/%.0f | %s | %s |\n", l.what, l.ours, l.unit, l.theirs, l.unit, l.theirs/l.ours, wanted, l.detail)
	}
}
