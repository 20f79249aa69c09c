// SPDX-License-Identifier: Apache-2.0

package event

import "math"

// RoomVersion names a set of room rules, "1" to "12".
type RoomVersion string

// EventIDFormat says where an event's id comes from.
type EventIDFormat int

const (
	// EventIDField means that the sender chose it, field event_id (versions 1 and 2).
	EventIDField EventIDFormat = iota + 1
	// EventIDHash is "$" and the reference hash in standard unpadded base64 (version 3).
	EventIDHash
	// EventIDHashURL is "$" and the reference hash in URL-safe unpadded base64 (version 4 on).
	EventIDHashURL
)

// StateResolution names the algorithm that merges forked room states.
type StateResolution int

const (
	// StateResolutionV1 is the algorithm of room version 1.
	StateResolutionV1 StateResolution = iota + 1
	// StateResolutionV2 is the algorithm of room versions 2 to 11.
	StateResolutionV2
	// StateResolutionV2Point1 is the algorithm of room version 12 (MSC4297):
	// it starts from an empty state and replays the conflicted subgraph.
	StateResolutionV2Point1
)

// Redaction names the algorithm that strips an event.
type Redaction int

const (
	// RedactionV1 keeps m.room.aliases' aliases (versions 1 to 5).
	RedactionV1 Redaction = iota + 1
	// RedactionV2 drops them (versions 6 and 7, MSC2432).
	RedactionV2
	// RedactionV3 keeps m.room.join_rules' allow (version 8, MSC3289).
	RedactionV3
	// RedactionV4 keeps m.room.member's join_authorised_via_users_server (versions 9 and 10, MSC3375).
	RedactionV4
	// RedactionV5 keeps all of m.room.create, m.room.redaction's redacts and the
	// invite power level, and drops the legacy top-level keys (version 11 on, MSC2174 to MSC3989).
	RedactionV5
)

// Rules is one row of the table of room versions: everything in which a version
// differs from another. Rows are immutable and shared.
type Rules struct {
	Version         RoomVersion
	EventIDFormat   EventIDFormat
	StateResolution StateResolution
	Redaction       Redaction

	// AliasSpecialCase: m.room.aliases has its own authorisation rule (versions 1 to 5).
	AliasSpecialCase bool
	// RedactionAuthRule: a redaction is authorised when it is received, by power
	// level or by the domains of the two event ids (versions 1 and 2). Later versions
	// accept it into the room and decide when it is applied.
	RedactionAuthRule bool
	// EnforceKeyValidity: a signature counts only if its key was valid at the event's
	// origin_server_ts (version 5 on).
	EnforceKeyValidity bool
	// StrictCanonicalJSON: numbers are integers within ±(2^53-1) (version 6 on).
	StrictCanonicalJSON bool
	// NotificationLevels: changes of power_levels' notifications are checked (version 6 on).
	NotificationLevels bool
	// Knock: membership and join rule "knock" exist (version 7 on).
	Knock bool
	// Restricted: join rule "restricted" exists (version 8 on).
	Restricted bool
	// KnockRestricted: join rule "knock_restricted" exists (version 10 on).
	KnockRestricted bool
	// IntegerPowerLevels: power levels must be JSON integers, not strings (version 10 on).
	IntegerPowerLevels bool
	// CreatorIsSender: the room creator is the create event's sender, content.creator
	// is not needed (version 11 on).
	CreatorIsSender bool
	// RedactsInContent: a redaction names its target in content.redacts (version 11 on).
	RedactsInContent bool
	// PrivilegedCreators: creators stand above all power levels and additional_creators exists (version 12 on).
	PrivilegedCreators bool
	// MaxDepth is the greatest depth of an event: 2^63-1, from version 6 on 2^53-1.
	MaxDepth int64
	// RoomIDIsCreateHash: the room id is "!" and the create event's hash; the create
	// event has no room_id and is never listed in auth_events (version 12 on).
	RoomIDIsCreateHash bool
}

// RulesFor returns the row of v; false if v is not supported.
func RulesFor(v RoomVersion) (*Rules, bool) {
	r := rulesOf(v)
	return r, r != nil
}

// SupportedVersions lists the room versions that RulesFor knows, oldest first.
func SupportedVersions() []RoomVersion {
	return []RoomVersion{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
}

func rulesOf(v RoomVersion) *Rules {
	if row, ok := versions[v]; ok {
		return row
	}
	return nil
}

// versions is written once, at start, by versionTable.
var versions = versionTable()

// versionTable derives each version from the one before it, as the specification does.
func versionTable() map[RoomVersion]*Rules {
	table := make(map[RoomVersion]*Rules)
	row := Rules{
		Version: "1", EventIDFormat: EventIDField, StateResolution: StateResolutionV1, Redaction: RedactionV1,
		AliasSpecialCase: true, RedactionAuthRule: true, MaxDepth: math.MaxInt64,
	}
	next := func(v RoomVersion, change func(r *Rules)) {
		row.Version = v
		change(&row)
		copied := row
		table[v] = &copied
	}
	next("1", func(*Rules) {})
	next("2", func(r *Rules) { r.StateResolution = StateResolutionV2 })
	next("3", func(r *Rules) { r.EventIDFormat, r.RedactionAuthRule = EventIDHash, false })
	next("4", func(r *Rules) { r.EventIDFormat = EventIDHashURL })
	next("5", func(r *Rules) { r.EnforceKeyValidity = true })
	next("6", func(r *Rules) {
		r.Redaction, r.AliasSpecialCase = RedactionV2, false
		r.StrictCanonicalJSON, r.NotificationLevels, r.MaxDepth = true, true, maxSafeInteger
	})
	next("7", func(r *Rules) { r.Knock = true })
	next("8", func(r *Rules) { r.Redaction, r.Restricted = RedactionV3, true })
	next("9", func(r *Rules) { r.Redaction = RedactionV4 })
	next("10", func(r *Rules) { r.KnockRestricted, r.IntegerPowerLevels = true, true })
	next("11", func(r *Rules) { r.Redaction, r.CreatorIsSender, r.RedactsInContent = RedactionV5, true, true })
	next("12", func(r *Rules) {
		r.StateResolution = StateResolutionV2Point1
		r.PrivilegedCreators, r.RoomIDIsCreateHash = true, true
	})
	return table
}
