// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// result is all that is measured of one server on one database.
type result struct {
	readyAfter    time.Duration
	idle, loaded  float64 // MiB
	costs         []cost
	lastWoken     time.Duration
	bytesPerEvent float64
}

// examine starts a server twice, as the first start makes the database, puts
// it under each load in turn, and weighs what it keeps.
func examine(ctx context.Context, l launch, o options, p place) (result, error) {
	first, err := l.start(ctx, p.data, p.database)
	if err != nil {
		return result{}, err
	}
	if err := first.stop(); err != nil {
		return result{}, err
	}
	s, err := l.start(ctx, p.data, p.database)
	if err != nil {
		return result{}, err
	}
	sc := &scene{server: s}
	r := result{readyAfter: s.readyAfter}
	err = r.underLoad(ctx, sc, o)
	if err := errors.Join(err, s.stop()); err != nil {
		return result{}, err
	}
	return r, r.weigh(ctx, l, p, sc)
}

func (r *result) underLoad(ctx context.Context, s *scene, o options) error {
	var err error
	if err := rest(ctx, s.pid()); err != nil {
		return err
	}
	if r.idle, err = residentMiB(s.pid()); err != nil {
		return err
	}
	if s.users, err = s.register(ctx, "user", o.senders); err != nil {
		return err
	}
	for i := range s.users {
		if s.users[i].room, err = s.createRoom(ctx, s.users[i]); err != nil {
			return err
		}
	}
	for _, l := range loads() {
		c, err := l.measure(ctx, s, o.duration)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r.costs = append(r.costs, c)
	}
	if r.lastWoken, err = s.wake(ctx); err != nil {
		return fmt.Errorf("waiting clients: %w", err)
	}
	r.loaded, err = residentMiB(s.pid())
	return err
}

// weigh finds what the database grows by for each event. It is measured
// between stops, when nothing is left in a log.
func (r *result) weigh(ctx context.Context, l launch, p place, sc *scene) error {
	before, err := databaseBytes(ctx, p)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, p.data, p.database)
	if err != nil {
		return err
	}
	sc.server = s
	events, err := sc.mix(ctx)
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	after, err := databaseBytes(ctx, p)
	if err != nil {
		return err
	}
	r.bytesPerEvent = float64(after-before) / float64(events)
	return nil
}
