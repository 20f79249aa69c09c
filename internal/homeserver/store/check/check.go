// SPDX-License-Identifier: Apache-2.0

// Package check proves on a database what the homeserver relies on: that the
// events, states, memberships, positions, keys and files in it fit together.
// It reads one snapshot and changes nothing, so a server may run beside it.
//
// Each file holds the invariants of one idea. Most are a query that returns
// the rows which break one; what SQL cannot see is read row by row, in pages,
// so that memory does not grow with the database.
package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Options say what is checked.
type Options struct {
	// Store names the database; ServerName may be empty.
	Store store.Options
	// MediaDir holds the uploaded files; empty: files are not checked.
	MediaDir string
	// Full recomputes the hashes of all events and files, not of a sample of events.
	Full bool
}

// Finding is something that is not as it has to be.
type Finding struct {
	// What is wrong, Where it is, and what can be done about it.
	What, Where, Do string
	// Harmless findings cost space and no more.
	Harmless bool
}

// String is the finding on one line.
func (f Finding) String() string {
	kind := "error"
	if f.Harmless {
		kind = "note"
	}
	line := kind + ": " + f.What + ": " + f.Where + "; " + f.Do
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(line)
}

// Counts say how much was looked at and found.
type Counts struct {
	Events, Hashed, Rooms, States, Files int64
	// Errors and Notes are the findings that matter and those that are harmless.
	Errors, Notes int64
	// Position is the head of the stream in the snapshot.
	Position int64
}

// String lists the counts.
func (c Counts) String() string {
	return fmt.Sprintf("%d rooms, %d events (%d hashes recomputed), %d states, %d files, at position %d",
		c.Rooms, c.Events, c.Hashed, c.States, c.Files, c.Position)
}

// What can be done about a finding.
const (
	doRestore = "stop the server and restore a backup from before the damage"
	doSignIn  = "have its owner sign the device out and in again"
)

// checker is one run.
type checker struct {
	Options
	*store.Snapshot
	counts Counts
	report func(Finding) error
}

// Run checks the database and calls report with each finding as it is found.
// An error means that the check itself could not be completed.
func Run(ctx context.Context, o Options, report func(Finding) error) (Counts, error) {
	snapshot, err := store.OpenSnapshot(ctx, o.Store)
	if err != nil {
		return Counts{}, err
	}
	c := &checker{Options: o, Snapshot: snapshot, report: report}
	err = c.run(ctx)
	if cerr := snapshot.Close(); err == nil {
		err = cerr
	}
	return c.counts, err
}

func (c *checker) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		c.file, c.stream, c.events, c.states, c.rooms, c.memberships, c.relations, c.devices, c.media,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// found reports a finding.
func (c *checker) found(f Finding) error {
	if f.Harmless {
		c.counts.Notes++
	} else {
		c.counts.Errors++
	}
	return c.report(f)
}

// file lets the database look at its own file.
func (c *checker) file(ctx context.Context) error {
	_, err := c.Damage(ctx, func(defect string) error {
		return c.found(Finding{What: "the database file is damaged", Where: defect, Do: doRestore})
	})
	return err
}
