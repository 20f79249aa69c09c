// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
)

// maxInviteSignatureChecks bounds the work that one third-party invite causes: an event
// of 64 KiB could otherwise ask for hundreds of thousands of signature checks.
// Honest invites carry one signature and two keys.
const maxInviteSignatureChecks = 32

// memberCheck is an m.room.member event being checked.
type memberCheck struct {
	authCheck
	content Object
	target  UserID
	shift   int // of the rules from "join" on: 1 where rule 2 is about the authorising server
}

// member applies the rules for m.room.member events: rule 4, or 5 in versions 1 to 5 and 12.
func (c *authCheck) member() error {
	content, _ := ParseObject(c.event.Content())
	target, isState := c.event.StateKey()
	raw, ok := content.Get(keyMembership)
	if !isState || !ok {
		return c.denyMember("no state_key or no content.membership", 1)
	}
	m := memberCheck{authCheck: *c, content: content, target: UserID(target)}
	if c.rules.Restricted {
		m.shift = 1
		if err := m.checkAuthorisingUser(); err != nil {
			return err
		}
	}
	membership, _ := StringValue(raw)
	switch {
	case membership == membershipJoin:
		return m.join()
	case membership == membershipInvite:
		return m.invite()
	case membership == membershipLeave:
		return m.leave()
	case membership == membershipBan:
		return m.ban()
	case membership == membershipKnock && c.rules.Knock:
		return m.knock()
	}
	last := 6 + m.shift
	if c.rules.Knock {
		last++
	}
	return c.denyMember("unknown membership", last)
}

func (c *authCheck) denyMember(reason string, sub ...int) error {
	return c.rules.deny(c.rules.rule(sectionMember, sub...), reason)
}

// checkAuthorisingUser applies what can be said of rule 2 without keys: that the
// authorising server can be named. Event.Signers names it.
func (m *memberCheck) checkAuthorisingUser() error {
	raw, ok := m.content.Get(keyAuthorisingUser)
	if !ok {
		return nil
	}
	user, ok := StringValue(raw)
	if ok {
		_, err := ParseUserID(user)
		ok = err == nil
	}
	if !ok {
		return m.denyMember("the authorising user is not a user id", 2, 1)
	}
	return nil
}

func (m *memberCheck) join() error {
	section := 2 + m.shift
	previous := m.event.PrevEvents()
	if len(previous) == 1 && previous[0] == m.create.ID() && m.target == m.facts.creator {
		return nil
	}
	if m.event.Sender() != m.target {
		return m.denyMember("nobody joins on behalf of another", section, 2)
	}
	current := m.membership(m.target)
	if current == membershipBan {
		return m.denyMember("the sender is banned", section, 3)
	}
	invited := current == membershipJoin || current == membershipInvite
	switch rule := m.joinRule(); {
	case rule == joinRulePublic:
		return nil
	case rule == membershipInvite, rule == membershipKnock && m.rules.Knock:
		if invited {
			return nil
		}
	case rule == joinRuleRestricted && m.rules.Restricted, rule == joinRuleKnockRestricted && m.rules.KnockRestricted:
		if invited {
			return nil
		}
		return m.restrictedJoin()
	}
	return m.denyMember("the join rule does not let the sender in", section, 6+m.shift)
}

// restrictedJoin applies rule 4.3.5.2 (5.3.5.2 in version 12).
func (m *memberCheck) restrictedJoin() error {
	user, ok := m.content.String(keyAuthorisingUser)
	if !ok {
		return m.denyMember("no user of the room vouches for the sender", 3, 5, 2)
	}
	if m.membership(UserID(user)) != membershipJoin {
		return m.denyMember("the authorising user is not in the room", 3, 5, 2)
	}
	levels, err := m.levels()
	if err != nil {
		return err
	}
	if m.level(levels, UserID(user)) < levels.Invite() {
		return m.denyMember("the authorising user may not invite", 3, 5, 2)
	}
	return nil
}

// joinRule returns the room's join rule, "invite" if it has none.
func (m *memberCheck) joinRule() string {
	e := m.state.State(StateKey{Type: typeJoinRules})
	if e == nil {
		return membershipInvite
	}
	content, _ := ParseObject(e.Content())
	if _, ok := content.Get("join_rule"); !ok {
		return membershipInvite
	}
	rule, _ := content.String("join_rule")
	return rule
}

func (m *memberCheck) invite() error {
	section := 3 + m.shift
	if raw, ok := m.content.Get(keyThirdPartyInvite); ok {
		return m.thirdPartyInvite(raw, section)
	}
	if m.membership(m.event.Sender()) != membershipJoin {
		return m.denyMember("the sender is not in the room", section, 2)
	}
	if current := m.membership(m.target); current == membershipJoin || current == membershipBan {
		return m.denyMember("the user is in the room or banned from it", section, 3)
	}
	levels, err := m.levels()
	if err != nil {
		return err
	}
	if level := m.level(levels, m.event.Sender()); level < levels.Invite() {
		return m.denyMember(fmt.Sprintf("inviting needs level %d, the sender has %d", levels.Invite(), level), section, 5)
	}
	return nil
}

// thirdPartyInvite checks an invitation that follows from an earlier one of an e-mail
// address or the like: an identity server signed who that is.
func (m *memberCheck) thirdPartyInvite(raw []byte, section int) error {
	deny := func(sub int, reason string) error { return m.denyMember(reason, section, 1, sub) }
	if m.membership(m.target) == membershipBan {
		return deny(1, "the user is banned")
	}
	property, _ := ParseObject(raw)
	if _, ok := property.Get("signed"); !ok {
		return deny(2, "third_party_invite has no signed")
	}
	signed, _ := property.Object("signed")
	user, ok := signed.String("mxid")
	token, tokenOK := signed.String("token")
	if !ok || !tokenOK {
		return deny(3, "signed has no mxid or no token")
	}
	if UserID(user) != m.target {
		return deny(4, "mxid is not the invited user")
	}
	invite := m.state.State(StateKey{Type: typeThirdPartyInvite, Key: token})
	if invite == nil {
		return deny(5, "the room has no such third-party invite")
	}
	if invite.Sender() != m.event.Sender() {
		return deny(6, "the third-party invite is of another sender")
	}
	rawSigned, _ := property.Get("signed")
	if !inviteSignatureOK(rawSigned, signed, invite) {
		return deny(8, "no signature of the invite matches a key")
	}
	return nil
}

// inviteSignatureOK reports whether any signature in signed matches any public key of invite.
func inviteSignatureOK(raw []byte, signed Object, invite *Event) bool {
	keys := invitePublicKeys(invite)
	signatures, _ := signed.Object("signatures")
	found, checks := false, 0
	signatures.Each(func(entity string, value []byte) bool {
		byKey, _ := ParseObject(value)
		byKey.Each(func(keyID string, _ []byte) bool {
			if !strings.HasPrefix(keyID, "ed25519:") {
				return true
			}
			for _, key := range keys {
				checks++
				found = found || VerifyJSON(raw, entity, keyID, key) == nil
			}
			return !found && checks < maxInviteSignatureChecks
		})
		return !found && checks < maxInviteSignatureChecks
	})
	return found
}

// invitePublicKeys returns the keys that an m.room.third_party_invite event lists, as many as count.
func invitePublicKeys(invite *Event) []ed25519.PublicKey {
	content, _ := ParseObject(invite.Content())
	var keys []ed25519.PublicKey
	add := func(object Object) {
		text, _ := object.String("public_key")
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		if err == nil && len(key) == ed25519.PublicKeySize && len(keys) < maxInviteSignatureChecks {
			keys = append(keys, key)
		}
	}
	add(content)
	if raw, ok := content.Get("public_keys"); ok {
		EachElement(raw, func(value []byte) bool {
			object, _ := ParseObject(value)
			add(object)
			return true
		})
	}
	return keys
}

func (m *memberCheck) leave() error {
	section := 4 + m.shift
	sender := m.event.Sender()
	current := m.membership(m.target)
	if sender == m.target {
		knocked := current == membershipKnock && m.rules.Knock
		if current == membershipInvite || current == membershipJoin || knocked {
			return nil
		}
		return m.denyMember("there is nothing to leave", section, 1)
	}
	if m.membership(sender) != membershipJoin {
		return m.denyMember("the sender is not in the room", section, 2)
	}
	levels, err := m.levels()
	if err != nil {
		return err
	}
	level := m.level(levels, sender)
	if current == membershipBan && level < levels.Ban() {
		return m.denyMember("the sender may not lift bans", section, 3)
	}
	if level < levels.Kick() || m.level(levels, m.target) >= level {
		return m.denyMember("the sender may not remove that user", section, 5)
	}
	return nil
}

func (m *memberCheck) ban() error {
	section := 5 + m.shift
	sender := m.event.Sender()
	if m.membership(sender) != membershipJoin {
		return m.denyMember("the sender is not in the room", section, 1)
	}
	levels, err := m.levels()
	if err != nil {
		return err
	}
	level := m.level(levels, sender)
	if level < levels.Ban() || m.level(levels, m.target) >= level {
		return m.denyMember("the sender may not ban that user", section, 3)
	}
	return nil
}

func (m *memberCheck) knock() error {
	section := 6 + m.shift
	rule := m.joinRule()
	if rule != membershipKnock && (rule != joinRuleKnockRestricted || !m.rules.KnockRestricted) {
		return m.denyMember("the join rule allows no knocking", section, 1)
	}
	if m.event.Sender() != m.target {
		return m.denyMember("nobody knocks on behalf of another", section, 2)
	}
	switch m.membership(m.target) {
	case membershipBan, membershipInvite, membershipJoin:
		return m.denyMember("the sender is banned, invited or in the room", section, 4)
	}
	return nil
}
