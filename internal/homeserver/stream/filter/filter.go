// SPDX-License-Identifier: Apache-2.0

// Package filter holds the filters that clients put between themselves and
// the events of a server: reading them, and deciding what passes.
//
// https://spec.matrix.org/v1.19/client-server-api/#filtering
package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ErrInvalid says that a filter is no JSON object of the specified form.
var ErrInvalid = errors.New("invalid filter")

const (
	// DefaultLimit is how many events of a room's timeline are returned where the filter does not say.
	DefaultLimit = 10
	// MaxLimit is the most that are returned.
	MaxLimit = 100
)

// Filter is what a client wants to get. The zero value lets everything pass.
// A list that is nil restricts nothing, one that is empty lets nothing pass.
type Filter struct {
	EventFields []string `json:"event_fields"`
	EventFormat string   `json:"event_format"`
	Presence    Events   `json:"presence"`
	AccountData Events   `json:"account_data"`
	Room        Room     `json:"room"`
}

// Room filters what belongs to rooms.
type Room struct {
	Rooms        []string   `json:"rooms"`
	NotRooms     []string   `json:"not_rooms"`
	IncludeLeave bool       `json:"include_leave"`
	Ephemeral    RoomEvents `json:"ephemeral"`
	State        RoomEvents `json:"state"`
	Timeline     RoomEvents `json:"timeline"`
	AccountData  RoomEvents `json:"account_data"`
}

// Events filters events by type and sender.
type Events struct {
	Limit      *int64   `json:"limit"`
	Types      []string `json:"types"`
	NotTypes   []string `json:"not_types"`
	Senders    []string `json:"senders"`
	NotSenders []string `json:"not_senders"`
}

// RoomEvents filters events of rooms.
type RoomEvents struct {
	Events
	Rooms                     []string `json:"rooms"`
	NotRooms                  []string `json:"not_rooms"`
	ContainsURL               *bool    `json:"contains_url"`
	LazyLoadMembers           bool     `json:"lazy_load_members"`
	IncludeRedundantMembers   bool     `json:"include_redundant_members"`
	UnreadThreadNotifications bool     `json:"unread_thread_notifications"`
}

// Parse reads a filter. Unknown members are passed over.
//
// Errors: ErrInvalid.
func Parse(raw []byte) (*Filter, error) {
	if !isObject(raw) {
		return nil, fmt.Errorf("%w: it must be a JSON object", ErrInvalid)
	}
	f := &Filter{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return f, f.check()
}

// ParseRoomEvents reads a RoomEventFilter, as the filter parameter of /messages is.
//
// Errors: ErrInvalid.
func ParseRoomEvents(raw []byte) (*RoomEvents, error) {
	if !isObject(raw) {
		return nil, fmt.Errorf("%w: it must be a JSON object", ErrInvalid)
	}
	f := &RoomEvents{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return f, f.check()
}

// isObject tells an object from null, which Unmarshal would take for an empty one.
func isObject(raw []byte) bool {
	for _, c := range raw {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

func (f *Filter) check() error {
	switch f.EventFormat {
	case "", "client", "federation":
	default:
		return fmt.Errorf("%w: event_format is client or federation", ErrInvalid)
	}
	r := &f.Room
	for _, e := range []*Events{&f.Presence, &f.AccountData, &r.Ephemeral.Events, &r.State.Events, &r.Timeline.Events, &r.AccountData.Events} {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

func (e *Events) check() error {
	if e.Limit != nil && *e.Limit < 0 {
		return fmt.Errorf("%w: limit must not be negative", ErrInvalid)
	}
	return nil
}

// Federation reports whether events are wanted as servers exchange them.
func (f *Filter) Federation() bool { return f.EventFormat == "federation" }

// Max is how many events are wanted, between 0 and MaxLimit.
func (e *Events) Max() int {
	if e.Limit == nil {
		return DefaultLimit
	}
	return int(min(*e.Limit, MaxLimit))
}

// All reports whether every event of every room passes.
func (e *RoomEvents) All() bool {
	return e.ContainsURL == nil && e.Types == nil && e.NotTypes == nil && e.Senders == nil && e.NotSenders == nil
}

// Matches reports whether an event passes.
func (e *Events) Matches(typ, sender string) bool {
	return e.MatchesType(typ) &&
		!slices.Contains(e.NotSenders, sender) && (e.Senders == nil || slices.Contains(e.Senders, sender))
}

// MatchesType reports whether events of a type can pass.
func (e *Events) MatchesType(typ string) bool {
	return !matchesAny(e.NotTypes, typ) && (e.Types == nil || matchesAny(e.Types, typ))
}

// MatchesRoom reports whether anything of a room passes.
func (r *Room) MatchesRoom(room string) bool { return passes(r.Rooms, r.NotRooms, room) }

// MatchesRoom reports whether anything of a room passes.
func (e *RoomEvents) MatchesRoom(room string) bool { return passes(e.Rooms, e.NotRooms, room) }

// MatchesURL reports whether an event passes whose content has, or has not, a url.
func (e *RoomEvents) MatchesURL(hasURL bool) bool {
	return e.ContainsURL == nil || *e.ContainsURL == hasURL
}

func passes(only, not []string, room string) bool {
	return !slices.Contains(not, room) && (only == nil || slices.Contains(only, room))
}

func matchesAny(patterns []string, typ string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Glob(p, typ) })
}

// Glob reports whether s matches a pattern in which * stands for any
// characters. It takes time linear in the pattern for each start in s and
// never goes back further than the last star, whatever the pattern.
func Glob(pattern, s string) bool {
	p, i := 0, 0
	star, resume := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p, i = p+1, i+1
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
