// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// powerLevels adds the first m.room.power_levels: the creator rules, members
// talk, and what changes the room for everybody needs a moderator.
func (b *planner) powerLevels(context.Context) error {
	levels, err := b.defaultLevels()
	if err != nil {
		return err
	}
	if b.r.PowerLevels != nil {
		override, err := fieldsOf(b.r.PowerLevels)
		if err != nil {
			return err
		}
		maps.Copy(levels, override)
	}
	return b.add(typePowerLevels, "", levels)
}

func (b *planner) defaultLevels() (map[string]json.RawMessage, error) {
	const (
		moderator = 50
		admin     = 100
	)
	events := map[string]int64{
		typeName: moderator, typeAvatar: moderator, typeCanonicalAlias: moderator,
		typePowerLevels: admin, typeHistoryVisibility: admin, typeServerACL: admin, typeEncryption: admin, typeTombstone: admin,
	}
	users := map[event.UserID]int64{}
	if b.rules.PrivilegedCreators {
		// Above what state needs, so that only creators replace the room.
		events[typeTombstone] = admin + moderator
	} else {
		users[b.r.Creator] = admin
		if b.r.Preset == PresetTrusted {
			for _, user := range b.r.Invite {
				users[user] = admin
			}
		}
	}
	invite := 0
	if b.r.Preset == PresetPublic {
		invite = moderator
	}
	raw, err := json.Marshal(map[string]any{
		"users": users, "users_default": 0, "events": events, "events_default": 0, "state_default": moderator,
		"ban": moderator, "kick": moderator, "redact": moderator, "invite": invite,
	})
	if err != nil {
		return nil, fmt.Errorf("encode power levels: %w", err)
	}
	return fieldsOf(raw)
}
