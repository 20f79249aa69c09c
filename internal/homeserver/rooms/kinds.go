// SPDX-License-Identifier: Apache-2.0

package rooms

// The types of events that this package makes or looks into.
const (
	typeCreate            = "m.room.create"
	typeMember            = "m.room.member"
	typePowerLevels       = "m.room.power_levels"
	typeJoinRules         = "m.room.join_rules"
	typeHistoryVisibility = "m.room.history_visibility"
	typeGuestAccess       = "m.room.guest_access"
	typeCanonicalAlias    = "m.room.canonical_alias"
	typeName              = "m.room.name"
	typeTopic             = "m.room.topic"
	typeAvatar            = "m.room.avatar"
	typeEncryption        = "m.room.encryption"
	typeTombstone         = "m.room.tombstone"
	typeServerACL         = "m.room.server_acl"
	typeThirdPartyInvite  = "m.room.third_party_invite"
	typeRedaction         = "m.room.redaction"
)
