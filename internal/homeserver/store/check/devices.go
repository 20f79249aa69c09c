// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
)

// ofDevices are the tables whose rows belong to a device.
var ofDevices = []string{"access_tokens", "device_keys", "fallback_keys", "one_time_keys", "refresh_tokens", "to_device"}

// ofUsers are the tables whose rows belong to an account.
var ofUsers = []string{
	"account_data", "cross_signing_keys", "deactivations", "devices", "filters", "key_backups", "login_tokens", "media", "profiles",
}

var deviceInvariants = []invariant{
	{"a one-time key is there twice", `SELECT user_id, device_id, stream_pos AS position, place FROM one_time_keys
		GROUP BY user_id, device_id, stream_pos, place HAVING COUNT(*) > 1`, doSignIn},
	{
		"a key backup has another number of keys than it says", `SELECT b.user_id, b.version, b.key_count, COALESCE(k.n, 0) AS counted
		FROM key_backups b LEFT JOIN (SELECT user_id, version, COUNT(*) AS n FROM backup_keys GROUP BY user_id, version) k
		ON k.user_id = b.user_id AND k.version = b.version WHERE b.key_count <> COALESCE(k.n, 0)`,
		"have its owner make a new key backup",
	},
	{
		"a key is in no key backup", `SELECT k.user_id, k.version, k.room_id, k.session_id FROM backup_keys k
		WHERE NOT EXISTS (SELECT 1 FROM key_backups b WHERE b.user_id = k.user_id AND b.version = k.version)`,
		"have its owner make a new key backup",
	},
}

// devices checks that what belongs to a device or account has one.
func (c *checker) devices(ctx context.Context) error {
	all := deviceInvariants
	for _, table := range ofDevices {
		all = append(all, invariant{
			"something belongs to a device that does not exist",
			fmt.Sprintf(`SELECT '%[1]s' AS in_table, t.user_id, t.device_id FROM %[1]s t WHERE NOT EXISTS
			(SELECT 1 FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id)`, table), doRestore,
		})
	}
	for _, table := range ofUsers {
		all = append(all, invariant{
			"something belongs to an account that does not exist",
			fmt.Sprintf(`SELECT '%[1]s' AS in_table, t.user_id FROM %[1]s t WHERE NOT EXISTS
			(SELECT 1 FROM users u WHERE u.user_id = t.user_id)`, table), doRestore,
		})
	}
	return c.hold(ctx, all)
}
