// SPDX-License-Identifier: Apache-2.0

package event

import "slices"

// Event types that the authorisation rules know.
const (
	typeCreate           = "m.room.create"
	typeMember           = "m.room.member"
	typeJoinRules        = "m.room.join_rules"
	typePowerLevels      = "m.room.power_levels"
	typeThirdPartyInvite = "m.room.third_party_invite"
	typeAliases          = "m.room.aliases"
	typeRedaction        = "m.room.redaction"
)

// Values of content.membership; some are join rules as well.
const (
	membershipJoin   = "join"
	membershipInvite = "invite"
	membershipLeave  = "leave"
	membershipBan    = "ban"
	membershipKnock  = "knock"
)

// Values of content.join_rule beyond those.
const (
	joinRulePublic          = "public"
	joinRuleRestricted      = "restricted"
	joinRuleKnockRestricted = "knock_restricted"
)

// Keys of content that the rules read.
const (
	keyMembership       = "membership"
	keyAuthorisingUser  = "join_authorised_via_users_server"
	keyThirdPartyInvite = "third_party_invite"
)

// authFacts is what the rules read from the content of a create or power levels
// event: it decides about every later event, so it is read only once.
type authFacts struct {
	// levels are those of a power levels event, or those of a room that has only
	// its create event.
	levels      *PowerLevels
	levelsError *levelsError

	// creator is who may join first (create events).
	creator UserID
	// creators stand above all levels (create events, version 12).
	creators []UserID
	// local is true if only users of the creator's server may take part (create events).
	local bool
}

// isCreator reports whether u stands above all levels.
func (f *authFacts) isCreator(u UserID) bool { return slices.Contains(f.creators, u) }

// authFacts returns the facts of e. Two goroutines may both read them the first
// time; they read the same.
func (e *Event) authFacts() *authFacts {
	if facts := e.facts.Load(); facts != nil {
		return facts
	}
	content, _ := ParseObject(e.Content())
	facts := &authFacts{levels: &PowerLevels{}}
	switch e.Type() {
	case typeCreate:
		facts = createFacts(e, content)
	case typePowerLevels:
		facts.levels, facts.levelsError = e.Rules().parsePowerLevels(content)
	}
	e.facts.Store(facts)
	return facts
}

func createFacts(e *Event, content Object) *authFacts {
	facts := &authFacts{creator: e.Sender(), levels: &PowerLevels{}}
	if !e.Rules().CreatorIsSender {
		creator, _ := content.String("creator")
		facts.creator = UserID(creator)
	}
	if federate, ok := content.Bool("m.federate"); ok && !federate {
		facts.local = true
	}
	if !e.Rules().PrivilegedCreators {
		facts.levels.users = map[string]int64{string(facts.creator): 100}
		return facts
	}
	facts.creators = []UserID{e.Sender()}
	if raw, ok := content.Get("additional_creators"); ok {
		EachElement(raw, func(value []byte) bool {
			if user, ok := StringValue(value); ok {
				facts.creators = append(facts.creators, UserID(user))
			}
			return true
		})
	}
	return facts
}
