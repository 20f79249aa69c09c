// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"slices"
)

// AuthKeys returns the keys of the room state that d has to list in its auth_events, so
// far as the state has them. In version 12 the create event is not among them: the room id
// names it.
// https://spec.matrix.org/v1.16/server-server-api/#auth-events-selection
func (r *Rules) AuthKeys(d Draft) []StateKey {
	content, _ := ParseObject(d.Content)
	key := ""
	if d.StateKey != nil {
		key = *d.StateKey
	}
	return r.authKeys(authSubject{d.Type, d.StateKey != nil, key, d.Sender, content})
}

// authKeysOf returns the keys of the state that authorises e.
func (r *Rules) authKeysOf(e *Event) []StateKey {
	var content Object
	if e.Type() == typeMember {
		content, _ = ParseObject(e.Content())
	}
	key, isState := e.StateKey()
	return r.authKeys(authSubject{e.Type(), isState, key, e.Sender(), content})
}

// authSubject is what the selection looks at.
type authSubject struct {
	eventType string
	isState   bool
	stateKey  string
	sender    UserID
	content   Object // of member events
}

func (r *Rules) authKeys(s authSubject) []StateKey {
	if s.eventType == typeCreate {
		return nil
	}
	keys := make([]StateKey, 0, 6)
	if !r.RoomIDIsCreateHash {
		keys = append(keys, StateKey{Type: typeCreate})
	}
	keys = append(keys, StateKey{Type: typePowerLevels}, StateKey{typeMember, string(s.sender)})
	if s.eventType != typeMember {
		return keys
	}
	add := func(key StateKey) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if s.isState {
		add(StateKey{typeMember, s.stateKey})
	}
	membership, _ := s.content.String(keyMembership)
	switch membership {
	case membershipJoin, membershipInvite, membershipKnock:
		add(StateKey{Type: typeJoinRules})
	}
	if membership == membershipInvite {
		invite, _ := s.content.Object(keyThirdPartyInvite)
		signed, _ := invite.Object("signed")
		if token, ok := signed.String("token"); ok {
			add(StateKey{typeThirdPartyInvite, token})
		}
	}
	if user, ok := s.content.String(keyAuthorisingUser); ok && membership == membershipJoin && r.Restricted {
		add(StateKey{typeMember, user})
	}
	return keys
}

// CheckAuthEvents applies the rules on e's auth_events (rule 2, rule 3 in version 12): none
// twice, none that the selection does not ask for, none rejected, none of another room
// (MSC4307), and the create event among them, which version 12 forbids. auth holds the events
// that e.AuthEvents names, in any order, without those that were rejected: one that is not
// there counts as rejected, so the caller must first have fetched what it lacks. The
// result is nil or an *AuthError. A create event needs no other and always passes.
func (r *Rules) CheckAuthEvents(e *Event, auth []*Event) error {
	if e.Type() == typeCreate {
		return nil
	}
	section := 2
	if r.RoomIDIsCreateHash {
		section = 3
	}
	byID := make(map[EventID]*Event, len(auth))
	for _, a := range auth {
		byID[a.ID()] = a
	}
	wanted := r.authKeysOf(e)
	seen := make(map[StateKey]bool, len(wanted))
	for _, id := range e.AuthEvents() {
		rule, reason := checkAuthEvent(e, byID[id], wanted, seen)
		if rule == 5 && r.RoomIDIsCreateHash {
			rule = 4 // version 12 has no rule on a missing create event
		}
		if reason != "" {
			return r.deny(number(section, rule), fmt.Sprintf("auth event %s %s", id, reason))
		}
	}
	if !r.RoomIDIsCreateHash && !seen[StateKey{Type: typeCreate}] {
		return r.deny("2.4", "auth_events lack the create event")
	}
	return nil
}

// checkAuthEvent checks one auth event of e; reason is "" if all is well.
func checkAuthEvent(e, auth *Event, wanted []StateKey, seen map[StateKey]bool) (rule int, reason string) {
	if auth == nil {
		return 3, "was rejected or is unknown"
	}
	key := auth.Tuple()
	if seen[key] {
		return 1, "is the second of its type and state key"
	}
	if _, isState := auth.StateKey(); !isState || !slices.Contains(wanted, key) {
		return 2, "is not one that the event needs"
	}
	if auth.RoomID() != e.RoomID() {
		return 5, "is of another room"
	}
	seen[key] = true
	return 0, ""
}
