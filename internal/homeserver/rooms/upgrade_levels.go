// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// levels is the content of m.room.power_levels as far as the rules read it,
// with every level an integer, as all versions take it.
type levels struct {
	// fields are the levels that are members of their own.
	fields map[string]int64
	// by are the levels by user, event type and kind of notification.
	by map[string]map[string]int64
}

// maxLevel is the largest level that an event may set.
const maxLevel = 1<<53 - 1

// The members of m.room.power_levels.
var (
	levelFields = []string{"ban", "events_default", "invite", "kick", "redact", "state_default", "users_default"}
	levelMaps   = []string{"events", "notifications", "users"}
)

// readLevels reads power levels of any version; what cannot be read is left
// out, as the versions that let it in did.
func readLevels(content []byte) *levels {
	l := &levels{fields: map[string]int64{}, by: map[string]map[string]int64{}}
	from, _ := event.ParseObject(content)
	for _, name := range levelFields {
		if raw, ok := from.Get(name); ok {
			if level, ok := readLevel(raw); ok {
				l.fields[name] = level
			}
		}
	}
	for _, name := range levelMaps {
		l.by[name] = map[string]int64{}
		part, _ := from.Object(name)
		part.Each(func(key string, raw []byte) bool {
			if level, ok := readLevel(raw); ok {
				l.by[name][strings.Clone(key)] = level
			}
			return true
		})
	}
	for user := range l.by["users"] {
		if _, err := event.ParseUserID(user); err != nil {
			delete(l.by["users"], user)
		}
	}
	return l
}

// readLevel reads an integer, one in a string, or a number with a fraction,
// which is cut off; versions before 10 knew all three.
func readLevel(raw []byte) (int64, bool) {
	if level, ok := event.IntValue(raw); ok {
		return level, -maxLevel <= level && level <= maxLevel
	}
	text, ok := event.StringValue(raw)
	if !ok {
		text = string(raw)
	}
	level, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || level < -maxLevel || level > maxLevel {
		return 0, false
	}
	return int64(level), true
}

// MarshalJSON returns the content.
func (l *levels) MarshalJSON() ([]byte, error) {
	all := map[string]any{}
	for name, level := range l.fields {
		all[name] = level
	}
	for name, part := range l.by {
		all[name] = part
	}
	return json.Marshal(all)
}

// highest returns the largest level that anything needs or anybody has, at least 100.
func (l *levels) highest() int64 {
	const admin = 100
	top := int64(admin)
	for _, level := range l.fields {
		top = max(top, level)
	}
	for _, part := range l.by {
		for _, level := range part {
			top = max(top, level)
		}
	}
	return top
}

// newLevels returns the power levels of the new room: the old ones, nil if
// there are none. Creators stand above levels in version 12 and are not named
// there; where the new version has no such creators, they get the highest level.
func (old *retiringRoom) newLevels(rules *event.Rules, creators []event.UserID) (*levels, error) {
	ev := old.at(typePowerLevels)
	if ev == nil {
		return nil, nil
	}
	l := readLevels(ev.Content())
	if rules.PrivilegedCreators {
		for _, user := range creators {
			delete(l.by["users"], string(user))
		}
		return l, nil
	}
	if old.info.Rules.PrivilegedCreators {
		before, err := old.creators()
		if err != nil {
			return nil, err
		}
		top := l.highest()
		for _, user := range before {
			l.by["users"][string(user)] = top
		}
	}
	return l, nil
}

// creators returns who stands above all levels in the old room.
func (old *retiringRoom) creators() ([]event.UserID, error) {
	create := old.at(typeCreate)
	var content struct {
		Additional []event.UserID `json:"additional_creators"`
	}
	if err := json.Unmarshal(create.Content(), &content); err != nil {
		return nil, fmt.Errorf("decode the create event of %s: %w", old.info.ID, err)
	}
	return slices.Concat([]event.UserID{create.Sender()}, content.Additional), nil
}

// quietLevels returns power levels under which only those with rights above
// the usual may speak and invite in the old room, nil if it has none to change.
func (old *retiringRoom) quietLevels() (map[string]json.RawMessage, error) {
	ev := old.at(typePowerLevels)
	if ev == nil {
		return nil, nil
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(ev.Content(), &fields); err != nil {
		return nil, fmt.Errorf("decode power levels: %w", err)
	}
	const moderator = 50
	l := readLevels(ev.Content())
	quiet := min(max(moderator, l.fields["users_default"]+1), maxLevel)
	for _, name := range []string{"events_default", "invite"} {
		fields[name] = strconv.AppendInt(nil, max(quiet, l.fields[name]), 10)
	}
	return fields, nil
}
