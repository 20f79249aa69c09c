// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// AuthState is the room state that an event is checked against. State returns nil
// for what is not set. It must hold the m.room.create event, in version 12 as well,
// where auth_events do not list it: there it is the event that the room id names.
// https://spec.matrix.org/v1.16/server-server-api/#authorization-rules
type AuthState interface {
	State(key StateKey) *Event
}

// AuthStateFunc is a function that is an AuthState.
type AuthStateFunc func(StateKey) *Event

// State calls f.
func (f AuthStateFunc) State(key StateKey) *Event { return f(key) }

// AuthEvents is an AuthState made of events, for checks against an event's auth_events.
type AuthEvents map[StateKey]*Event

// State returns the event that sets key.
func (a AuthEvents) State(key StateKey) *Event { return a[key] }

// NewAuthEvents returns the state that events make, leaving out those that are no
// state events; of two with one key the last counts. In version 12 pass the
// create event too.
func NewAuthEvents(events ...*Event) AuthEvents {
	state := make(AuthEvents, len(events))
	for _, e := range events {
		if _, ok := e.StateKey(); ok {
			state[e.Tuple()] = e
		}
	}
	return state
}

// AuthError says that the rules of the room forbid an event.
type AuthError struct {
	// Rule is the number of the rule in the list of the event's room version, as in "4.3.1".
	Rule string
	// Reason says it in words. It may quote ids and must not be shown to other users.
	Reason string
}

func (e *AuthError) Error() string {
	return "forbidden by authorisation rule " + e.Rule + ": " + e.Reason
}

// Authorise reports whether the rules allow e in a room with that state: nil, or an *AuthError.
// It applies the rules that depend on state; CheckAuthEvents applies those on auth_events,
// and the signature of a join's authorising server (rule 4.2, 5.2 in version 12) is checked
// together with the others, see Event.Signers.
func (r *Rules) Authorise(e *Event, state AuthState) error {
	if e.Type() == typeCreate {
		return r.authoriseCreate(e)
	}
	c := authCheck{rules: r, event: e, state: state, create: state.State(StateKey{Type: typeCreate})}
	if err := c.checkCreate(); err != nil {
		return err
	}
	c.facts = c.create.authFacts()
	if c.facts.local && e.Sender().Server() != c.create.Sender().Server() {
		return r.deny(r.federateRule(), "the room does not federate")
	}
	switch {
	case e.Type() == typeAliases && r.AliasSpecialCase:
		return c.aliases()
	case e.Type() == typeMember:
		return c.member()
	}
	return c.other()
}

// Level returns the power level of u in a room with that state. infinite is true for
// the creators of a room of version 12, who stand above every level; level is then the
// largest int64, so that comparing levels alone gives the right answer, too. A state
// without create event or with unreadable levels gives 0.
func (r *Rules) Level(state AuthState, u UserID) (level int64, infinite bool) {
	c := authCheck{rules: r, state: state, create: state.State(StateKey{Type: typeCreate})}
	if c.create == nil {
		return 0, false
	}
	c.facts = c.create.authFacts()
	levels, err := c.levels()
	if err != nil {
		return 0, false
	}
	return c.level(levels, u), c.facts.isCreator(u)
}

// authCheck is one event being checked.
type authCheck struct {
	rules  *Rules
	event  *Event
	state  AuthState
	create *Event
	facts  *authFacts // of create
}

// checkCreate finds out whether the room has its create event: rule 2 of version 12, rule 2.4 before.
func (c *authCheck) checkCreate() error {
	rule := []int{2, 4}
	if c.rules.RoomIDIsCreateHash {
		rule = []int{2}
	}
	if c.create == nil {
		return c.rules.deny(number(rule...), "the room has no create event")
	}
	if c.create.RoomID() != c.event.RoomID() {
		return c.rules.deny(number(rule...), "the create event is of another room")
	}
	return nil
}

// aliases applies rule 4 of versions 1 to 5.
func (c *authCheck) aliases() error {
	key, ok := c.event.StateKey()
	if !ok {
		return c.rules.deny("4.1", "m.room.aliases without state_key")
	}
	if ServerName(key) != c.event.Sender().Server() {
		return c.rules.deny("4.2", "state_key is not the sender's server")
	}
	return nil
}

// other applies the rules for what is neither a create, an aliases nor a member event.
func (c *authCheck) other() error {
	e, r := c.event, c.rules
	if c.membership(e.Sender()) != membershipJoin {
		return r.deny(r.rule(sectionJoined), "the sender is not in the room")
	}
	levels, err := c.levels()
	if err != nil {
		return err
	}
	level := c.level(levels, e.Sender())
	if e.Type() == typeThirdPartyInvite {
		if level < levels.Invite() {
			return r.deny(r.rule(sectionThirdParty, 1), "the sender may not invite")
		}
		return nil
	}
	stateKey, isState := e.StateKey()
	if required := levels.Event(e.Type(), isState); level < required {
		return r.deny(r.rule(sectionRequired), fmt.Sprintf("the sender has level %d and needs %d", level, required))
	}
	if isState && strings.HasPrefix(stateKey, "@") && stateKey != string(e.Sender()) {
		return r.deny(r.rule(sectionStateKey), "state_key is another user")
	}
	switch {
	case e.Type() == typePowerLevels:
		return c.powerLevels(level)
	case e.Type() == typeRedaction && r.RedactionAuthRule:
		return c.redaction(levels, level)
	}
	return nil
}

// redaction applies rule 11 of versions 1 and 2.
func (c *authCheck) redaction(levels *PowerLevels, level int64) error {
	if level >= levels.Redact() {
		return nil
	}
	_, target, ok := strings.Cut(string(c.event.Redacts()), ":")
	_, own, ownOK := strings.Cut(string(c.event.ID()), ":")
	if ok && ownOK && target == own {
		return nil
	}
	return c.rules.deny("11.3", "the sender may not redact events of other servers")
}

// membership returns the membership of u, "leave" if there is none.
func (c *authCheck) membership(u UserID) string {
	if e := c.state.State(StateKey{Type: typeMember, Key: string(u)}); e != nil {
		return e.Membership()
	}
	return membershipLeave
}

// levels returns the levels that hold in the room.
func (c *authCheck) levels() (*PowerLevels, error) {
	e := c.state.State(StateKey{Type: typePowerLevels})
	if e == nil {
		return c.facts.levels, nil
	}
	levels, err := e.PowerLevels()
	if err != nil {
		return nil, c.rules.deny(c.rules.rule(sectionRequired), "the room has unreadable power levels")
	}
	return levels, nil
}

// level returns the level of u, the largest int64 for creators above all levels.
func (c *authCheck) level(levels *PowerLevels, u UserID) int64 {
	if c.facts.isCreator(u) {
		return math.MaxInt64
	}
	return levels.User(u)
}

// authoriseCreate applies rule 1.
func (r *Rules) authoriseCreate(e *Event) error {
	content, _ := ParseObject(e.Content())
	if key, ok := e.StateKey(); !ok || key != "" {
		return r.deny("1", "a create event is state with an empty state_key")
	}
	if len(e.PrevEvents()) > 0 {
		return r.deny("1.1", "a create event has no prev_events")
	}
	if err := r.checkCreateRoomID(e); err != nil {
		return err
	}
	if raw, ok := content.Get("room_version"); ok {
		// A known version that is not the one we took the room for would have other rules.
		if version, ok := StringValue(raw); !ok || RoomVersion(version) != r.Version {
			return r.deny("1.3", "content.room_version is not that of the room")
		}
	}
	if _, ok := content.Get("creator"); !ok && !r.CreatorIsSender {
		return r.deny("1.4", "content has no creator")
	}
	if raw, ok := content.Get("additional_creators"); ok && r.PrivilegedCreators && !areUserIDs(raw) {
		return r.deny("1.4", "content.additional_creators is not an array of user ids")
	}
	return nil
}

// checkCreateRoomID applies rule 1.2.
func (r *Rules) checkCreateRoomID(e *Event) error {
	if !r.RoomIDIsCreateHash {
		if server, ok := e.RoomID().Server(); !ok || server != e.Sender().Server() {
			return r.deny("1.2", "the room id is not of the sender's server")
		}
		return nil
	}
	event, _ := ParseObject(e.JSON())
	if _, ok := event.Get("room_id"); ok {
		return r.deny("1.2", "a create event has no room_id")
	}
	return nil
}

// areUserIDs reports whether raw is a JSON array of user ids.
func areUserIDs(raw []byte) bool {
	valid := true
	isArray := EachElement(raw, func(value []byte) bool {
		user, ok := StringValue(value)
		if ok {
			_, err := ParseUserID(user)
			ok = err == nil
		}
		valid = valid && ok
		return valid
	})
	return isArray && valid
}

// Sections of the list of rules, numbered as in versions 6 to 11.
const (
	sectionMember = iota + 4
	sectionJoined
	sectionThirdParty
	sectionRequired
	sectionStateKey
	sectionPowerLevels
)

// rule returns the number that a rule has in this version. The rule on aliases (versions
// 1 to 5) and the one on the room id (version 12) push the sections back by one.
func (r *Rules) rule(section int, sub ...int) string {
	if r.AliasSpecialCase || r.RoomIDIsCreateHash {
		section++
	}
	return number(append([]int{section}, sub...)...)
}

// federateRule is the number of the rule on m.federate, which comes before that on aliases.
func (r *Rules) federateRule() string {
	if r.RoomIDIsCreateHash {
		return "4"
	}
	return "3"
}

func number(parts ...int) string {
	var text []byte
	for i, part := range parts {
		if i > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendInt(text, int64(part), 10)
	}
	return string(text)
}

func (r *Rules) deny(rule, reason string) error {
	return &AuthError{Rule: rule, Reason: reason}
}
