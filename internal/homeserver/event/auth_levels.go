// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
)

// levelsRules numbers the rules on m.room.power_levels that come after those on its form.
type levelsRules struct{ creators, named, removed, added, usersRemoved, usersAdded int }

// levelsRules returns the numbers of this version: version 10 put two rules in front,
// version 12 one more.
func (r *Rules) levelsRules() levelsRules {
	shift := 0
	if r.IntegerPowerLevels {
		shift = 2
	}
	if r.PrivilegedCreators {
		shift++
	}
	return levelsRules{
		creators: 4, named: 3 + shift, removed: 4 + shift, added: 5 + shift,
		usersRemoved: 6 + shift, usersAdded: 7 + shift,
	}
}

// powerLevels applies the rules on m.room.power_levels: rule 9, or 10 in versions
// 1 to 5 and 12. level is the sender's.
func (c *authCheck) powerLevels(level int64) error {
	next, err := c.event.PowerLevels()
	if err != nil {
		return c.denyMalformedLevels(err)
	}
	rules := c.rules.levelsRules()
	for _, creator := range c.facts.creators {
		if _, ok := next.users[string(creator)]; ok {
			return c.denyLevels("users names a creator of the room", rules.creators)
		}
	}
	current := c.state.State(StateKey{Type: typePowerLevels})
	if current == nil {
		return nil
	}
	previous, err := current.PowerLevels()
	if err != nil {
		return c.denyMalformedLevels(err)
	}
	if err := c.checkNamedLevels(previous, next, level); err != nil {
		return err
	}
	maps := [][2]map[string]int64{{previous.events, next.events}}
	if c.rules.NotificationLevels {
		maps = append(maps, [2]map[string]int64{previous.notifications, next.notifications})
	}
	for _, m := range maps {
		// No user id is empty: every entry counts.
		err := c.checkLevelMap(levelChange{m[0], m[1], "", level, rules.removed, rules.added})
		if err != nil {
			return err
		}
	}
	return c.checkUserLevels(previous, next, level)
}

func (c *authCheck) denyLevels(reason string, sub ...int) error {
	return c.rules.deny(c.rules.rule(sectionPowerLevels, sub...), reason)
}

// denyMalformedLevels names the rule that a malformed event breaks. Before version 10
// there is only one on form.
func (c *authCheck) denyMalformedLevels(err error) error {
	rule := 1
	var malformed *levelsError
	if errors.As(err, &malformed) && c.rules.IntegerPowerLevels {
		rule = int(malformed.part) + 1
	}
	return c.denyLevels(err.Error(), rule)
}

// checkNamedLevels checks the levels that are properties of their own. What is not
// written has no value: adding "ban" is checked for the new value only.
func (c *authCheck) checkNamedLevels(previous, next *PowerLevels, level int64) error {
	rule := c.rules.levelsRules().named
	for name := range levelProperties {
		was, is := previous.named[name], next.named[name]
		if was == is {
			continue
		}
		if was.set && was.value > level {
			return c.denyLevels(aboveOwn("the current", levelProperties[name].key, was.value, level), rule, 1)
		}
		if is.set && is.value > level {
			return c.denyLevels(aboveOwn("the new", levelProperties[name].key, is.value, level), rule, 2)
		}
	}
	return nil
}

func aboveOwn(which, key string, value, own int64) string {
	return fmt.Sprintf("%s level of %q, %d, is above the sender's %d", which, key, value, own)
}

// levelChange is one object of levels that changes.
type levelChange struct {
	was, is map[string]int64
	// self is the entry whose current value does not matter.
	self           string
	limit          int64
	removed, added int // numbers of the rules
}

// checkLevelMap checks that no changed entry is above limit, before or after.
func (c *authCheck) checkLevelMap(change levelChange) error {
	if key, ok := firstAbove(change.was, change.is, change.self, change.limit); ok {
		return c.denyLevels(aboveOwn("the current", key, change.was[key], change.limit), change.removed, 1)
	}
	if key, ok := firstAbove(change.is, change.was, "", change.limit); ok {
		return c.denyLevels(aboveOwn("the new", key, change.is[key], change.limit), change.added, 1)
	}
	return nil
}

// checkUserLevels checks users: others must be below the sender before, nobody above after.
func (c *authCheck) checkUserLevels(previous, next *PowerLevels, level int64) error {
	rules := c.rules.levelsRules()
	self := string(c.event.Sender())
	if key, ok := firstAbove(previous.users, next.users, self, level-1); ok {
		return c.denyLevels(fmt.Sprintf("the sender is not above %q", key), rules.usersRemoved, 1)
	}
	if key, ok := firstAbove(next.users, previous.users, "", level); ok {
		return c.denyLevels(aboveOwn("the new", key, next.users[key], level), rules.usersAdded, 1)
	}
	return nil
}

// firstAbove returns the first key, in string order, whose value in m is above limit and is
// not the same in other. The key except is skipped. Order only matters for the message.
func firstAbove(m, other map[string]int64, except string, limit int64) (first string, found bool) {
	for key, value := range m {
		if value <= limit || (found && key >= first) || (except != "" && key == except) {
			continue
		}
		if same, ok := other[key]; ok && same == value {
			continue
		}
		first, found = key, true
	}
	return first, found
}
