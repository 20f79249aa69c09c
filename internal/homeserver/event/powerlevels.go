// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"strconv"
	"strings"
)

// maxLevel is the largest power level, 2^53-1; the smallest is its negative.
// https://spec.matrix.org/v1.16/client-server-api/#mroompower_levels
const maxLevel = 1<<53 - 1

// The levels that are properties of their own in m.room.power_levels.
const (
	levelBan = iota
	levelEventsDefault
	levelInvite
	levelKick
	levelRedact
	levelStateDefault
	levelUsersDefault
	levelCount
)

// levelProperties names them, with the value that holds where none is set.
var levelProperties = [levelCount]struct {
	key      string
	fallback int64
}{
	levelBan:           {"ban", 50},
	levelEventsDefault: {"events_default", 0},
	levelInvite:        {"invite", 0},
	levelKick:          {"kick", 50},
	levelRedact:        {"redact", 50},
	levelStateDefault:  {"state_default", 50},
	levelUsersDefault:  {"users_default", 0},
}

// defaultNotificationLevel holds for notification keys that no event mentions.
const defaultNotificationLevel = 50

// optionalLevel tells a level that was written from one that is only implied:
// the rules for changing levels look at what is written.
type optionalLevel struct {
	value int64
	set   bool
}

// PowerLevels is what an m.room.power_levels event says, or what holds in a room
// without one. It is immutable. It does not know of the creators of version 12,
// who stand above it: ask Rules.Level for the level of a user in a room.
type PowerLevels struct {
	named         [levelCount]optionalLevel
	users         map[string]int64
	events        map[string]int64
	notifications map[string]int64
}

// User returns the level of u as far as power levels say.
func (pl *PowerLevels) User(u UserID) int64 {
	if level, ok := pl.users[string(u)]; ok {
		return level
	}
	return pl.level(levelUsersDefault)
}

// Event returns the level that sending an event of type eventType needs.
func (pl *PowerLevels) Event(eventType string, isState bool) int64 {
	if level, ok := pl.events[eventType]; ok {
		return level
	}
	if isState {
		return pl.level(levelStateDefault)
	}
	return pl.level(levelEventsDefault)
}

// Ban returns the level that banning needs.
func (pl *PowerLevels) Ban() int64 { return pl.level(levelBan) }

// Kick returns the level that removing another user needs.
func (pl *PowerLevels) Kick() int64 { return pl.level(levelKick) }

// Invite returns the level that inviting needs.
func (pl *PowerLevels) Invite() int64 { return pl.level(levelInvite) }

// Redact returns the level that redacting another user's event needs.
func (pl *PowerLevels) Redact() int64 { return pl.level(levelRedact) }

// Notification returns the level that triggers the notification key, such as "room".
func (pl *PowerLevels) Notification(key string) int64 {
	if level, ok := pl.notifications[key]; ok {
		return level
	}
	return defaultNotificationLevel
}

func (pl *PowerLevels) level(name int) int64 {
	if pl.named[name].set {
		return pl.named[name].value
	}
	return levelProperties[name].fallback
}

// DefaultPowerLevels returns the levels of a room without m.room.power_levels:
// the creator has 100 and everybody else 0. In version 12 creators are not listed,
// because they stand above every level. A nil create names no creator.
func (r *Rules) DefaultPowerLevels(create *Event) *PowerLevels {
	if create == nil {
		return &PowerLevels{}
	}
	return create.authFacts().levels
}

// PowerLevels returns the levels that e, an m.room.power_levels event, sets. They are
// read once. An error means that the event cannot have been accepted into a room: a level
// is not an integer (or a string holding one, before version 10) within ±(2^53-1), or a
// key of users is not a user id.
func (e *Event) PowerLevels() (*PowerLevels, error) {
	if e.Type() != typePowerLevels {
		return nil, fmt.Errorf("event of type %q sets no power levels", e.Type())
	}
	facts := e.authFacts()
	if facts.levelsError != nil {
		return nil, facts.levelsError
	}
	return facts.levels, nil
}

// levelsPart says which part of m.room.power_levels is malformed; version 10
// on has a rule for each.
type levelsPart int

const (
	partNamed levelsPart = iota
	partMaps
	partUsers
)

// levelsError says why power levels cannot be read.
type levelsError struct {
	part   levelsPart
	reason string
}

func (e *levelsError) Error() string { return "power levels: " + e.reason }

// parsePowerLevels reads the content of an m.room.power_levels event. Unlike the text of
// the rules before version 10 it refuses every level that is not a number: such a value
// can be compared with nothing. Of a user id it wants sigil and colon, no more: rooms have
// mistyped ids in their levels that all other servers accept, and we must not part from them.
func (r *Rules) parsePowerLevels(content Object) (*PowerLevels, *levelsError) {
	pl := &PowerLevels{}
	for name, property := range levelProperties {
		raw, ok := content.Get(property.key)
		if !ok {
			continue
		}
		value, ok := r.parseLevel(raw)
		if !ok {
			return nil, &levelsError{partNamed, property.key + " is not an integer"}
		}
		pl.named[name] = optionalLevel{value, true}
	}
	maps := []struct {
		key  string
		part levelsPart
		into *map[string]int64
	}{
		{"events", partMaps, &pl.events},
		{"notifications", partMaps, &pl.notifications},
		{"users", partUsers, &pl.users},
	}
	for _, m := range maps {
		levels, reason := r.parseLevelMap(content, m.key)
		if reason != "" {
			return nil, &levelsError{m.part, reason}
		}
		*m.into = levels
	}
	for user := range pl.users {
		if !strings.HasPrefix(user, "@") || !strings.Contains(user, ":") {
			return nil, &levelsError{partUsers, "users has a key that is not a user id"}
		}
	}
	return pl, nil
}

// parseLevelMap reads an object of levels. reason is "" if all is well.
func (r *Rules) parseLevelMap(content Object, key string) (levels map[string]int64, reason string) {
	if _, ok := content.Get(key); !ok {
		return nil, ""
	}
	object, ok := content.Object(key)
	if !ok {
		return nil, key + " is not an object"
	}
	levels = make(map[string]int64)
	object.Each(func(name string, raw []byte) bool {
		value, ok := r.parseLevel(raw)
		if !ok {
			reason = key + " has a value that is not an integer"
			return false
		}
		levels[name] = value
		return true
	})
	return levels, reason
}

// parseLevel reads one level; false if it is none.
func (r *Rules) parseLevel(raw []byte) (int64, bool) {
	value, ok := IntValue(raw)
	if !ok && !r.IntegerPowerLevels {
		value, ok = r.parseLegacyLevel(raw)
	}
	return value, ok && -maxLevel <= value && value <= maxLevel
}

// parseLegacyLevel reads what versions before 10 also allow: a string that holds an
// integer, and, where JSON is not strictly canonical, a fraction, which is cut off.
// https://spec.matrix.org/v1.16/rooms/v1/#deprecated-event-content-schemas
func (r *Rules) parseLegacyLevel(raw []byte) (int64, bool) {
	if text, ok := StringValue(raw); ok {
		value, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		return value, err == nil
	}
	if r.StrictCanonicalJSON {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || value < -maxLevel || value > maxLevel {
		return 0, false
	}
	return int64(value), true
}
