// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"slices"
	"strings"
)

// walkBatch is how many events are loaded at a time only to see their auth_events.
const walkBatch = 1000

// loadChains loads the auth chains of events, breadth first: each event once, in as
// few calls as the graph has levels.
func (res *resolution) loadChains(ids []EventID) error {
	seen := make(map[EventID]bool, len(ids))
	for frontier := ids; len(frontier) > 0; {
		if err := res.fetch(frontier); err != nil {
			return err
		}
		var next []EventID
		for _, id := range frontier {
			for _, auth := range res.authEvents(id) {
				if !seen[auth] {
					seen[auth] = true
					next = append(next, auth)
				}
			}
		}
		frontier = next
	}
	return nil
}

// authEvents returns the auth_events of a loaded event.
func (res *resolution) authEvents(id EventID) []EventID {
	if e := res.events[id]; e != nil {
		return e.AuthEvents()
	}
	return nil
}

// reach calls visit once for every loaded event that is in ids or in the auth chain of one.
func (res *resolution) reach(ids []EventID, visit func(EventID)) {
	seen := make(map[EventID]bool, len(ids))
	stack := append([]EventID(nil), ids...)
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[id] || res.events[id] == nil {
			continue
		}
		seen[id] = true
		visit(id)
		stack = append(stack, res.authEvents(id)...)
	}
}

// authDifference returns the events that are in the auth chain of some sets but not of all.
// A state is taken to be part of its own chain, so that what all sets agree on never
// differs. conflicted holds the conflicted state set, whose chains are loaded.
//
// What all sets agree on adds the same chains to each of them. Hence only the chains of the
// conflicted events can differ, less what is in the chain of something agreed.
func (res *resolution) authDifference(conflicted map[EventID]bool) (map[EventID]bool, error) {
	holders := make(map[EventID]int)
	for _, set := range res.sets {
		var own []EventID
		for key := range res.disputed {
			if id, ok := set[key]; ok {
				own = append(own, id)
			}
		}
		res.reach(own, func(id EventID) { holders[id]++ })
	}
	difference := make(map[EventID]bool)
	open := make(map[EventID]bool)
	for id, n := range holders {
		if n == len(res.sets) {
			continue
		}
		difference[id] = true
		if !conflicted[id] {
			open[id] = true
		}
	}
	common := func(id EventID) bool { return holders[id] == len(res.sets) }
	if err := res.clearAgreed(open, common); err != nil {
		return nil, err
	}
	for id := range difference {
		if !conflicted[id] && !open[id] {
			delete(difference, id)
		}
	}
	return difference, nil
}

// clearAgreed removes from open what is in the auth chain of an agreed event. It stops
// when open is empty, and does not look behind events that are common to all chains.
func (res *resolution) clearAgreed(open map[EventID]bool, common func(EventID) bool) error {
	seen := make(map[EventID]bool)
	note := func(ids []EventID) (frontier []EventID) {
		for _, id := range ids {
			if seen[id] {
				continue
			}
			seen[id] = true
			delete(open, id)
			if !common(id) {
				frontier = append(frontier, id)
			}
		}
		return frontier
	}
	if len(open) == 0 {
		return nil
	}
	// Members come last: they are many, and power levels and join rules often suffice.
	var few, many []EventID
	for key, id := range res.agreed {
		switch key.Type {
		case typeMember:
			many = append(many, id)
		case typeCreate: // the end of every chain
		default:
			few = append(few, id)
		}
	}
	for _, start := range [][]EventID{few, many} {
		// Whole levels, so that the cost does not depend on the order of a map.
		for frontier := note(start); len(frontier) > 0 && len(open) > 0; {
			cited, err := res.cited(frontier)
			if err != nil {
				return err
			}
			frontier = note(cited)
		}
	}
	return nil
}

// cited returns all auth_events of ids.
func (res *resolution) cited(ids []EventID) ([]EventID, error) {
	var cited []EventID
	for batch := range slices.Chunk(ids, walkBatch) {
		lists, err := res.authLists(batch)
		if err != nil {
			return nil, err
		}
		cited = append(cited, slices.Concat(lists...)...)
	}
	return cited, nil
}

// authLists returns the auth_events of ids without keeping the events.
func (res *resolution) authLists(ids []EventID) ([][]EventID, error) {
	var lists [][]EventID
	var missing []EventID
	for _, id := range ids {
		if e, ok := res.events[id]; !ok {
			missing = append(missing, id)
		} else if e != nil {
			lists = append(lists, e.AuthEvents())
		}
	}
	if len(missing) == 0 {
		return lists, nil
	}
	if err := res.spend(len(missing)); err != nil {
		return nil, err
	}
	if res.source.AuthLists != nil {
		found, err := res.source.AuthLists(missing)
		if err != nil {
			return nil, fmt.Errorf("load auth lists for state resolution: %w", err)
		}
		for _, list := range found {
			lists = append(lists, list)
		}
		return lists, nil
	}
	loaded, err := res.source.Load(missing)
	if err != nil {
		return nil, fmt.Errorf("load events for state resolution: %w", err)
	}
	for _, e := range loaded {
		list := make([]EventID, len(e.AuthEvents()))
		for i, id := range e.AuthEvents() {
			list[i] = EventID(strings.Clone(string(id))) // lets go of the event
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// subgraph returns the conflicted state subgraph of version 12: every event on a path
// along auth_events from one conflicted event to another. These are the events in the
// chain of a conflicted event that have a conflicted event in their own chain.
func (res *resolution) subgraph(conflicted map[EventID]bool) map[EventID]bool {
	start := make([]EventID, 0, len(conflicted))
	for id := range conflicted {
		start = append(start, id)
	}
	citedBy := make(map[EventID][]EventID)
	res.reach(start, func(id EventID) {
		for _, auth := range res.authEvents(id) {
			citedBy[auth] = append(citedBy[auth], id)
		}
	})
	found := make(map[EventID]bool, len(start))
	for stack := start; len(stack) > 0; {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !found[id] {
			found[id] = true
			stack = append(stack, citedBy[id]...)
		}
	}
	return found
}
